import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { SMTPServer, type SMTPServerOptions } from "smtp-server";
import { afterEach, describe, expect, it } from "vitest";
import { isPublicAddress } from "../../server/connectors/builtin/address-guard.js";
import { emailConnector } from "../../server/connectors/builtin/email.js";
import { blockFailure, runBlock } from "../support/block-context.js";

const servers: SMTPServer[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await new Promise<void>((resolve) => server.close(resolve));
});

const email = emailConnector(() => true);
const PASSWORD = "pass word/with:signs";

/** A mail as the server got it. */
interface Received {
  readonly from: string;
  readonly to: string[];
  readonly source: string;
}

/** A mail server on a free port that takes `ada` with her password. */
async function mailServer(options: SMTPServerOptions = {}) {
  const received: Received[] = [];
  const server = new SMTPServer({
    hideSTARTTLS: true,
    authOptional: true,
    allowInsecureAuth: true,
    onAuth: ({ username, password }, _session, callback) => {
      const isAda = username === "ada@example.com" && password === PASSWORD;
      if (isAda) callback(null, { user: username });
      else callback(Object.assign(new Error("Authentication failed"), { responseCode: 535 }));
    },
    onData: (stream, { envelope }, callback) => {
      const chunks: Buffer[] = [];
      stream.on("data", (chunk: Buffer) => chunks.push(chunk));
      stream.on("end", () => {
        received.push({
          from: envelope.mailFrom === false ? "" : envelope.mailFrom.address,
          to: envelope.rcptTo.map(({ address }) => address),
          source: Buffer.concat(chunks).toString(),
        });
        callback();
      });
    },
    ...options,
  });
  server.on("error", () => {});
  servers.push(server);
  server.listen(0, "127.0.0.1");
  await once(server.server, "listening");
  const { port } = server.server.address() as AddressInfo;
  const account = `ada%40example.com:${encodeURIComponent(PASSWORD)}`;
  return { received, port, smtpUrl: `smtp://${account}@127.0.0.1:${port}` };
}

const mail = { to: "grace@example.org", subject: "Order 7", text: "It is on its way." };
const header = (source: string, name: string) =>
  source.match(new RegExp(`^${name}: (.*(?:\r\n[ \t].*)*)`, "im"))?.[1]?.replace(/\r\n[ \t]+/g, " ");

describe("the email block", () => {
  it("signs in, sends text and HTML and tells who was accepted", async () => {
    const { smtpUrl, received } = await mailServer({ authOptional: false });
    const output = await runBlock(email, {
      ...mail,
      to: ["grace@example.org", "Alan Turing <alan@example.org>"],
      cc: "cc@example.org",
      bcc: "bcc@example.org",
      replyTo: "Desk <desk@example.com>",
      from: "Exämple Shop <shop@example.com>",
      html: "<p>It is on its way.</p>",
      smtpUrl,
    });
    const everybody = ["grace@example.org", "alan@example.org", "cc@example.org", "bcc@example.org"];
    expect(output).toEqual({
      messageId: expect.stringMatching(/^<[0-9a-f]{40}@example\.com>$/),
      accepted: everybody,
      rejected: [],
    });
    const [{ from, to, source } = { from: "", to: [], source: "" }] = received;
    expect({ from, to }).toEqual({ from: "shop@example.com", to: everybody });
    expect(header(source, "Message-ID")).toBe(output.messageId);
    expect(header(source, "To")).toBe("grace@example.org, Alan Turing <alan@example.org>");
    expect(header(source, "Reply-To")).toBe("Desk <desk@example.com>");
    expect(header(source, "Bcc")).toBeUndefined();
    expect(source).toContain("It is on its way.");
    expect(source).toContain("<p>It is on its way.</p>");
  });

  it("has the same Message-ID on every attempt of a block, another for another block", async () => {
    const { smtpUrl } = await mailServer();
    const first = await runBlock(email, { ...mail, smtpUrl });
    expect((await runBlock(email, { ...mail, smtpUrl }, { attempt: 2 })).messageId).toBe(first.messageId);
    const other = await runBlock(email, { ...mail, smtpUrl }, { idempotencyKey: "run:other" });
    expect(other.messageId).not.toBe(first.messageId);
  });

  it("comes from the user of SMTP_URL when no sender is set, if that is an address", async () => {
    const { smtpUrl, received, port } = await mailServer();
    await runBlock(email, { ...mail, smtpUrl });
    expect(received[0]?.from).toBe("ada@example.com");
    const error = await blockFailure(email, { ...mail, smtpUrl: `smtp://127.0.0.1:${port}` });
    expect(error).toMatchObject({ code: "email_no_sender", isRetryable: false });
  });

  it.each([
    { subject: "Hi\r\nBcc: victim@example.com" },
    { to: "grace@example.org\r\nBcc: victim@example.com" },
    { to: "grace@example.org, victim@example.com" },
    { to: "All: grace@example.org, victim@example.com;" },
    { to: ["grace@example.org", "victim"] },
    { cc: "victim@example.com>\r\nRCPT TO:<other@example.com" },
    { replyTo: "a@example.com b@example.com" },
    { from: '"x\r\nBcc: v@example.com" <a@example.com>' },
    { to: "" },
    { to: [] },
    { text: undefined },
  ])("refuses %o before it talks to the server", async (change) => {
    const { smtpUrl, received } = await mailServer();
    expect(email.params.safeParse({ ...mail, smtpUrl, ...change }).success).toBe(false);
    expect(received).toEqual([]);
  });

  it("sends names and texts with any signs as what they are", async () => {
    const { smtpUrl, received } = await mailServer();
    await runBlock(email, {
      ...mail,
      to: '"Doe, Jane; \\"JD\\"" <jane@example.org>',
      subject: "=?utf-8?q?x?= <b> Ω",
      text: "/etc/passwd\r\n.\r\nRCPT TO:<victim@example.com>\r\n",
      smtpUrl,
    });
    expect(received).toHaveLength(1);
    expect(received[0]?.to).toEqual(["jane@example.org"]);
    expect(received[0]?.source).toContain("RCPT TO:<victim@example.com>");
  });

  it.each([
    [451, true],
    [550, false],
  ])(
    "fails with email_%i when the server refuses every recipient, retryable: %s",
    async (code, isRetryable) => {
      const { smtpUrl } = await mailServer({
        onRcptTo: (_address, _session, callback) =>
          callback(Object.assign(new Error("not here"), { responseCode: code })),
      });
      expect(await blockFailure(email, { ...mail, smtpUrl })).toMatchObject({
        code: `email_${code}`,
        isRetryable,
        message: expect.stringContaining("not here"),
      });
    },
  );

  it("tells which recipients were refused while others were taken", async () => {
    const { smtpUrl } = await mailServer({
      onRcptTo: ({ address }, _session, callback) =>
        callback(address.startsWith("bad") ? Object.assign(new Error("no"), { responseCode: 550 }) : null),
    });
    const output = await runBlock(email, { ...mail, to: ["bad@example.org", "good@example.org"], smtpUrl });
    expect(output).toMatchObject({ accepted: ["good@example.org"], rejected: ["bad@example.org"] });
  });

  it("does not try a wrong password again and never shows it", async () => {
    const { port } = await mailServer();
    const error = await blockFailure(email, {
      ...mail,
      smtpUrl: `smtp://ada%40example.com:wrong-password@127.0.0.1:${port}`,
    });
    expect(error).toMatchObject({ code: "email_authentication", isRetryable: false });
    expect(error.message).not.toContain("wrong-password");
  });

  it("passes a long answer on whole, so that a secret in it is found before it is cut", async () => {
    const text = `${"x".repeat(295)} ${PASSWORD}`;
    const { smtpUrl } = await mailServer({
      onMailFrom: (_address, _session, callback) =>
        callback(Object.assign(new Error(text), { responseCode: 550 })),
    });
    expect((await blockFailure(email, { ...mail, smtpUrl })).message).toContain(text);
  });

  it("tries again after a refused connection, a silent end and a busy server", async () => {
    expect(
      await blockFailure(email, { ...mail, from: "a@example.com", smtpUrl: "smtp://127.0.0.1:9" }),
    ).toMatchObject({ code: "email_network_error", isRetryable: true });
    const { smtpUrl } = await mailServer({
      onConnect: (_session, callback) =>
        callback(Object.assign(new Error("too busy"), { responseCode: 421 })),
    });
    expect(await blockFailure(email, { ...mail, smtpUrl })).toMatchObject({ isRetryable: true });
  });

  it("sends no password without encryption when requireTLS asks for it", async () => {
    const { smtpUrl, received } = await mailServer({ disabledCommands: ["STARTTLS"] });
    const error = await blockFailure(email, { ...mail, smtpUrl: `${smtpUrl}?requireTLS=true` });
    expect(error.isRetryable).toBe(false);
    expect(error.message).toMatch(
      /^The mail server \S+ offers no TLS, which SMTP_URL asks for with requireTLS=true; use a server that does: 5/,
    );
    expect(received).toEqual([]);
  });

  it("goes to public addresses only, unless the server allows private ones", async () => {
    const { port, received } = await mailServer();
    const guarded = emailConnector(isPublicAddress);
    for (const host of ["127.0.0.1", "localhost", "[::1]", "10.0.0.1", "[::ffff:127.0.0.1]", "2130706433"]) {
      expect(
        await blockFailure(guarded, { ...mail, from: "a@example.com", smtpUrl: `smtp://${host}:${port}` }),
      ).toMatchObject({ code: "email_address_refused", isRetryable: false });
    }
    expect(received).toEqual([]);
  });

  it("stops when its run is canceled", async () => {
    const { smtpUrl } = await mailServer({ onData: () => {} });
    const controller = new AbortController();
    const running = runBlock(email, { ...mail, smtpUrl }, { signal: controller.signal });
    controller.abort(new Error("canceled"));
    await expect(running).rejects.toThrow("canceled");
  });
});
