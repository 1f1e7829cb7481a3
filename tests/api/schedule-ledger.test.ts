import { beforeEach, describe, expect, it } from "vitest";
import { newClient, waitFor } from "../support/client.js";
import { useClockAt } from "../support/clocks.js";
import { schedulesOf } from "../support/schedules.js";
import { useClient, useSql, useTestServer } from "../support/server-hooks.js";
import { createWorkflow, wait, walkPages } from "../support/workflows.js";

/** A run of it lasts until it is canceled. */
const lasting = { blocks: [wait("pause", 1, "h")] };

const clock = useClockAt("2026-11-22T10:00:30.000Z");
const server = useTestServer({ now: clock.now });
const sql = useSql(server);
const client = useClient(server, beforeEach);
const { schedule, moveTo, get, ledger, ledgerOf, runOf } = schedulesOf(client, { clock, sql });

describe("the ledger", () => {
  it("is listed newest first in pages without gap or duplicate, by outcome, and only to its organization", async () => {
    const id = await schedule({ catchup: { mode: "all" } });
    await moveTo("2026-11-22T10:07:10Z");
    await ledgerOf(id, 7);
    for (const limit of [1, 3, 7]) {
      const rows = await walkPages(client, `/api/schedules/${id}/occurrences`, limit);
      expect(rows.map((row) => row.scheduledFor.slice(14, 16))).toEqual(
        [..."7654321"].map((digit) => `0${digit}`),
      );
    }
    expect(await walkPages(client, `/api/schedules/${id}/occurrences?outcome=caught_up`, 4)).toHaveLength(6);
    expect((await get(id)).recent).toHaveLength(5);
    const stranger = await newClient(server.url);
    const foreign = await stranger.request("GET", `/api/schedules/${id}/occurrences`);
    expect([foreign.status, foreign.body.error]).toEqual([404, "not_found"]);
  });
});

describe("a dispatch that fails on the server", () => {
  const refuse = () =>
    sql.unsafe(`
      create function refuse_stuck() returns trigger language plpgsql as $$
      begin
        if new.trigger->>'scheduleId' = 'sch_stuck' then raise exception 'no room'; end if;
        return new;
      end $$;
      create trigger refuse_stuck before insert on runs for each row execute function refuse_stuck();`);

  it("waits in the ledger, longer each time, while later instants and others fire; then it gets its run", async () => {
    const stuck = await schedule({ id: "sch_stuck" });
    const fine = await schedule();
    await refuse();
    try {
      await moveTo("2026-11-22T10:01:00Z");
      expect(await ledgerOf(fine, 1)).toEqual(["10:01 fired"]);
      expect(await ledgerOf(stuck, 1)).toEqual(["10:01 pending"]);
      expect((await get(stuck)).recent[0]).toMatchObject({
        attempts: 1,
        nextAttemptAt: "2026-11-22T10:01:01.000Z",
        reason: "The run could not be handed to the engine; it is tried again.",
      });
      expect((await get(stuck)).nextFireAt).toBe("2026-11-22T10:02:00.000Z");
      await moveTo("2026-11-22T10:01:01Z");
      const second = await waitFor(
        async () => (await get(stuck)).recent[0],
        ({ attempts }) => attempts === 2,
      );
      expect(second.nextAttemptAt).toBe("2026-11-22T10:01:03.000Z");
    } finally {
      await sql`drop function refuse_stuck cascade`;
    }
    await moveTo("2026-11-22T10:02:00Z");
    const rows = await ledger(stuck, (all) => all.length === 2 && !all.includes("10:01 pending"));
    expect(rows).toEqual(["10:01 fired", "10:02 fired"]);
    expect((await get(stuck)).recent[1]).toMatchObject({ attempts: 3, firedAt: "2026-11-22T10:02:00.000Z" });
    expect(await ledgerOf(fine, 2)).toEqual(["10:01 fired", "10:02 fired"]);
    expect(await walkPages(client, "/api/runs", 100)).toHaveLength(4);
  });

  it("is reported by a tick and tried again after it", async () => {
    const id = await schedule({ id: "sch_stuck", cron: "0 10 * * *" });
    await refuse();
    try {
      const { body } = await client.request("POST", "/api/admin/tick");
      expect(body).toMatchObject({ fired: [], failed: [{ scheduleId: id, error: expect.any(String) }] });
    } finally {
      await sql`drop function refuse_stuck cascade`;
    }
    await moveTo("2026-11-22T10:00:59Z");
    expect(await ledger(id, (rows) => rows[0] !== "10:00 pending")).toEqual(["10:00 fired"]);
  });
});

describe("changing a calendar when an instant has come", () => {
  it("keeps the instant of the old calendar", async () => {
    const id = await schedule();
    clock.set("2026-11-22T10:01:00.000Z");
    const { body } = await client.request("PATCH", `/api/schedules/${id}`, { cron: "0 12 * * *" });
    expect(body.nextFireAt).toBe("2026-11-22T12:00:00.000Z");
    expect(await ledger(id, (rows) => rows[0] === "10:01 fired")).toEqual(["10:01 fired"]);
  });

  /** A schedule of one instant, 11:00, whose run the jitter still delays; the clock stands between them. */
  const delayed = async () => {
    const id = await schedule({ cron: "0 11 * * *", jitterSeconds: 3_000 });
    const { nextFireAt } = await get(id);
    clock.set(new Date(Date.parse(nextFireAt) - 1).toISOString());
    return { id, nextFireAt };
  };
  const pending = (nextAttemptAt: string) => [
    { scheduledFor: "2026-11-22T11:00:00.000Z", outcome: "pending", nextAttemptAt, runId: null },
  ];

  it.each([{ endAt: "2026-12-01T00:00:00Z" }, { jitterSeconds: 0 }, { cron: "0 12 * * *" }])(
    "keeps one whose run the jitter delays, and its time: %j",
    async (change) => {
      const { id, nextFireAt } = await delayed();
      await client.request("PATCH", `/api/schedules/${id}`, change);
      expect((await get(id)).recent).toMatchObject(pending(nextFireAt));
      await moveTo(nextFireAt);
      expect(await ledger(id, (rows) => rows[0] === "11:00 fired")).toEqual(["11:00 fired"]);
      expect((await get(id)).recent).toMatchObject([{ firedAt: nextFireAt, reason: null }]);
    },
  );

  it.each([
    ["missed when the schedule is still paused", false, "11:00 missed"],
    ["fired when the schedule goes on before", true, "11:00 fired"],
  ])("keeps one whose run the jitter delays over a pause: %s", async (_, isResumed, row) => {
    const { id, nextFireAt } = await delayed();
    await client.request("PATCH", `/api/schedules/${id}`, { enabled: false });
    expect((await get(id)).recent).toMatchObject(pending(nextFireAt));
    if (isResumed) await client.request("PATCH", `/api/schedules/${id}`, { enabled: true });
    await moveTo(nextFireAt);
    expect(await ledger(id, (rows) => rows[0] !== "11:00 pending")).toEqual([row]);
  });
});

describe("a backfill", () => {
  const backfill = (id: string, from: string, to: string, more: Record<string, unknown> = {}) =>
    client.request("POST", `/api/schedules/${id}/backfill`, {
      from: `2026-11-22T${from}:00Z`,
      to: `2026-11-22T${to}:00Z`,
      ...more,
    });

  it("runs each instant of the past once ever, missed ones too, and none to come", async () => {
    const id = await schedule({ catchup: { mode: "none" }, enabled: true });
    await moveTo("2026-11-22T10:03:10Z");
    await ledgerOf(id, 3);
    const first = await backfill(id, "09:58", "11:00");
    expect([first.status, first.body]).toEqual([202, { accepted: 5, skipped: 1, reason: null }]);
    const rows = await ledger(id, (all) => all.length === 6 && !all.some((row) => row.endsWith("pending")));
    expect(rows).toEqual([
      "09:58 backfilled",
      "09:59 backfilled",
      "10:00 backfilled",
      "10:01 backfilled",
      "10:02 backfilled",
      "10:03 fired",
    ]);
    expect((await backfill(id, "09:58", "11:00")).body).toEqual({ accepted: 0, skipped: 6, reason: null });
    expect(await walkPages(client, "/api/runs", 100)).toHaveLength(6);
    expect(await get(id)).toMatchObject({ runCount: 1 });
  });

  it("goes one after another where runs must not overlap, also of a paused schedule", async () => {
    const workflowId = await createWorkflow(client, lasting);
    const id = await schedule({ workflowId, overlap: "skip", enabled: false });
    expect((await backfill(id, "09:57", "10:00")).body).toEqual({ accepted: 3, skipped: 0, reason: null });
    const expected = [
      ["09:57 backfilled", "09:58 pending", "09:59 pending"],
      ["09:57 backfilled", "09:58 backfilled", "09:59 pending"],
      ["09:57 backfilled", "09:58 backfilled", "09:59 backfilled"],
    ];
    for (const [index, rows] of expected.entries()) {
      expect(await ledger(id, (all) => all[index]?.endsWith("backfilled") === true)).toEqual(rows);
      await client.request("POST", `/api/runs/${await runOf(id, `09:5${7 + index}`)}/cancel`);
    }
  });

  it("of more than 1,000 instants is limit_exceeded, and of a range that ends before it begins invalid_body", async () => {
    const id = await schedule();
    const body = { from: "2026-11-01T00:00:00Z", to: "2026-11-22T00:00:00Z" };
    const large = await client.request("POST", `/api/schedules/${id}/backfill`, body);
    expect([large.status, large.body.error, large.body.limit]).toEqual([422, "limit_exceeded", 1000]);
    const backwards = await backfill(id, "10:00", "09:00");
    expect(backwards.body).toMatchObject({ error: "invalid_body", issues: [{ path: ["to"] }] });
  });

  it.each([
    ["in the future", "11:00", {}],
    ["startAt (2026-11-22T09:30:00.000Z)", "09:00", { startAt: "2026-11-22T09:30:00Z" }],
    ["endAt (2026-11-22T08:30:00.000Z)", "09:00", { endAt: "2026-11-22T08:30:00Z" }],
    ["0 9 * * *", "09:01", { cron: "0 9 * * *" }],
  ])("of a range without an instant says why: %s", async (reason, from, settings) => {
    const id = await schedule(settings);
    const { body } = await backfill(id, from, `${from.slice(0, 3)}20`);
    expect(body).toEqual({ accepted: 0, skipped: 0, reason: expect.stringContaining(reason) });
  });

  it("that goes one after another lets an instant of the calendar wait, and it comes next", async () => {
    const workflowId = await createWorkflow(client, lasting);
    const id = await schedule({ workflowId, overlap: "buffer_one" });
    await backfill(id, "09:57", "10:00");
    await ledger(id, (rows) => rows[0] === "09:57 backfilled");
    await moveTo("2026-11-22T10:01:00Z");
    expect(await ledgerOf(id, 4)).toEqual([
      "09:57 backfilled",
      "09:58 pending",
      "09:59 pending",
      "10:01 pending",
    ]);
    await client.request("POST", `/api/runs/${await runOf(id, "09:57")}/cancel`);
    await ledger(id, (rows) => rows[3] === "10:01 fired");
    await moveTo("2026-11-22T10:02:00Z");
    expect(await ledgerOf(id, 5)).toEqual([
      "09:57 backfilled",
      "09:58 pending",
      "09:59 pending",
      "10:01 fired",
      "10:02 pending",
    ]);
    await client.request("POST", `/api/runs/${await runOf(id, "10:01")}/cancel`);
    await ledger(id, (rows) => rows[4] === "10:02 fired");
    await client.request("POST", `/api/runs/${await runOf(id, "10:02")}/cancel`);
    expect(await ledger(id, (rows) => rows[1] === "09:58 backfilled")).toHaveLength(5);
  });

  it("of a workflow that cannot run is refused and leaves no row", async () => {
    const empty = await createWorkflow(client);
    const id = await schedule({ workflowId: empty });
    expect((await backfill(id, "09:00", "09:03")).body.error).toBe("workflow_invalid");
    await client.request("DELETE", `/api/workflows/${empty}`);
    expect((await backfill(id, "09:00", "09:03")).body.error).toBe("workflow_not_found");
    expect((await get(id)).recent).toEqual([]);
  });
});
