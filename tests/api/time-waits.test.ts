import { describe, expect, it } from "vitest";
import { waitUntil } from "../../server/connectors/builtin/wait-until.js";
import type { Connector, WaitConnector } from "../../server/connectors/define-connector.js";
import { endedRun, readRun } from "../support/client.js";
import { useClient, useSql, useTestServer } from "../support/server-hooks.js";
import {
  block,
  connect,
  createWorkflow,
  edit,
  logsOf,
  runDocument,
  startWaiting,
  trigger,
  wait,
} from "../support/workflows.js";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

const server = useTestServer();
const client = useClient(server);
const sql = useSql(server);

/** When the engine goes on with a run that waits, in milliseconds since 1970. */
async function dueAtOf(runId: string): Promise<number> {
  const [row] = await sql`select available_at from openworkflow.workflow_runs where id = ${runId}`;
  return Number(row?.available_at);
}

const until = (params: Record<string, unknown>) => ({
  blocks: [trigger, block("pause", "wait_until", params)],
  connections: connect("start>pause"),
});

describe("wait_duration", () => {
  it("parks the run as waiting and then completes it with the instant it went on", async () => {
    const id = await createWorkflow(client, { blocks: [wait("pause", 1, "h")] });
    const parked = await startWaiting(client, id);
    const { startedAt } = await readRun(client, parked);
    const [begun] = await logsOf(client, parked);
    const dueAt = await dueAtOf(parked);
    expect(dueAt).toBeGreaterThanOrEqual(Date.parse(startedAt) + HOUR_MS);
    expect(dueAt).toBeLessThanOrEqual(Date.parse(begun.startedAt) + HOUR_MS);

    const run = await runDocument(client, { blocks: [wait("pause", 400)] });
    expect(run.state).toBe("completed");
    const resumedAt = Date.parse(run.output.outputs.pause.resumedAt);
    expect(resumedAt - Date.parse(run.startedAt)).toBeGreaterThanOrEqual(395);
    expect(resumedAt).toBeLessThanOrEqual(Date.parse(run.finishedAt));
  });

  it("longer than the timeoutMs of its block ends with timeout, a shorter one does not", async () => {
    const limit = (id: string, milliseconds: number, timeoutMs: number) =>
      block(id, "wait_duration", { duration: milliseconds, unit: "ms" }, { timeoutMs, onError: "continue" });
    const run = await runDocument(client, {
      blocks: [
        limit("long", HOUR_MS, 300),
        limit("short", 100, HOUR_MS),
        block(
          "late",
          "wait_until",
          { at: new Date(Date.now() + HOUR_MS).toISOString() },
          { timeoutMs: 300, onError: "continue" },
        ),
      ],
    });
    const error = { code: "timeout", message: expect.stringContaining("300 ms") };
    expect(run.output.outputs).toEqual({
      long: { error },
      short: { resumedAt: expect.any(String) },
      late: { error },
    });
  });

  it("tells until when a block waits, and when the end of its run has ended it", async () => {
    const id = await createWorkflow(client, {
      blocks: [wait("pause", 1, "h"), block("event", "wait_for_event", { eventName: "never" })],
    });
    const runId = await startWaiting(client, id);
    const { blocks } = await readRun(client, runId);
    expect(blocks.event).toMatchObject({ state: "waiting", waitingUntil: null });
    expect(Date.parse(blocks.pause.waitingUntil)).toBe(await dueAtOf(runId));
    await client.request("POST", `/api/runs/${runId}/cancel`);
    const { blocks: ended } = await endedRun(client, runId);
    const { finishedAt } = ended.pause;
    expect(finishedAt).toEqual(expect.any(String));
    for (const blockId of ["pause", "event"]) {
      expect(ended[blockId]).toMatchObject({ state: "canceled", finishedAt, waitingUntil: null });
    }
    for (const attempt of await logsOf(client, runId)) expect(attempt).toMatchObject({ finishedAt });
  });

  it("takes its length from a reference, and fails by name when that is none", async () => {
    const document = {
      blocks: [block("pause", "wait_duration", { duration: "{{trigger.ms}}", unit: "ms" })],
    };
    expect(await runDocument(client, document, { ms: 1 })).toMatchObject({ state: "completed" });
    const failed = await runDocument(client, document, { ms: "long" });
    expect(failed.error).toMatchObject({
      code: "invalid_params",
      blockId: "pause",
      message: expect.stringMatching(/^Parameter duration: /),
    });
  });
});

describe("wait_until", () => {
  it("goes on at the instant, to the second, and says when", async () => {
    const later = new Date(Date.now() + HOUR_MS);
    const parked = await startWaiting(
      client,
      await createWorkflow(client, until({ at: later.toISOString() })),
    );
    expect(Math.abs((await dueAtOf(parked)) - later.getTime())).toBeLessThan(1_000);

    const at = new Date(Date.now() + 700);
    const run = await runDocument(client, until({ at: "{{trigger.at}}" }), { at: at.toISOString() });
    const resumedAt = Date.parse(run.output.outputs.pause.resumedAt);
    expect(resumedAt).toBeGreaterThanOrEqual(at.getTime());
    expect(resumedAt).toBeLessThanOrEqual(Date.parse(run.finishedAt));
  });

  it("does not wait for what has passed", async () => {
    const before = Date.now();
    const run = await runDocument(client, until({ at: "2020-01-01", timezone: "Asia/Tokyo" }));
    expect(Date.parse(run.output.outputs.pause.resumedAt)).toBeGreaterThanOrEqual(before);
  });

  it("holds no worker while it waits, and can be canceled", async () => {
    const at = new Date(Date.now() + 300 * DAY_MS).toISOString();
    const runId = await startWaiting(client, await createWorkflow(client, until({ at })));
    expect(await client.request("POST", `/api/runs/${runId}/cancel`)).toMatchObject({ status: 204 });
    expect(await endedRun(client, runId)).toMatchObject({ state: "canceled" });
  });

  it("fails for an instant more than a year ahead and says so", async () => {
    const at = new Date(Date.now() + 366 * DAY_MS).toISOString();
    expect(await runDocument(client, until({ at }))).toMatchObject({
      state: "failed",
      error: { code: "wait_too_long", blockId: "pause", message: expect.stringContaining("365 days") },
    });
  });

  it("fails for a text that came with the run and is no time", async () => {
    const run = await runDocument(client, until({ at: "{{trigger.at}}" }), { at: "tomorrow" });
    expect(run).toMatchObject({ state: "failed", error: { code: "invalid_params", blockId: "pause" } });
    expect(run.error.message).toContain("at");
  });

  const wrong: [params: Record<string, unknown>, field: string][] = [
    [{}, "at"],
    [{ at: "tomorrow" }, "at"],
    [{ at: "2026-02-30T10:00", timezone: "UTC" }, "at"],
    [{ at: "2026-12-24T18:00" }, "timezone"],
    [{ at: "2026-12-24T18:00:00Z", timezone: "UTC" }, "timezone"],
    [{ at: "2026-12-24T18:00", timezone: "Mars/Olympus" }, "timezone"],
  ];
  it.each(wrong)("with %j is refused at edit time by %s", async (params, field) => {
    const { body } = await edit(client, await createWorkflow(client), [
      { operation_type: "add", block_id: "pause", type: "wait_until", params },
    ]);
    expect(body.validation_errors).toMatchObject([{ block_id: "pause", field }]);
  });

  it("with references in its time is left to the run", async () => {
    const id = await createWorkflow(
      client,
      until({ at: "{{trigger.date}}T09:00", timezone: "Europe/Berlin" }),
    );
    const { body } = await edit(client, id, []);
    expect(body).toMatchObject({ ok: true, validation_errors: [] });
  });
});

it("an instant may leave out the seconds", () => {
  const now = new Date("2026-12-24T16:00:00Z");
  for (const at of ["2026-12-24T18:00+01:00", "2026-12-24T17:00Z"]) {
    expect(waitUntil.waitMs(waitUntil.params.parse({ at }), now)).toBe(3_600_000);
  }
});

describe("a local time", () => {
  const connector: Connector = waitUntil;
  const instantOf = (at: string, timezone: string, now: string) => {
    const params = connector.params.parse({ at, timezone });
    const waitMs = (connector as WaitConnector).waitMs(params, new Date(now));
    return new Date(Date.parse(now) + waitMs).toISOString();
  };

  it.each([
    ["2026-12-24T18:00", "Europe/Berlin", "2026-12-24T17:00:00.000Z"],
    ["2026-07-01T18:00:30", "America/New_York", "2026-07-01T22:00:30.000Z"],
    ["2026-12-24", "Asia/Kolkata", "2026-12-23T18:30:00.000Z"],
  ])("%s in %s is %s", (at, timezone, instant) => {
    expect(instantOf(at, timezone, "2026-03-01T00:00:00Z")).toBe(instant);
  });

  it("that the clock jumps over comes as much later as it jumps", () => {
    expect(instantOf("2026-03-29T02:30", "Europe/Berlin", "2026-03-01T00:00:00Z")).toBe(
      "2026-03-29T01:30:00.000Z",
    );
    expect(instantOf("2027-03-14T02:30", "America/New_York", "2027-03-01T00:00:00Z")).toBe(
      "2027-03-14T07:30:00.000Z",
    );
  });

  it("that the clock shows twice is the first of the two", () => {
    expect(instantOf("2026-10-25T02:30", "Europe/Berlin", "2026-03-01T00:00:00Z")).toBe(
      "2026-10-25T00:30:00.000Z",
    );
    expect(instantOf("2027-04-04T01:45", "Australia/Lord_Howe", "2027-03-01T00:00:00Z")).toBe(
      "2027-04-03T14:45:00.000Z",
    );
  });
});
