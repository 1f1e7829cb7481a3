import { once } from "node:events";
import { createServer, type IncomingMessage, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { SMTPServer } from "smtp-server";

/** The far sides that the workflow talks to, on loopback. */
export interface StandIns {
  readonly enrichmentUrl: string;
  readonly slackUrl: string;
  readonly smtpUrl: string;
  /** Messages that Slack was asked to post. */
  readonly posted: { readonly channel: string; readonly text: string }[];
  /** Recipients of the e-mails that were sent. */
  readonly mailed: string[];
  close(): Promise<void>;
}

const companies: Readonly<Record<string, object>> = {
  "acme.example": { name: "Acme", employees: 4_200, country: "DE" },
  "sprout.example": { name: "Sprout", employees: 80, country: "FR" },
};

/** Starts all of them; the company register is busy on its first request, so that a retry can be seen. */
export async function startStandIns(): Promise<StandIns> {
  const posted: StandIns["posted"][number][] = [];
  const mailed: string[] = [];
  let isBusy = true;

  const enrichment = await listen((request, response) => {
    if (isBusy) {
      isBusy = false;
      response.writeHead(503, { "retry-after": "1" }).end();
      return;
    }
    const company = companies[request.url?.split("/").at(-1) ?? ""];
    response.writeHead(company === undefined ? 404 : 200, { "content-type": "application/json" });
    response.end(JSON.stringify(company ?? { message: "Nobody knows this company." }));
  });

  const slack = await listen(async (request, response) => {
    const { channel, text } = JSON.parse(await textOf(request));
    const isKnown = request.headers.authorization === "Bearer xoxb-example-token";
    if (isKnown) posted.push({ channel, text });
    response.writeHead(200, { "content-type": "application/json" });
    response.end(
      JSON.stringify(
        isKnown ? { ok: true, channel, ts: "1764000000.000100" } : { ok: false, error: "invalid_auth" },
      ),
    );
  });

  const smtp = new SMTPServer({
    disabledCommands: ["AUTH", "STARTTLS"],
    onData(stream, session, done) {
      stream.resume();
      stream.on("end", () => {
        mailed.push(...session.envelope.rcptTo.map(({ address }) => address));
        done();
      });
    },
  });
  const mailServer = smtp.listen(0, "127.0.0.1");
  await once(mailServer, "listening");

  return {
    enrichmentUrl: urlOf(enrichment),
    slackUrl: `${urlOf(slack)}/api/`,
    smtpUrl: `smtp://127.0.0.1:${(mailServer.address() as AddressInfo).port}`,
    posted,
    mailed,
    async close() {
      enrichment.close();
      slack.close();
      await new Promise<void>((resolve) => smtp.close(() => resolve()));
    },
  };
}

async function listen(listener: RequestListener): Promise<Server> {
  const server = createServer(listener).listen(0, "127.0.0.1");
  await once(server, "listening");
  return server;
}

function urlOf(server: Server): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function textOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}
