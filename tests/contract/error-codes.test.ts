import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { errorCodesOf } from "../../openapi/error-responses.js";
import { listOperations } from "../../openapi/operations.js";
import { appRouter } from "../../router/index.js";
import { type ErrorCode, errorTable } from "../../server/errors/error-table.js";
import { send, waitFor } from "../support/client.js";
import { call, type DoorAnswer, doors, type Input } from "../support/doors.js";
import { type Estate, greeting, madeUpLike, makeEstate } from "../support/operations-table.js";
import { type Fault, INTERNAL_TEXT, provocations, refusingDispatch } from "../support/provocations.js";
import { type DatabaseProxy, openProxy } from "../support/proxy.js";
import { startTestServer, type TestServer } from "../support/server.js";
import { useSql, useTestServer } from "../support/server-hooks.js";
import { mintKey } from "../support/sign-up.js";

const server = useTestServer({ config: { role: "worker" } });
const sql = useSql(server);
let ada: Estate;

beforeAll(async () => {
  ada = await makeEstate(server.url);
});

/** Provoked by tests of their own: a small budget, an outage, a header of REST. */
const ownTests: ErrorCode[] = ["rate_limited", "unavailable", "invalid_if_match"];

it("every code of the table is declared by an operation and provoked here", () => {
  const declared = new Set(listOperations(appRouter).flatMap(errorCodesOf));
  const codes = Object.keys(errorTable) as ErrorCode[];
  expect([...Object.keys(provocations), ...ownTests].sort()).toEqual([...declared].sort());
  expect(codes.filter((code) => !declared.has(code))).toEqual([]);
});

/** What must not be in any body: texts of the fault, of SQL, of the engine and of stacks. */
const INTERNAL = new RegExp(
  `${INTERNAL_TEXT}|openworkflow|postgres|relation|select |insert |update |node_modules|\\.[jt]s:\\d`,
  "i",
);

/** What every refusal has in common, whatever its code. */
function expectRefusal(answer: DoorAnswer, code: ErrorCode, status: number, details: Input = {}): void {
  const { error: found, message, requestId, ...rest } = answer.error;
  expect({ code: found, status: answer.status }).toEqual({ code, status });
  expect(rest).toEqual(details);
  expect(message).toMatch(/^\S.{10,}[^.]\.$/);
  expect(answer.headers.get("content-type")).toMatch(/^application\/json\b/);
  const sent = answer.headers.get("x-request-id");
  expect(sent).toMatch(/^[\w-]{36}$/);
  expect(requestId).toBe(status >= 500 ? sent : undefined);
  expect(JSON.stringify(answer.error)).not.toMatch(INTERNAL);
}

async function during<T>(fault: Fault, work: () => Promise<T>): Promise<T> {
  await sql.unsafe(fault.breaks);
  try {
    return await work();
  } finally {
    await sql.unsafe(fault.mends);
  }
}

describe.each(doors)("over %s", (door) => {
  it.each(Object.entries(provocations))(
    "%s has its status, a sentence and its details",
    async (code, row) => {
      const { status, procedure, fault, details = {} } = row;
      const input = await row.input(ada);
      const key = row.credentials === undefined ? ada.client.key : await row.credentials(ada);
      const ask = () => call(door, server.url, key, procedure, input);

      const answer = await (fault === undefined ? ask() : during(fault, ask));

      const expected = typeof details === "function" ? await details(ada, input) : details;
      expectRefusal(answer, code as ErrorCode, status, expected);
      if (row.message !== undefined) expect(answer.error.message).toMatch(row.message);
      if (fault !== undefined) expect(await ask()).toMatchObject({ error: null });
    },
  );

  it("a run whose dispatch failed does not exist, and its idempotency key is free", async () => {
    const input = { id: ada.workflowId, idempotencyKey: madeUpLike(ada.workflowId) };
    const run = () => call(door, server.url, ada.client.key, "workflows.run", input);
    const countRuns = async () => (await sql`select from runs`).length;
    const before = await countRuns();
    expect(await during(refusingDispatch, run)).toMatchObject({ error: { error: "dispatch_failed" } });
    expect(await countRuns()).toBe(before);
    expect(await run()).toMatchObject({ error: null });
  });

  it("canceling a completed run is cancel_failed and says that it is completed", async () => {
    const answer = await call(door, server.url, ada.client.key, "runs.cancel", { runId: ada.runId });
    expectRefusal(answer, "cancel_failed", 500);
    expect(answer.error.message).toContain("completed");
  });
});

describe("invalid_if_match", () => {
  it("is the code of a bad If-Match over REST and of an impossible expectedVersion over tRPC", async () => {
    const input = { id: ada.workflowId, workflow: greeting };
    const rest = await call("rest", server.url, ada.client.key, "workflows.replace", input, {
      "if-match": "*",
    });
    expectRefusal(rest, "invalid_if_match", 400);
    const trpc = await call("trpc", server.url, ada.client.key, "workflows.replace", {
      ...input,
      expectedVersion: 0,
    });
    expectRefusal(trpc, "invalid_if_match", 400);
  });
});

describe("with a budget of three requests per minute", () => {
  const limited = useTestServer(() => ({
    databaseUrl: server.databaseUrl,
    config: { role: "api", rateLimitPerMinute: 3 },
  }));

  const limitHeaders = ({ headers }: DoorAnswer) =>
    ["limit", "remaining", "reset"].map((name) => Number(headers.get(`ratelimit-${name}`)));

  it("rate_limited tells on both doors when to come back, from one bucket per principal", async () => {
    const [key, other] = [await freshKey(), await freshKey()];
    for (const [index, door] of (["rest", "trpc", "rest"] as const).entries()) {
      const answer = await call(door, limited.url, key, "workflows.list");
      expect(answer.status).toBe(200);
      expect(limitHeaders(answer)).toEqual([3, 2 - index, expect.any(Number)]);
    }
    for (const door of doors) {
      const answer = await call(door, limited.url, key, "workflows.list");
      expectRefusal(answer, "rate_limited", 429, { retryAfterMs: expect.any(Number) });
      const { retryAfterMs } = answer.error;
      expect(retryAfterMs).toBeGreaterThan(0);
      expect(retryAfterMs).toBeLessThanOrEqual(60_000);
      const seconds = Math.ceil(retryAfterMs / 1_000);
      expect(answer.headers.get("retry-after")).toBe(String(seconds));
      expect(limitHeaders(answer)).toEqual([3, 0, seconds]);
    }
    expect(await call("rest", limited.url, other, "workflows.list")).toMatchObject({ status: 200 });
  });

  it("/health and operations without credentials have no budget", async () => {
    for (let count = 0; count < 5; count += 1) {
      const health = await send(limited.url, null, "GET", "/health");
      expect(health).toMatchObject({ status: 200, body: { status: "ok" } });
      expect(health.headers.get("ratelimit-limit")).toBeNull();
      expect(await call("rest", limited.url, null, "errors.list")).toMatchObject({ status: 200 });
    }
  });

  it.each(doors)("over %s 401 goes before 429, 429 before 403, 403 before 400 and 404", async (door) => {
    const key = await freshKey({ workflows: ["read"] });
    const ask = () => call(door, limited.url, key, "workflows.replace", everythingWrong());
    for (let count = 0; count < 3; count += 1) expectRefusal(await ask(), "forbidden", 403);
    expect(await ask()).toMatchObject({ status: 429, error: { error: "rate_limited" } });
    await deleteKey(key);
    expectRefusal(await ask(), "unauthorized", 401);
  });
});

it.each(doors)("over %s 400 goes before 404 and 404 before 412", async (door) => {
  const ask = (input: Input) => call(door, server.url, ada.client.key, "workflows.replace", input);
  const wrong = everythingWrong();
  expect(await ask(wrong)).toMatchObject({ status: 400, error: { error: "invalid_body" } });
  expectRefusal(await ask({ ...wrong, workflow: greeting }), "not_found", 404);
  expectRefusal(await ask({ ...wrong, workflow: greeting, id: ada.workflowId }), "version_mismatch", 412, {
    current: 2,
  });
});

it("over REST a bad If-Match goes before 404", async () => {
  const input = { id: madeUpLike(ada.workflowId), workflow: greeting };
  const answer = await call("rest", server.url, ada.client.key, "workflows.replace", input, {
    "if-match": "0",
  });
  expectRefusal(answer, "invalid_if_match", 400);
});

describe("while the database is away", () => {
  let proxy: DatabaseProxy;
  let proxied: TestServer;
  beforeAll(async () => {
    proxy = await openProxy(server.databaseUrl);
    proxied = await startTestServer({ databaseUrl: proxy.url });
  });
  afterAll(async () => {
    await proxied.close();
    await proxy.cut();
  });

  it("both doors answer unavailable, /health is fine, /ready is not, and all heals by itself", async () => {
    const ask = (door: (typeof doors)[number]) =>
      call(door, proxied.url, ada.client.key, "workflows.get", { id: ada.workflowId });
    for (const door of doors) expect(await ask(door)).toMatchObject({ status: 200 });

    await proxy.cut();
    for (const door of doors) expectRefusal(await ask(door), "unavailable", 503);
    expect(await send(proxied.url, null, "GET", "/health")).toMatchObject({ status: 200 });
    expect(await send(proxied.url, null, "GET", "/ready")).toMatchObject({
      status: 503,
      body: { status: "not_ready", checks: { database: "failed" } },
    });

    await proxy.mend();
    for (const door of doors)
      await waitFor(
        () => ask(door),
        ({ status }) => status === 200,
      );
    await waitFor(
      () => send(proxied.url, null, "GET", "/ready"),
      ({ status }) => status === 200,
    );
  });
});

/** Every defect that a replacement can have once its caller is known: body, id and version. */
function everythingWrong(): Input {
  return { id: madeUpLike(ada.workflowId), workflow: 5, expectedVersion: 99 };
}

function freshKey(permissions?: Record<string, string[]>): Promise<string> {
  return mintKey(server.url, ada.client.session, permissions === undefined ? {} : { permissions });
}

async function deleteKey(key: string): Promise<void> {
  const { body } = await send(server.url, null, "POST", "/api/auth/api-key/verify", { key });
  const { token } = ada.client.session;
  const deleted = await send(server.url, token, "POST", "/api/auth/api-key/delete", { keyId: body.key.id });
  expect(deleted).toMatchObject({ status: 200 });
}
