import { randomUUID } from "node:crypto";
import { beforeEach, describe, expect, it } from "vitest";
import { endedRun, waitFor } from "../support/client.js";
import { useClient, useSql, useTestServer } from "../support/server-hooks.js";
import { signalsOf, waitingFor } from "../support/signals.js";
import { block, createWorkflow, startRun, startWaiting, wait } from "../support/workflows.js";

const server = useTestServer();
const sql = useSql(server);
const client = useClient(server, beforeEach);
const { signal, sendSignal, outputsOf, buffered } = signalsOf(client, sql);

describe("a race", () => {
  it("of 200 signals with the waits that open for them loses none and gives none twice", async () => {
    const { organizationId } = client.session;
    const runId = await startWaiting(
      client,
      await createWorkflow(client, { blocks: [wait("pause", 1, "h")] }),
    );
    const { signals } = server.services;
    const principal = {
      kind: "user" as const,
      id: client.session.userId,
      userId: client.session.userId,
      organizationId,
      permissions: new Set<never>(),
    };
    const addresses = Array.from({ length: 200 }, (_, index) => ({
      name: "race",
      correlationKey: `k${index}`,
    }));
    let early = 0;
    const race = async (address: (typeof addresses)[number], index: number) => {
      const waiter = {
        organizationId,
        runId,
        blockId: "race",
        wakeKey: `${runId}:race#${address.correlationKey}@wait`,
      };
      const sending = () =>
        signals.send(principal, { ...address, payload: address.correlationKey, ttlSeconds: 60 });
      const opening = () => signals.openWait(waiter, { ...address, timeoutMs: null });
      // Some are in order, so that both outcomes are certain to come; of the others either party may be first.
      const opened = index % 2 === 0 ? opening() : null;
      if (index % 10 === 0) await opened;
      const sent = sending();
      if (index % 10 === 1) await sent;
      const [{ delivered, buffered: isEarly }, parkMs] = await Promise.all([sent, opened ?? opening()]);
      expect([delivered, parkMs]).toEqual(isEarly ? [[], 0] : [[runId], null]);
      if (isEarly) early += 1;
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
    const runId = await startWaiting(
      client,
      await createWorkflow(client, { blocks: [wait("pause", 1, "h")] }),
    );
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
    await Promise.all(payloads.map((payload) => sendSignal({ name: "share", payload })));
    const workflowId = await createWorkflow(client, waitingFor({ eventName: "share", timeoutHours: 1 }));
    await Promise.all(payloads.map(() => startRun(client, workflowId)));
    const taken = [...(await outputsOf(workflowId, payloads.length)).values()].map(({ data }) =>
      Number(data),
    );
    expect(taken.toSorted((a, b) => a - b)).toEqual(payloads);
  });

  it("of 100 runs that begin to wait with the signals for them ends every run", async () => {
    const workflowId = await createWorkflow(
      client,
      waitingFor({ eventName: "meet", correlationKey: "{{trigger.key}}" }),
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
    const outputs = await outputsOf(workflowId, keys.length);
    expect(runIds.map((runId) => outputs.get(runId)?.data)).toEqual(keys);
  });

  it("of a signal with the time limit of the block that waits goes to the sender who was told so", async () => {
    const { organizationId } = client.session;
    const workflowId = await createWorkflow(client, {
      blocks: [block("wait", "wait_for_event", { eventName: "edge" }, { timeoutMs: 1_500 })],
    });
    const runId = await startWaiting(client, workflowId);
    const queue = (length: number) =>
      waitFor(
        () => sql`
          select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
        (waiting) => waiting.length === length,
      );
    // First the sender stands in line for the wait, then the limit.
    const sending = await sql.begin(async (held) => {
      await held`select from signal_waits where organization_id = ${organizationId} for update`;
      const sent = sendSignal({ name: "edge", payload: "in time" });
      await queue(1);
      await queue(2);
      return { sent };
    });
    expect(await sending.sent).toMatchObject({ delivered: [runId], buffered: false });
    expect(await endedRun(client, runId)).toMatchObject({
      state: "completed",
      output: { outputs: { wait: { data: "in time", timedOut: false } } },
    });
  });

  it("of opening one wait again after a crash takes no second signal", async () => {
    const { organizationId } = client.session;
    const runId = await startWaiting(
      client,
      await createWorkflow(client, { blocks: [wait("pause", 1, "h")] }),
    );
    const waiter = { organizationId, runId, blockId: "again", wakeKey: `${runId}:again@wait` };
    const address = { name: "twice", correlationKey: "" };
    for (const payload of ["a", "b"]) await sendSignal({ name: "twice", payload });
    const open = () => server.services.signals.openWait(waiter, { ...address, timeoutMs: 60_000 });
    expect(await Promise.all([open(), open(), open()])).toEqual([0, 0, 0]);
    expect((await buffered("twice")).map(({ payload }) => payload)).toEqual(["b"]);
    expect(await server.services.signals.closeWait(waiter)).toEqual({ data: "a", timedOut: false });
  });
});
