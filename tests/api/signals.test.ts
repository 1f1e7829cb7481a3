import { randomUUID } from "node:crypto";
import { beforeEach, describe, expect, it } from "vitest";
import { endedRun, newClient, send } from "../support/client.js";
import { useShiftedClock } from "../support/clocks.js";
import { useClient, useSql, useTestServer } from "../support/server-hooks.js";
import { mintKey } from "../support/sign-up.js";
import { signalsOf, waitingFor } from "../support/signals.js";
import {
  block,
  connect,
  createWorkflow,
  logsOf,
  startRun,
  startWaiting,
  transform,
  trigger,
} from "../support/workflows.js";

const DAY_MS = 86_400_000;

const clock = useShiftedClock();
const server = useTestServer({ now: clock.now });
const sql = useSql(server);
const client = useClient(server, beforeEach);
const { signal, sendSignal, outputOf, buffered } = signalsOf(client, sql);

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
    const runId = await startWaiting(client, workflowId, { order: "o-1" });
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
    const workflowId = await createWorkflow(client, waitingFor({ eventName: "early" }));
    const first = await startRun(client, workflowId);
    expect(await outputOf(first)).toEqual({ data: 1, timedOut: false });
    const second = await startRun(client, workflowId);
    expect(await outputOf(second)).toEqual({ data: 2, timedOut: false });
    await startWaiting(client, workflowId);
    expect(await buffered("early")).toHaveLength(0);
  });

  it("reaches exactly the waits with its correlation key, and without one those without one", async () => {
    const byKey = await createWorkflow(
      client,
      waitingFor({ eventName: "keyed", correlationKey: "{{trigger.key}}" }),
    );
    const open = await createWorkflow(client, waitingFor({ eventName: "keyed" }));
    const [one, number, none] = [
      await startWaiting(client, byKey, { key: "1a" }),
      await startWaiting(client, byKey, { key: 7 }),
      await startWaiting(client, open),
    ];
    expect(await sendSignal({ name: "keyed", correlationKey: "2a" })).toMatchObject({ delivered: [] });
    expect(await sendSignal({ name: "keyed", correlationKey: "7" })).toMatchObject({ delivered: [number] });
    expect(await sendSignal({ name: "keyed" })).toMatchObject({ delivered: [none] });
    expect(await sendSignal({ name: "keyed", correlationKey: "1a" })).toMatchObject({ delivered: [one] });
    for (const runId of [one, number, none]) expect(await outputOf(runId)).toMatchObject({ data: null });
  });

  it("ends every wait that is open under its name", async () => {
    const workflowId = await createWorkflow(client, waitingFor({ eventName: "all" }));
    const runIds = [await startWaiting(client, workflowId), await startWaiting(client, workflowId)];
    const { delivered } = await sendSignal({ name: "all", payload: "go" });
    expect(delivered.toSorted()).toEqual(runIds.toSorted());
    for (const runId of runIds) expect(await outputOf(runId)).toMatchObject({ data: "go" });
  });

  it("never leaves its organization", async () => {
    const runId = await startWaiting(client, await createWorkflow(client, waitingFor({ eventName: "ours" })));
    const other = await newClient(server.url);
    expect(await sendSignal({ name: "ours", payload: "theirs" }, other)).toMatchObject({
      delivered: [],
      buffered: true,
    });
    expect(await sendSignal({ name: "ours", payload: "ours" })).toMatchObject({ delivered: [runId] });
    expect(await outputOf(runId)).toMatchObject({ data: "ours" });
  });

  it("does not go to a run that was canceled", async () => {
    const workflowId = await createWorkflow(client, waitingFor({ eventName: "gone" }));
    const runId = await startWaiting(client, workflowId);
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
    const workflowId = await createWorkflow(client, waitingFor({ eventName: "stale", timeoutHours: 0 }));
    for (let count = 0; count < 25; count += 1) await sendSignal({ name: "stale", ttlSeconds: 60 });
    clock.aheadMs = 61_000;
    expect(await outputOf(await startRun(client, workflowId))).toEqual({ data: null, timedOut: true });
    clock.aheadMs = 2 * DAY_MS;
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
    const workflowId = await createWorkflow(client, waitingFor({ eventName: "peek", timeoutHours: 0 }));
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
    const runId = await startWaiting(client, workflowId);
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
      waitingFor({ eventName: "strict", correlationKey: "{{trigger.nothing}}" }),
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
    const workflowId = await createWorkflow(client, waitingFor({ eventName: "again" }));
    const runId = await startWaiting(client, workflowId);
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
    const runId = await startWaiting(client, await createWorkflow(client, waitingFor({ eventName: "rush" })));
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => sendSignal({ name: "rush", payload: 1, idempotencyKey })),
    );
    expect(new Set(answers.map((answer) => JSON.stringify(answer))).size).toBe(1);
    expect(answers[0]).toMatchObject({ delivered: [runId] });
    expect(await sql`select from signals where name = 'rush'`).toHaveLength(1);
  });
});
