import { randomBytes } from "node:crypto";
import { pino } from "pino";
import postgres from "postgres";
import { afterEach, describe, expect, it } from "vitest";
import { endedRun, newClient, send, type TestClient, waitFor } from "../support/client.js";
import { createTestDatabase } from "../support/database.js";
import { closeServers, echo, serve } from "../support/http-block.js";
import { setSecret } from "../support/operations-table.js";
import { startTestServer } from "../support/server.js";
import { useClient, useSql, useTestServer } from "../support/server-hooks.js";
import {
  block,
  connect,
  createWorkflow,
  logsOf,
  runDocument,
  startRun,
  startWaiting,
  wait,
} from "../support/workflows.js";

const server = useTestServer();
const client = useClient(server);
const sql = useSql(server);
afterEach(closeServers);

const key = () => ({ id: `k_${randomBytes(3).toString("hex")}`, key: randomBytes(32).toString("base64") });
const call = (id: string, url: string, name: string) =>
  block(id, "http", { url, method: "POST", headers: { "x-token": `Token {{secrets.${name}}}` } });

/** Runs a block that sends the secret and gives what arrived, or the run's error. */
async function useSecret(name: string, as = client) {
  const seen: (string | undefined)[] = [];
  const { origin } = await serve((request, response) => {
    seen.push(String(request.headers["x-token"]));
    response.end("thanks");
  });
  const run = await runDocument(as, { blocks: [call("call", origin, name)] });
  return run.state === "completed" ? seen[0] : run.error;
}

const keyIdOf = async (name: string, organizationId = client.session.organizationId) =>
  (await sql`select key_id from secrets where name = ${name} and organization_id = ${organizationId}`)[0]
    ?.key_id;

describe("a secret in a run", () => {
  it("reaches the far side and nobody else", async () => {
    await setSecret(client, "ECHOED", "echo-me-8812");
    const { origin } = await serve(echo);
    const run = await runDocument(client, { blocks: [call("call", origin, "ECHOED")] });
    expect(run.output.outputs.call.body.headers["x-token"]).toBe("Token [secret]");
    const [attempt] = await logsOf(client, run.id);
    expect(attempt.input).toEqual({
      url: origin,
      method: "POST",
      headers: { "x-token": "Token [secret]" },
    });
    expect(await useSecret("ECHOED")).toBe("Token echo-me-8812");
  });

  it("has the value it has when the attempt begins", async () => {
    await setSecret(client, "CHANGED", "first value");
    expect(await useSecret("CHANGED")).toBe("Token first value");
    await setSecret(client, "CHANGED", "second value");
    expect(await useSecret("CHANGED")).toBe("Token second value");
  });

  it("is one of at most a hundred in a block, of 256 KiB together; beyond, the block fails and says so", async () => {
    const other = await newClient(server.url);
    const value = `"${"x".repeat(65_534)}"`;
    const names = Array.from({ length: 101 }, (_, index) => `S${index}`);
    for (const [index, name] of names.entries()) await setSecret(other, name, index < 4 ? value : "seen");
    const { origin } = await serve(echo);
    const use = (used: readonly string[]) =>
      runDocument(other, {
        blocks: [
          block(
            "call",
            "http",
            { url: origin, method: "POST", body: used.map((name) => `{{secrets.${name}}}`) },
            { retry: { maxAttempts: 2, initialMs: 1 } },
          ),
        ],
      });
    const allowed = await use(names.slice(0, 4));
    expect(allowed.state).toBe("completed");
    expect(JSON.parse(allowed.output.outputs.call.body.body)).toEqual(Array(4).fill("[secret]"));
    expect((await use(names.slice(4))).state).toBe("completed");
    expect((await use(names.slice(0, 5))).error).toMatchObject({
      code: "value_too_large",
      blockId: "call",
      attempt: 1,
      message:
        'Block "call" (http) uses secrets of 262148 bytes together; 262144 are allowed: use fewer or shorter ones in it, or divide them among several blocks.',
    });
    expect((await use(names)).error).toMatchObject({
      code: "value_too_large",
      message: expect.stringContaining("uses 101 secrets; 100 are allowed: use fewer"),
    });
  });

  it("refuses the dispatch while the organization lacks it, naming block and secret", async () => {
    const other = await newClient(server.url);
    await setSecret(client, "NOT_OURS", "of another organization");
    const cases = [
      [
        block("call", "http", { url: "http://127.0.0.1:2", headers: { a: "{{secrets.NOT_OURS}}" } }),
        "NOT_OURS",
      ],
      [
        block("call", "http", {
          url: "http://127.0.0.1:2",
          method: "POST",
          body: { a: [["{{secrets.IN_BODY}}"]] },
        }),
        "IN_BODY",
      ],
      [block("call", "slack", { channel: "C1", text: "Hi" }), "SLACK_BOT_TOKEN"],
      [block("call", "email", { to: "a@example.com", subject: "Hi", text: "Hi" }), "SMTP_URL"],
    ] as const;
    for (const [needy, name] of cases) {
      const workflowId = await createWorkflow(other, { blocks: [needy] });
      const { status, body } = await other.request("POST", `/api/workflows/${workflowId}/run`, {});
      expect({ status, error: body.error }).toEqual({ status: 500, error: "dispatch_failed" });
      expect(body.message).toContain('"call"');
      expect(body.message).toContain(name);
      await setSecret(other, name, "now it is there");
      await startRun(other, workflowId);
    }
    expect((await other.request("GET", "/api/runs")).body.data).toHaveLength(cases.length);
  });

  it("is not asked for by a block that is switched off", async () => {
    const other = await newClient(server.url);
    const off = { ...block("post", "slack", { channel: "C1", text: "Hi" }), enabled: false };
    const run = await runDocument(other, { blocks: [off, wait("pause", 1)] });
    expect(run.state).toBe("completed");
  });

  it("fails its block once it is gone", async () => {
    await setSecret(client, "FLEETING", "soon gone");
    const workflowId = await createWorkflow(client, {
      blocks: [
        block("pause", "wait_for_event", { eventName: "go on" }),
        call("call", "http://127.0.0.1:2", "FLEETING"),
      ],
      connections: connect("pause>call"),
    });
    const runId = await startWaiting(client, workflowId);
    await client.request("DELETE", "/api/secrets/FLEETING");
    await client.request("POST", "/api/signals", { name: "go on" });
    const { state, error } = await endedRun(client, runId);
    expect(state).toBe("failed");
    expect(error).toMatchObject({ code: "secret_missing", blockId: "call", attempt: 1 });
    expect(error.message).toContain("FLEETING");
  });

  it("is kept out of parameters that must not hold one", async () => {
    const { body } = await client.request("POST", "/api/workflows", {
      workflow: { blocks: [block("shape", "transform", { template: "{{secrets.ECHOED}}" })] },
    });
    const answer = await client.request("POST", `/api/workflows/${body.id}/run`, {});
    expect(answer.body).toMatchObject({ error: "workflow_invalid" });
  });
});

describe("a stored secret", () => {
  it("is different every time it is sealed", async () => {
    await setSecret(client, "SAME", "the same value");
    const [first] = await sql`select sealed from secrets where name = 'SAME'`;
    await setSecret(client, "SAME", "the same value");
    const [second] = await sql`select sealed from secrets where name = 'SAME'`;
    expect(first?.sealed).not.toBe(second?.sealed);
  });

  it("does not open as another name's or another organization's, or with a bit changed", async () => {
    const other = await newClient(server.url);
    await setSecret(client, "SOURCE", "not to be moved");
    await setSecret(client, "TARGET", "to be overwritten");
    await setSecret(other, "SOURCE", "to be overwritten");
    const copy = (name: string, organizationId: string) => sql`
      update secrets set sealed = source.sealed
      from secrets source where source.name = 'SOURCE' and source.organization_id = ${client.session.organizationId}
        and secrets.name = ${name} and secrets.organization_id = ${organizationId}`;

    await copy("TARGET", client.session.organizationId);
    await copy("SOURCE", other.session.organizationId);
    const unreadable = { code: "secret_unreadable", blockId: "call", attempt: 1 };
    expect(await useSecret("TARGET")).toMatchObject(unreadable);
    expect(await useSecret("SOURCE", other)).toMatchObject(unreadable);
    expect(await useSecret("SOURCE")).toBe("Token not to be moved");

    await sql`update secrets set sealed = encode(set_byte(decode(sealed, 'base64'), 14,
        get_byte(decode(sealed, 'base64'), 14) # 1), 'base64')
      where name = 'SOURCE' and organization_id = ${client.session.organizationId}`;
    expect(await useSecret("SOURCE")).toMatchObject(unreadable);
  });

  it("names itself and the key when the key is unknown", async () => {
    await setSecret(client, "LOCKED", "value");
    await sql`update secrets set key_id = 'lost_key' where name = 'LOCKED'`;
    const error = await useSecret("LOCKED");
    expect(error).toMatchObject({ code: "secret_unreadable" });
    expect(error.message).toMatch(/LOCKED.*lost_key/);
  });
});

describe("the keys of a server", () => {
  it("rotate at a start: what is under a known key goes under the first, beside what cannot be read", async () => {
    const own = await createTestDatabase();
    const store = postgres(own.url, { max: 1, onnotice: () => {} });
    const lines: string[] = [];
    const logger = pino({ level: "info" }, { write: (line: string) => void lines.push(line) });
    const [older, newer] = [key(), key()];
    const start = (secretsKeys: ReturnType<typeof key>[]) =>
      startTestServer({ databaseUrl: own.url, config: { secretsKeys }, logger });

    const derived = await start([]);
    const ada = await newClient(derived.url);
    const names = Array.from({ length: 450 }, (_, index) => `S${index}`);
    for (let index = 0; index < names.length; index += 50) {
      await Promise.all(
        names.slice(index, index + 50).map((name) => setSecret(ada, name, `value of ${name}`)),
      );
    }
    const workflowId = await createWorkflow(ada, { blocks: [wait("pause", 1)] });
    const hook = await ada.request("POST", "/api/webhooks", { workflowId, verification: { type: "bearer" } });
    expect(hook.status).toBe(201);
    await store`update secrets set key_id = 'lost_key' where name = 'S7'`;
    await store`update secrets set sealed = 'AAAA' where name = 'S8'`;
    const before = (await ada.request("GET", "/api/secrets?limit=1")).body.data;
    await derived.close();

    const second = await start([older]);
    const keysInUse = () => store`select key_id, count(*)::int from secrets group by 1 order by 2`;
    await waitFor(keysInUse, (rows) => rows.at(-1)?.key_id === older.id && rows.at(-1)?.count === 448);
    await waitFor(
      async () => lines.join(""),
      (text) => text.includes('"lost_key"'),
    );
    expect(lines.join("")).toMatch(/"resealed":448,"unreadable":1/);
    await second.close();

    const third = await start([newer, older]);
    await waitFor(keysInUse, (rows) => rows.at(-1)?.key_id === newer.id && rows.at(-1)?.count === 448);
    const { url } = third;
    const again: TestClient = { ...ada, url, request: (...args) => send(url, ada.key, ...args) };
    const deliver = (secret: string) =>
      fetch(`${url}${new URL(hook.body.url).pathname}`, {
        method: "POST",
        headers: { authorization: `Bearer ${secret}`, "content-type": "application/json" },
        body: "{}",
      });
    await waitFor(
      () => store`select secret->>'keyId' as key_id from webhooks`,
      (rows) => rows[0]?.key_id === newer.id,
    );
    expect((await deliver(hook.body.secret)).status).toBe(202);
    expect((await deliver("another")).status).toBe(401);
    expect(await useSecret("S449", again)).toBe("Token value of S449");
    expect(await useSecret("S0", again)).toBe("Token value of S0");
    expect((await again.request("GET", "/api/secrets?limit=1")).body.data).toEqual(before);
    expect(lines.join("")).not.toContain("value of");
    await third.close();
    await store.end();
    await own.drop();
  }, 60_000);

  it("may be given by nobody: then one is derived from the auth secret", async () => {
    await setSecret(client, "DERIVED", "value");
    expect(await keyIdOf("DERIVED")).toMatch(/^auth_[0-9a-f]{12}$/);
  });
});
