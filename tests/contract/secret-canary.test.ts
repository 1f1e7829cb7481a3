import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { pino } from "pino";
import postgres from "postgres";
import { SMTPServer } from "smtp-server";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Answer, endedRun } from "../support/client.js";
import { call, doors, procedures } from "../support/doors.js";
import { closeServers, serve } from "../support/http-block.js";
import { type Estate, makeEstate, rowOf } from "../support/operations-table.js";
import { startTestServer, type TestServer } from "../support/server.js";
import { block, createWorkflow, transform } from "../support/workflows.js";

/** Stands in every secret of this test and nowhere else. */
const CORE = "cnry7f3a91";
const TOKEN = `xoxb-${CORE}-"quo\\ted"/+%41=&?~`;
const TEXT = `line one ${CORE}\n"ä\\ö" +/&=%20\t<b> 🐤 end`;
const PASSWORD = `p ss/${CORE}:@%2F"ü`;
/** As somebody sets it who copies a line, and as one comes into an address. */
const PADDED = ` ${TOKEN}\n`;
const IN_ADDRESS = `p@ss ${CORE}/1+"two"'ü`;
const ROLE = "secret_canary_reader";

let folder = "";
let server: TestServer;
let estate: Estate;
let mails: SMTPServer;
let sql: postgres.Sql;
/** Everything that the server answered, wrote to its log or exposes. */
const logLines: string[] = [];
const answers: string[] = [];

/** What the connector of this test does with its secret. */
const leaks = [
  "output",
  "key",
  "block_error",
  "code",
  "error",
  "long_error",
  "log",
  "many_lines",
  "invalid_output",
];

const connectorModule = (entry: string, zod: string) => `
import { BlockError, defineConnector, hidden } from ${JSON.stringify(entry)};
import { z } from ${JSON.stringify(zod)};
export default defineConnector({
  type: "leak",
  description: "Tells its secret in the way it is asked to.",
  params: z.object({ how: z.string(), text: hidden(z.string(), { fromSecret: "TEXT" }) }),
  outputs: z.looseObject({ count: z.number().optional() }),
  async run({ how, text }, { log }) {
    const base64 = Buffer.from(text).toString("base64");
    const forms = {
      text, base64, url: encodeURIComponent(text), form: new URLSearchParams({ text }).toString(),
      basic: [0, 1, 2, 3].map((n) => Buffer.from("u".repeat(n) + ":" + text + ":").toString("base64")),
      base64url: Buffer.from(text).toString("base64url"), json: JSON.stringify({ text }),
      twice: JSON.stringify({ inner: JSON.stringify({ text }) }), lower: encodeURIComponent(text).toLowerCase(),
    };
    const everything = JSON.stringify(forms);
    if (how === "key") return { [text]: { [base64]: [text] } };
    if (how === "block_error") throw new BlockError("leaked", everything);
    if (how === "code") throw new BlockError(text, "The code is the secret.");
    if (how === "error") throw new Error(everything);
    if (how === "long_error") throw new BlockError("leaked", "x".repeat(1990) + text);
    if (how === "invalid_output") return { count: text };
    if (how === "log") {
      log.info("It is " + text, { ...forms, [text]: 1 });
      log.error(everything);
    }
    if (how === "many_lines") for (let n = 0; n < 300; n += 1) log.warn(n + " " + text, { n });
    return { forms };
  },
});
`;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "connectors-"));
  const entry = fileURLToPath(new URL("../../server/connectors/index.ts", import.meta.url));
  const path = join(folder, "leak.mjs");
  await writeFile(path, connectorModule(entry, createRequire(import.meta.url).resolve("zod")));
  const { origin } = await serve(async (request, response) => {
    for await (const _ of request);
    const { authorization = "" } = request.headers;
    response.end(JSON.stringify({ ok: false, error: authorization, needed: authorization }));
  });
  const logger = pino({ level: "trace" }, { write: (line: string) => void logLines.push(line) });
  server = await startTestServer({
    config: { connectorModules: [path], slackApiUrl: `${origin}/` },
    logger,
  });
  estate = await makeEstate(server.url);
  sql = postgres(server.databaseUrl, { max: 1, onnotice: () => {} });
  await sql.unsafe(`drop role if exists ${ROLE}; create role ${ROLE} login password '${PASSWORD}';`);
  mails = new SMTPServer({
    hideSTARTTLS: true,
    onAuth: ({ username, password = "" }, _session, callback) =>
      username === "refused"
        ? callback(Object.assign(new Error(`Bad password ${password}`), { responseCode: 535 }))
        : callback(null, { user: username }),
    onRcptTo: ({ address }, session, callback) => {
      const shown = `${address} of ${String(session.user)} refused`;
      callback(address.startsWith("nobody") ? Object.assign(new Error(shown), { responseCode: 550 }) : null);
    },
    onData: (stream, _session, callback) => stream.on("end", () => callback()).resume(),
  });
  mails.listen(0, "127.0.0.1");
  await once(mails.server, "listening");
});
afterAll(async () => {
  await new Promise<void>((resolve) => mails.close(resolve));
  await closeServers();
  await sql.unsafe(`drop role ${ROLE}`);
  await sql.end();
  await server.close();
  await rm(folder, { recursive: true });
});

/** Every form in which one of the secrets could stand somewhere. */
function needles(): string[] {
  const forms = [TOKEN, TEXT, PASSWORD, IN_ADDRESS, CORE].flatMap((secret) => {
    const bytes = Buffer.from(secret);
    const inside = [0, 1, 2].map((offset) => {
      const text = Buffer.concat([Buffer.alloc(offset), bytes, Buffer.alloc(2)]).toString("base64");
      return text.slice(4, -8);
    });
    return [
      secret,
      JSON.stringify(secret).slice(1, -1),
      encodeURIComponent(secret),
      new URLSearchParams({ x: secret }).toString().slice(2),
      ...["?", "#", ""].map((place) => new URL(`http://x/${place}y${secret}`).href.slice(10)),
      bytes.toString("base64"),
      bytes.toString("base64url"),
      bytes.toString("hex"),
      ...inside,
      ...inside.map((text) => text.replaceAll("+", "-").replaceAll("/", "_")),
    ];
  });
  return [...new Set(forms)].filter((form) => form.length >= 6);
}

function expectNoCanary(where: string, text: string): void {
  const lower = text.toLowerCase();
  const found = needles().filter((needle) => text.includes(needle) || lower.includes(needle.toLowerCase()));
  const places = found.map((needle) => {
    const at = lower.indexOf(needle.toLowerCase());
    return text.slice(Math.max(at - 200, 0), at + 200);
  });
  expect(places, where).toEqual([]);
}

async function ask(method: string, path: string, body?: unknown): Promise<Answer> {
  const answer = await estate.client.request(method, path, body);
  answers.push(JSON.stringify([...answer.headers]), JSON.stringify(answer.body));
  return answer;
}

/** Runs one block to its end and gives the run. */
async function run(it: ReturnType<typeof block>, after: readonly ReturnType<typeof block>[] = []) {
  const workflowId = await createWorkflow(estate.client, {
    blocks: [it, ...after],
    connections: after.map(({ id }) => ({ source: it.id, target: id })),
  });
  const { body } = await ask("POST", `/api/workflows/${workflowId}/run`, { input: { name: "Ada" } });
  return { workflowId, ...(await endedRun(estate.client, body.runId)) };
}

async function setSecrets(): Promise<void> {
  const mailPort = (mails.server.address() as AddressInfo).port;
  const password = encodeURIComponent(PASSWORD);
  const database = new URL(server.databaseUrl);
  database.username = ROLE;
  database.password = password;
  const gone = new URL(database);
  gone.port = "9";
  const values = {
    TOKEN,
    TEXT,
    PADDED,
    IN_ADDRESS,
    SLACK_BOT_TOKEN: PADDED,
    SMTP_URL: `smtp://canary:${password}@127.0.0.1:${mailPort}`,
    DATABASE_URL: database.href,
    GONE_URL: gone.href,
  };
  for (const [name, value] of Object.entries(values)) {
    expect(await ask("PUT", `/api/secrets/${name}`, { value })).toMatchObject({ status: 200 });
  }
  await ask("PUT", "/api/secrets/1BAD", { value: TEXT });
  await ask("PUT", "/api/secrets/BAD", { value: [TEXT] });
  await ask("PUT", "/api/secrets/BAD", { value: `${TEXT}\u0000` });
  await ask("PUT", "/api/secrets/BAD", { value: TEXT.repeat(2_000) });
}

/** Uses every secret in every way, with success and with failure, and gives the runs. */
async function useSecrets(): Promise<{ id: string; workflowId: string; state: string }[]> {
  const { origin } = await serve(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const token = String(request.headers["x-token"]);
    const body = Buffer.concat(chunks).toString();
    response.setHeader("content-type", "application/json");
    response.setHeader("x-echo", encodeURIComponent(token));
    if (request.url === "/fails") response.writeHead(500, token.replace(/[^ -~]/g, ""));
    response.end(
      JSON.stringify({
        headers: request.headers,
        url: request.url,
        body,
        parsed: JSON.parse(body),
        basic: Buffer.from(`user:${token}`).toString("base64"),
        [token]: Buffer.from(body).toString("base64url"),
      }),
    );
  });
  const request = (url: string) =>
    block("send", "http", {
      url,
      method: "POST",
      headers: { "x-token": "Bearer {{secrets.TOKEN}}", "x-padded": "{{secrets.PADDED}}" },
      body: { deep: [{ text: "{{secrets.TEXT}}" }, "both {{secrets.TOKEN}} {{secrets.TEXT}}"] },
    });
  const once = { retry: { maxAttempts: 1 } };
  const mail = (to: string) =>
    block("mail", "email", { to, from: "a@example.com", subject: "Hi", text: "Hi" }, once);
  const query = (name: string, text: string) =>
    block("query", "postgres_query", { connectionUrl: `{{secrets.${name}}}`, query: text }, once);
  const runs = [
    await run(request(`${origin}/echo`), [transform("copy", "{{send.body}} {{send.headers}}")]),
    await run(
      request(
        `${origin}/{{secrets.IN_ADDRESS}}?key={{secrets.IN_ADDRESS}}&{{secrets.TEXT}}={{secrets.PADDED}}`,
      ),
    ),
    await run({ ...request(`${origin}/fails`), retry: { maxAttempts: 2, initialMs: 1 } }),
    await run({ ...request("http://127.0.0.1:2/"), ...once }),
    await run(block("bad", "http", { url: origin, headers: { "x-token": "{{secrets.TEXT}}" } }, once)),
    await run(block("post", "slack", { channel: "C1", text: "Hi" }, once)),
    await run(mail("ada@example.com")),
    await run(mail("nobody@example.com")),
    await run(query("DATABASE_URL", "select current_user as name")),
    await run(query("DATABASE_URL", "select nonsense")),
    await run(query("GONE_URL", "select 1")),
  ];
  for (const how of leaks) runs.push(await run(block("leak", "leak", { how }, { onError: "fail", ...once })));
  const refused = `smtp://refused:${encodeURIComponent(PASSWORD)}@127.0.0.1:${(mails.server.address() as AddressInfo).port}`;
  await ask("PUT", "/api/secrets/SMTP_URL", { value: refused });
  runs.push(await run(mail("ada@example.com")));
  return runs;
}

it("shows a secret nowhere: in no answer, no stream, no metric, no log line and no table", async () => {
  await setSecrets();
  const runs = await useSecrets();
  const states = runs.map(({ state }) => state);
  expect(states.filter((state) => state === "completed").length).toBeGreaterThanOrEqual(6);
  expect(states.filter((state) => state === "failed").length).toBeGreaterThanOrEqual(8);

  for (const { id, workflowId } of runs) {
    const mine: Estate = { ...estate, workflowId, runId: id };
    for (const [procedurePath, { isQuery }] of procedures) {
      if (!isQuery) continue;
      const { limit: _, ...input } = await rowOf(procedurePath).input(mine);
      for (const door of doors) {
        const answer = await call(door, server.url, estate.client.key, procedurePath, input);
        answers.push(JSON.stringify([...answer.headers]), JSON.stringify([answer.result, answer.error]));
      }
    }
    const headers = { authorization: `Bearer ${estate.client.key}` };
    answers.push(await (await fetch(`${server.url}/api/runs/${id}/stream`, { headers })).text());
  }
  answers.push(await (await fetch(`${server.url}/metrics`)).text());

  const seen = answers.join("\n");
  expect(seen).toContain("[secret]");
  expectNoCanary("an answer", seen);
  const logged = logLines.join("\n");
  expect(logged).toContain("[secret]");
  expectNoCanary("the log", logged);

  const columns = await sql<{ schema: string; table: string; column: string }[]>`
    select table_schema as schema, table_name as table, column_name as column from information_schema.columns
    where table_schema not in ('pg_catalog', 'information_schema') order by 1, 2, 3`;
  expect(columns.length).toBeGreaterThan(100);
  let cells = 0;
  for (const { schema, table, column } of columns) {
    const rows = await sql<{ text: string }[]>`
      select ${sql(column)}::text as text from ${sql(schema)}.${sql(table)} where ${sql(column)} is not null`;
    cells += rows.length;
    expectNoCanary(`${schema}.${table}.${column}`, rows.map(({ text }) => text).join("\n"));
  }
  expect(cells).toBeGreaterThan(1_000);
}, 120_000);
