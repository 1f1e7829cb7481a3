import { randomUUID } from "node:crypto";
import postgres from "postgres";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { endedRun, newClient, send, type TestClient, waitFor } from "../support/client.js";
import { startTestServer, type TestServer } from "../support/server.js";
import { mintKey } from "../support/sign-up.js";
import {
  block,
  connect,
  createWorkflow,
  logsOf,
  startRun,
  transform,
  trigger,
  wait,
} from "../support/workflows.js";

const DAY_MS = 86_400_000;

let server: TestServer;
let sql: postgres.Sql;
let client: TestClient;
/** How far the server's clock is ahead, in milliseconds. */
let ahead = 0;

beforeAll(async () => {
  server = await startTestServer({ now: () => new Date(Date.now() + ahead) });
  sql = postgres(server.databaseUrl, { max: 2, onnotice: () => {} });
});
afterAll(async () => {
  await sql.end();
  await server.close();
});
beforeEach(async () => {
  ahead = 0;
  client = await newClient(server.url);
});

const waiting = (params: Record<string, unknown>) => ({
  blocks: [trigger, block("wait", "wait_for_event", params)],
  connections: connect("start>wait"),
});

const signal = (body: unknown, headers: Record<string, string> = {}, from = client) =>
  from.request("POST", "/api/signals", body, headers);

async function sendSignal(body: Record<string, unknown>, from = client) {
  const answer = await signal(body, {}, from);
  expect(answer.body).toMatchObject({ id: expect.any(String) });
  expect(answer.status).toBe(202);
  return answer.body;
}

/** Starts a run and waits until it does. */
async function startWaiting(workflowId: string, input: unknown = {}): Promise<string> {
  const runId = await startRun(client, workflowId, { input });
  await waitFor(
    () => client.request("GET", `/api/runs/${runId}`),
    ({ body }) => body.state === "waiting",
  );
  return runId;
}

const outputOf = async (runId: string) => (await endedRun(client, runId)).output.outputs.wait;
const buffered = (name: string) =>
  sql`select payload from signals where name = ${name} and consumed_at is null order by position`;

describe("a signal", () => {
  it("ends the wait that is open and hands its payload on", async () => {
    const workflowId = await createWorkflow(client, {
      blocks: [
        trigger,
        block("wait", "wait_for_event", { eventName: "paid", correlationKey: "{{trigger.order}}" }),
        transform("receipt", "{{wait.data.amount}} for {{trigger.order}}"),
      ],
      connections: connect("start>wait>receipt"),
    });
    const runId = await startWaiting(workflowId, { order: "o-1" });
    expect(await sendSignal({ name: "paid", correlationKey: "o-1", payload: { amount: 5 } })).toEqual({
      id: expect.any(String),
      delivered: [runId],
      buffered: false,
    });
    expect((await endedRun(client, runId)).output.outputs).toMatchObject({
      wait: { data: { amount: 5 }, timedOut: false },
      receipt: { result: "5 for o-1" },
    });
  });

  it("that is sent before anybody waits is kept, and goes to the first wait only, oldest first", async () => {
    for (const payload of [1, 2]) {
      expect(await sendSignal({ name: "early", payload })).toMatchObject({ delivered: [], buffered: true });
    }
    const workflowId = await createWorkflow(client, waiting({ eventName: "early" }));
    const first = await startRun(client, workflowId);
    expect(await outputOf(first)).toEqual({ data: 1, timedOut: false });
    const second = await startRun(client, workflowId);
    expect(await outputOf(second)).toEqual({ data: 2, timedOut: false });
    await startWaiting(workflowId);
    expect(await buffered("early")).toHaveLength(0);
  });

  it("reaches exactly the waits with its correlation key, and without one those without one", async () => {
    const byKey = await createWorkflow(
      client,
      waiting({ eventName: "keyed", correlationKey: "{{trigger.key}}" }),
    );
    const open = await createWorkflow(client, waiting({ eventName: "keyed" }));
    const [one, number, none] = [
      await startWaiting(byKey, { key: "1a" }),
      await startWaiting(byKey, { key: 7 }),
      await startWaiting(open),
    ];
    expect(await sendSignal({ name: "keyed", correlationKey: "2a" })).toMatchObject({ delivered: [] });
    expect(await sendSignal({ name: "keyed", correlationKey: "7" })).toMatchObject({ delivered: [number] });
    expect(await sendSignal({ name: "keyed" })).toMatchObject({ delivered: [none] });
    expect(await sendSignal({ name: "keyed", correlationKey: "1a" })).toMatchObject({ delivered: [one] });
    for (const runId of [one, number, none]) expect(await outputOf(runId)).toMatchObject({ data: null });
  });

  it("ends every wait that is open under its name", async () => {
    const workflowId = await createWorkflow(client, waiting({ eventName: "all" }));
    const runIds = [await startWaiting(workflowId), await startWaiting(workflowId)];
    const { delivered } = await sendSignal({ name: "all", payload: "go" });
    expect(delivered.toSorted()).toEqual(runIds.toSorted());
    for (const runId of runIds) expect(await outputOf(runId)).toMatchObject({ data: "go" });
  });

  it("never leaves its organization", async () => {
    const runId = await startWaiting(await createWorkflow(client, waiting({ eventName: "ours" })));
    const other = await newClient(server.url);
    expect(await sendSignal({ name: "ours", payload: "theirs" }, other)).toMatchObject({
      delivered: [],
      buffered: true,
    });
    expect(await sendSignal({ name: "ours", payload: "ours" })).toMatchObject({ delivered: [runId] });
    expect(await outputOf(runId)).toMatchObject({ data: "ours" });
  });

  it("does not go to a run that was canceled", async () => {
    const workflowId = await createWorkflow(client, waiting({ eventName: "gone" }));
    const runId = await startWaiting(workflowId);
    expect(await client.request("POST", `/api/runs/${runId}/cancel`)).toMatchObject({ status: 204 });
    expect(await sendSignal({ name: "gone", payload: 1 })).toMatchObject({ delivered: [], buffered: true });
    expect(await outputOf(await startRun(client, workflowId))).toMatchObject({ data: 1 });
  });

  it("needs the permission signals:write", async () => {
    const key = await mintKey(server.url, client.session, { permissions: { runs: ["read"] } });
    expect(await send(server.url, key, "POST", "/api/signals", { name: "paid" })).toMatchObject({
      status: 403,
      body: { error: "forbidden" },
    });
  });

  it("with a payload above 256 KiB is payload_too_large", async () => {
    const answer = await signal({ name: "big", payload: "x".repeat(262_145) });
    expect(answer).toMatchObject({
      status: 413,
      body: { error: "payload_too_large", limitBytes: 262_144 },
    });
    expect(answer.body.message).toContain("payload");
  });

  it("expires when nobody waits in time, and is deleted after a day at the latest", async () => {
    const workflowId = await createWorkflow(client, waiting({ eventName: "stale", timeoutHours: 0 }));
    for (let count = 0; count < 25; count += 1) await sendSignal({ name: "stale", ttlSeconds: 60 });
    ahead = 61_000;
    expect(await outputOf(await startRun(client, workflowId))).toEqual({ data: null, timedOut: true });
    ahead = 2 * DAY_MS;
    for (let count = 0; count < 2; count += 1) await sendSignal({ name: "other" });
    expect(await buffered("stale")).toHaveLength(0);
  });
});

describe("a wait", () => {
  it("gives up when its time is up, and a later signal is kept for the next one", async () => {
    const workflowId = await createWorkflow(client, {
      blocks: [
        trigger,
        block("wait", "wait_for_event", { eventName: "late", timeoutHours: "{{trigger.hours}}" }),
        transform("got", "{{wait.data}}"),
        transform("missed", "nothing came"),
      ],
      connections: [
        ...connect("start>wait"),
        { source: "wait", target: "got", sourceHandle: "received" },
        { source: "wait", target: "missed", sourceHandle: "timed_out" },
      ],
    });
    const missed = await endedRun(client, await startRun(client, workflowId, { input: { hours: 0.0001 } }));
    expect(missed.output.outputs).toEqual({
      start: { hours: 0.0001 },
      wait: { data: null, timedOut: true },
      missed: { result: "nothing came" },
    });
    expect(await sendSignal({ name: "late", payload: "ha" })).toMatchObject({
      delivered: [],
      buffered: true,
    });
    const got = await endedRun(client, await startRun(client, workflowId, { input: { hours: 1 } }));
    expect(got.output.outputs).toMatchObject({ wait: { timedOut: false }, got: { result: "ha" } });
    expect(got.output.outputs).not.toHaveProperty("missed");
  });

  it("of no time only looks for what was sent before", async () => {
    const workflowId = await createWorkflow(client, waiting({ eventName: "peek", timeoutHours: 0 }));
    expect(await outputOf(await startRun(client, workflowId))).toEqual({ data: null, timedOut: true });
    await sendSignal({ name: "peek", payload: 1 });
    expect(await outputOf(await startRun(client, workflowId))).toEqual({ data: 1, timedOut: false });
  });

  it("in each branch gets its own signal, and shows in the logs as waiting", async () => {
    const workflowId = await createWorkflow(client, {
      blocks: [
        trigger,
        block("left", "wait_for_event", { eventName: "left" }),
        block("right", "wait_for_event", { eventName: "right" }),
        transform("both", "{{left.data}}{{right.data}}"),
      ],
      connections: connect("start>left>both", "start>right>both"),
    });
    const runId = await startWaiting(workflowId);
    const waits = (await logsOf(client, runId)).filter(
      ({ status }: { status: string }) => status === "waiting",
    );
    expect(waits.map(({ blockId }: { blockId: string }) => blockId).toSorted()).toEqual(["left", "right"]);
    await sendSignal({ name: "right", payload: "R" });
    await sendSignal({ name: "left", payload: "L" });
    expect((await endedRun(client, runId)).output.outputs.both).toEqual({ result: "LR" });
  });

  it("with a correlation key that is missing fails instead of taking any signal", async () => {
    const workflowId = await createWorkflow(
      client,
      waiting({ eventName: "strict", correlationKey: "{{trigger.nothing}}" }),
    );
    const run = await endedRun(client, await startRun(client, workflowId));
    expect(run).toMatchObject({ state: "failed", error: { blockId: "wait" } });
    expect(run.error.message).toContain("correlationKey");
  });
});

describe("an idempotency key", () => {
  it("sends once and answers alike, in the body and as a header", async () => {
    const key = randomUUID();
    const body = { name: "once", payload: { n: -0, deep: [1] } };
    const first = await sendSignal({ ...body, idempotencyKey: key });
    expect(await sendSignal({ ...body, idempotencyKey: key })).toEqual(first);
    expect(await signal(body, { "idempotency-key": key })).toMatchObject({ status: 202, body: first });
    expect(await buffered("once")).toHaveLength(1);
  });

  it("gives the first answer also when the signal was delivered or taken since", async () => {
    const [delivered, taken] = [randomUUID(), randomUUID()];
    const workflowId = await createWorkflow(client, waiting({ eventName: "again" }));
    const runId = await startWaiting(workflowId);
    const first = await sendSignal({ name: "again", idempotencyKey: delivered });
    expect(first).toMatchObject({ delivered: [runId] });
    const second = await sendSignal({ name: "again", payload: 2, idempotencyKey: taken });
    expect(second).toMatchObject({ buffered: true });
    await endedRun(client, await startRun(client, workflowId));
    expect(await sendSignal({ name: "again", idempotencyKey: delivered })).toEqual(first);
    expect(await sendSignal({ name: "again", payload: 2, idempotencyKey: taken })).toEqual(second);
  });

  it("with another content is idempotency_key_reused and names the signal", async () => {
    const idempotencyKey = randomUUID();
    const { id } = await sendSignal({ name: "same", payload: 1, idempotencyKey });
    for (const other of [{ payload: 2 }, { name: "else" }, { correlationKey: "k" }, { ttlSeconds: 5 }]) {
      expect(await signal({ name: "same", payload: 1, idempotencyKey, ...other })).toMatchObject({
        status: 422,
        body: { error: "idempotency_key_reused", signalId: id },
      });
    }
  });

  it("used by twenty at once sends one signal", async () => {
    const idempotencyKey = randomUUID();
    const runId = await startWaiting(await createWorkflow(client, waiting({ eventName: "rush" })));
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => sendSignal({ name: "rush", payload: 1, idempotencyKey })),
    );
    expect(new Set(answers.map((answer) => JSON.stringify(answer))).size).toBe(1);
    expect(answers[0]).toMatchObject({ delivered: [runId] });
    expect(await sql`select from signals where name = 'rush'`).toHaveLength(1);
  });
});

describe("a race", () => {
  it("of 200 signals with the waits that open for them loses none and gives none twice", async () => {
    const { organizationId } = client.session;
    const runId = await startWaiting(await createWorkflow(client, { blocks: [wait("pause", 1, "h")] }));
    const { signals } = server.services;
    const principal = {
      kind: "user" as const,
      id: client.session.userId,
      organizationId,
      permissions: new Set<never>(),
      roles: [],
    };
    const addresses = Array.from({ length: 200 }, (_, index) => ({
      name: "race",
      correlationKey: `k${index}`,
    }));
    let early = 0;
    const race = async (address: (typeof addresses)[number]) => {
      const waiter = {
        organizationId,
        runId,
        blockId: "race",
        wakeKey: `${runId}:race#${address.correlationKey}@wait`,
      };
      const sending = () =>
        signals.send(principal, { ...address, payload: address.correlationKey, ttlSeconds: 60 });
      const opening = () => signals.openWait(waiter, { ...address, timeoutMs: null });
      // Whichever is asked for first has the better chance.
      const opened = Number(address.correlationKey.slice(1)) % 2 === 0 ? opening() : null;
      const [sent, parkMs] = await Promise.all([sending(), opened ?? opening()]);
      expect([sent.delivered, parkMs]).toEqual(sent.buffered ? [[], 0] : [[runId], null]);
      if (sent.buffered) early += 1;
      expect(await signals.closeWait(waiter)).toEqual({ data: address.correlationKey, timedOut: false });
    };
    for (let index = 0; index < addresses.length; index += 20) {
      await Promise.all(addresses.slice(index, index + 20).map(race));
    }
    expect(await buffered("race")).toHaveLength(0);
    expect(early).toBeGreaterThan(0);
    expect(early).toBeLessThan(addresses.length);
  }, 60_000);

  it("of a signal with the timeout of its wait is decided once: taken by it, or kept", async () => {
    const { organizationId } = client.session;
    const runId = await startWaiting(await createWorkflow(client, { blocks: [wait("pause", 1, "h")] }));
    const { signals } = server.services;
    const raced = Array.from({ length: 100 }, async (_, index) => {
      const address = { name: "close", correlationKey: `k${index}` };
      const waiter = { organizationId, runId, blockId: "close", wakeKey: `${runId}:close#${index}@wait` };
      await signals.openWait(waiter, { ...address, timeoutMs: null });
      const [{ body }, outcome] = await Promise.all([signal(address), signals.closeWait(waiter)]);
      expect(outcome.timedOut).toBe(body.buffered);
      expect(await signals.closeWait(waiter)).toEqual(outcome);
    });
    await Promise.all(raced);
  });

  it("of 60 runs for 60 kept signals gives each run its own", async () => {
    const payloads = Array.from({ length: 60 }, (_, index) => index);
    for (const payload of payloads) await sendSignal({ name: "share", payload });
    const workflowId = await createWorkflow(client, waiting({ eventName: "share", timeoutHours: 1 }));
    const runIds = await Promise.all(payloads.map(() => startRun(client, workflowId)));
    const taken = await Promise.all(runIds.map(async (runId) => (await outputOf(runId)).data));
    expect(taken.toSorted((a, b) => a - b)).toEqual(payloads);
  });

  it("of 100 runs that begin to wait with the signals for them ends every run", async () => {
    const workflowId = await createWorkflow(
      client,
      waiting({ eventName: "meet", correlationKey: "{{trigger.key}}" }),
    );
    const keys = Array.from({ length: 100 }, () => randomUUID());
    const runIds = await Promise.all(
      keys.map(async (key) => {
        const [runId] = await Promise.all([
          startRun(client, workflowId, { input: { key } }),
          sendSignal({ name: "meet", correlationKey: key, payload: key }),
        ]);
        return runId;
      }),
    );
    expect(await Promise.all(runIds.map(async (runId) => (await outputOf(runId)).data))).toEqual(keys);
  });

  it("of opening one wait again after a crash takes no second signal", async () => {
    const { organizationId } = client.session;
    const runId = await startWaiting(await createWorkflow(client, { blocks: [wait("pause", 1, "h")] }));
    const waiter = { organizationId, runId, blockId: "again", wakeKey: `${runId}:again@wait` };
    const address = { name: "twice", correlationKey: "" };
    for (const payload of ["a", "b"]) await sendSignal({ name: "twice", payload });
    const open = () => server.services.signals.openWait(waiter, { ...address, timeoutMs: 60_000 });
    expect(await Promise.all([open(), open(), open()])).toEqual([0, 0, 0]);
    expect((await buffered("twice")).map(({ payload }) => payload)).toEqual(["b"]);
    expect(await server.services.signals.closeWait(waiter)).toEqual({ data: "a", timedOut: false });
  });
});
