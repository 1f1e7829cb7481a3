import postgres from "postgres";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { newClient, type TestClient, waitFor } from "../support/client.js";
import { startTestServer, type TestServer } from "../support/server.js";
import { clockAt, createWorkflow, trigger, wait, walkPages } from "../support/workflows.js";

const clock = clockAt("2026-11-22T10:00:30.000Z");
const instant = { blocks: [trigger] };
/** A run of it lasts until it is canceled. */
const lasting = { blocks: [wait("pause", 1, "h")] };
let server: TestServer;
let sql: postgres.Sql;
let client: TestClient;
let workflowId: string;

beforeAll(async () => {
  server = await startTestServer({ now: clock.now });
  sql = postgres(server.databaseUrl, { max: 1, onnotice: () => {} });
});
beforeEach(async () => {
  clock.set("2026-11-22T10:00:30.000Z");
  client = await newClient(server.url);
  workflowId = await createWorkflow(client, instant);
});
afterAll(async () => {
  await sql.end();
  await server.close();
});

async function schedule(more: Record<string, unknown> = {}): Promise<string> {
  const body = { workflowId, cron: "* * * * *", ...more };
  const answer = await client.request("POST", "/api/schedules", body);
  expect([answer.status, answer.body.error]).toEqual([201, undefined]);
  return answer.body.id;
}

/** The scheduler sleeps by real time, but looks at the clock again when it is notified. */
async function moveTo(time: string): Promise<void> {
  clock.set(`2026-11-22T${time}.000Z`);
  await sql`notify schedule_changed`;
}

const get = async (id: string) => (await client.request("GET", `/api/schedules/${id}`)).body;

/** Rows of the ledger, oldest first, as `minute outcome`; waits until `isDone`. */
async function ledger(id: string, isDone: (rows: string[]) => boolean): Promise<string[]> {
  return waitFor(async () => {
    const rows = await walkPages(client, `/api/schedules/${id}/occurrences`, 100);
    return rows.map((row) => `${row.scheduledFor.slice(11, 16)} ${row.outcome}`).reverse();
  }, isDone);
}
const ledgerOf = (id: string, count: number) => ledger(id, (rows) => rows.length >= count);

/** The last row's run. */
const runOf = async (id: string, minute: string): Promise<string> => {
  const { body } = await client.request("GET", `/api/schedules/${id}/occurrences?limit=100`);
  return body.data.find((row: { scheduledFor: string }) => row.scheduledFor.slice(11, 16) === minute).runId;
};
const stateOf = async (runId: string) => (await client.request("GET", `/api/runs/${runId}`)).body.state;

describe("overlap", () => {
  beforeEach(async () => {
    workflowId = await createWorkflow(client, lasting);
  });

  it("allow starts beside the run before", async () => {
    const id = await schedule();
    await moveTo("10:01:00");
    await ledgerOf(id, 1);
    await moveTo("10:02:00");
    expect(await ledgerOf(id, 2)).toEqual(["10:01 fired", "10:02 fired"]);
  });

  it("skip leaves instants out until the run before has ended", async () => {
    const id = await schedule({ overlap: "skip" });
    await moveTo("10:01:00");
    await ledgerOf(id, 1);
    await moveTo("10:02:00");
    await ledgerOf(id, 2);
    const runId = await runOf(id, "10:01");
    const { recent } = await get(id);
    expect(recent[0]).toMatchObject({
      outcome: "skipped_overlap",
      reason: `The run ${runId} had not ended.`,
      runId: null,
      firedAt: null,
    });
    await client.request("POST", `/api/runs/${runId}/cancel`);
    await moveTo("10:03:00");
    expect(await ledgerOf(id, 3)).toEqual(["10:01 fired", "10:02 skipped_overlap", "10:03 fired"]);
    expect(await get(id)).toMatchObject({ runCount: 2 });
  });

  it("buffer_one lets one instant wait, and starts it when the run before ends, without the clock moving", async () => {
    const id = await schedule({ overlap: "buffer_one" });
    for (const [index, minute] of ["10:01", "10:02", "10:03"].entries()) {
      await moveTo(`${minute}:00`);
      await ledgerOf(id, index + 1);
    }
    expect(await ledgerOf(id, 3)).toEqual(["10:01 fired", "10:02 pending", "10:03 skipped_overlap"]);
    await client.request("POST", `/api/runs/${await runOf(id, "10:01")}/cancel`);
    const rows = await ledger(id, ([, second]) => second !== "10:02 pending");
    expect(rows).toEqual(["10:01 fired", "10:02 fired", "10:03 skipped_overlap"]);
    expect((await get(id)).recent[1]).toMatchObject({ firedAt: "2026-11-22T10:03:00.000Z", reason: null });
  });

  it("cancel_previous ends the run before", async () => {
    const id = await schedule({ overlap: "cancel_previous" });
    await moveTo("10:01:00");
    await ledgerOf(id, 1);
    await moveTo("10:02:00");
    expect(await ledgerOf(id, 2)).toEqual(["10:01 fired", "10:02 fired"]);
    expect(await stateOf(await runOf(id, "10:01"))).toBe("canceled");
    expect(await stateOf(await runOf(id, "10:02"))).not.toBe("canceled");
  });

  it("holds for several late instants among themselves too", async () => {
    const catchup = { mode: "all" };
    const canceling = await schedule({ overlap: "cancel_previous", catchup });
    const skipping = await schedule({ overlap: "skip", catchup });
    const buffering = await schedule({ overlap: "buffer_one", catchup });
    await moveTo("10:04:30");
    expect(await ledgerOf(canceling, 4)).toEqual([
      "10:01 skipped_overlap",
      "10:02 skipped_overlap",
      "10:03 skipped_overlap",
      "10:04 fired",
    ]);
    expect(await ledgerOf(skipping, 4)).toEqual([
      "10:01 caught_up",
      "10:02 skipped_overlap",
      "10:03 skipped_overlap",
      "10:04 skipped_overlap",
    ]);
    expect(await ledgerOf(buffering, 4)).toEqual([
      "10:01 caught_up",
      "10:02 pending",
      "10:03 skipped_overlap",
      "10:04 skipped_overlap",
    ]);
  });

  it("counts a run that was started by hand as one before", async () => {
    const id = await schedule({ overlap: "skip" });
    await client.request("POST", `/api/schedules/${id}/trigger`);
    await moveTo("10:01:00");
    expect(await ledgerOf(id, 2)).toEqual(["10:00 fired", "10:01 skipped_overlap"]);
  });

  it("forgets an instant that waits when the schedule is paused", async () => {
    const id = await schedule({ overlap: "buffer_one" });
    await moveTo("10:01:00");
    await ledgerOf(id, 1);
    await moveTo("10:02:00");
    await ledgerOf(id, 2);
    await client.request("PATCH", `/api/schedules/${id}`, { enabled: false });
    await client.request("POST", `/api/runs/${await runOf(id, "10:01")}/cancel`);
    const rows = await ledger(id, ([, second]) => second !== "10:02 pending");
    expect(rows).toEqual(["10:01 fired", "10:02 missed"]);
    expect((await get(id)).recent[0].reason).toContain("switched off");
  });
});

describe("catching up", () => {
  it("none misses what is late by more than a minute and fires what is not", async () => {
    const id = await schedule({ catchup: { mode: "none" } });
    await moveTo("10:03:59");
    expect(await ledgerOf(id, 3)).toEqual(["10:01 missed", "10:02 missed", "10:03 fired"]);
  });

  it("latest starts the newest, late or not, and misses the others", async () => {
    const often = await schedule();
    const hourly = await schedule({ cron: "0 * * * *" });
    await moveTo("13:30:00");
    expect((await ledgerOf(often, 101)).slice(-2)).toEqual(["13:29 missed", "13:30 fired"]);
    expect(await ledgerOf(hourly, 3)).toEqual(["11:00 missed", "12:00 missed", "13:00 caught_up"]);
  });

  it("all starts the newest up to its number and within its window", async () => {
    const three = await schedule({ catchup: { mode: "all", max: 3 } });
    const window = await schedule({ catchup: { mode: "all", windowSeconds: 150 } });
    await moveTo("10:06:30");
    const late = (...outcomes: string[]) => outcomes.map((outcome, index) => `10:0${index + 1} ${outcome}`);
    expect(await ledgerOf(three, 6)).toEqual(
      late("missed", "missed", "caught_up", "caught_up", "caught_up", "fired"),
    );
    expect(await ledgerOf(window, 6)).toEqual(
      late("missed", "missed", "missed", "caught_up", "caught_up", "fired"),
    );
    expect(await walkPages(client, "/api/runs?trigger=schedule", 100)).toHaveLength(7);
  });

  it("writes a hundred missed instants down; the oldest speaks for those before it", async () => {
    const id = await schedule();
    clock.set("2026-11-25T10:00:10.000Z");
    await sql`notify schedule_changed`;
    await ledgerOf(id, 101);
    const rows = await walkPages(client, `/api/schedules/${id}/occurrences?outcome=missed`, 100);
    expect(rows).toHaveLength(100);
    expect(rows[0].reason).not.toContain("own");
    expect(rows[99]).toMatchObject({
      scheduledFor: "2026-11-25T08:20:00.000Z",
      reason: expect.stringContaining("from 2026-11-22T10:01:00.000Z on were missed too"),
    });
  });
});

describe("limits and delays", () => {
  it("maxRuns stops the schedule after so many runs, in a batch of late ones too", async () => {
    const id = await schedule({ maxRuns: 2, catchup: { mode: "all" } });
    await moveTo("10:04:30");
    expect(await ledgerOf(id, 4)).toEqual([
      "10:01 caught_up",
      "10:02 caught_up",
      "10:03 missed",
      "10:04 missed",
    ]);
    expect(await get(id)).toMatchObject({
      enabled: false,
      nextFireAt: null,
      runCount: 2,
      stoppedReason: "The schedule has started its 2 runs (maxRuns).",
    });
  });

  it("jitter delays the run and keeps the instant", async () => {
    const id = await schedule({ cron: "0 11 * * *", jitterSeconds: 3_000 });
    const { nextFireAt } = await get(id);
    expect(nextFireAt > "2026-11-22T11:00:00.000Z").toBe(true);
    clock.set(new Date(Date.parse(nextFireAt) - 1).toISOString());
    await sql`notify schedule_changed`;
    const control = await schedule({ cron: "* * * * *" });
    clock.set(nextFireAt);
    await sql`notify schedule_changed`;
    await ledgerOf(id, 1);
    expect((await get(id)).recent).toMatchObject([
      { scheduledFor: "2026-11-22T11:00:00.000Z", firedAt: nextFireAt, outcome: "fired" },
    ]);
    expect((await get(control)).recent.length).toBeLessThanOrEqual(1);
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
      await moveTo("10:01:00");
      expect(await ledgerOf(fine, 1)).toEqual(["10:01 fired"]);
      expect(await ledgerOf(stuck, 1)).toEqual(["10:01 pending"]);
      expect((await get(stuck)).recent[0]).toMatchObject({
        attempts: 1,
        nextAttemptAt: "2026-11-22T10:01:01.000Z",
        reason: "The run could not be handed to the engine; it is tried again.",
      });
      expect((await get(stuck)).nextFireAt).toBe("2026-11-22T10:02:00.000Z");
      await moveTo("10:01:01");
      const second = await waitFor(
        async () => (await get(stuck)).recent[0],
        ({ attempts }) => attempts === 2,
      );
      expect(second.nextAttemptAt).toBe("2026-11-22T10:01:03.000Z");
    } finally {
      await sql`drop function refuse_stuck cascade`;
    }
    await moveTo("10:02:00");
    const rows = await ledger(stuck, (all) => all.length === 2 && !all.includes("10:01 pending"));
    expect(rows).toEqual(["10:01 fired", "10:02 fired"]);
    expect((await get(stuck)).recent[1]).toMatchObject({ attempts: 3, firedAt: "2026-11-22T10:02:00.000Z" });
    expect(await walkPages(client, "/api/runs", 100)).toHaveLength(await ledgerOf(fine, 2).then(() => 4));
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
    await moveTo("10:00:59");
    expect(await ledger(id, (rows) => rows[0] !== "10:00 pending")).toEqual(["10:00 fired"]);
  });
});

describe("changing a calendar when an instant is due", () => {
  it("keeps the instant of the old calendar", async () => {
    const id = await schedule();
    clock.set("2026-11-22T10:01:00.000Z");
    const { body } = await client.request("PATCH", `/api/schedules/${id}`, { cron: "0 12 * * *" });
    expect(body.nextFireAt).toBe("2026-11-22T12:00:00.000Z");
    expect(await ledger(id, (rows) => rows[0] === "10:01 fired")).toEqual(["10:01 fired"]);
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
    await moveTo("10:03:10");
    await ledgerOf(id, 3);
    const first = await backfill(id, "09:58", "11:00");
    expect([first.status, first.body]).toEqual([202, { accepted: 5, skipped: 1 }]);
    const rows = await ledger(id, (all) => all.length === 6 && !all.some((row) => row.endsWith("pending")));
    expect(rows).toEqual([
      "09:58 backfilled",
      "09:59 backfilled",
      "10:00 backfilled",
      "10:01 backfilled",
      "10:02 backfilled",
      "10:03 fired",
    ]);
    expect((await backfill(id, "09:58", "11:00")).body).toEqual({ accepted: 0, skipped: 6 });
    expect(await walkPages(client, "/api/runs", 100)).toHaveLength(6);
    expect(await get(id)).toMatchObject({ runCount: 1 });
  });

  it("goes one after another where runs must not overlap, also of a paused schedule", async () => {
    workflowId = await createWorkflow(client, lasting);
    const id = await schedule({ overlap: "skip", enabled: false });
    expect((await backfill(id, "09:57", "10:00")).body).toEqual({ accepted: 3, skipped: 0 });
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
    expect((await backfill(id, "11:00", "12:00")).body).toEqual({ accepted: 0, skipped: 0 });
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

describe("the ledger", () => {
  it("is listed newest first in pages without gap or duplicate, by outcome, and only to its organization", async () => {
    const id = await schedule({ catchup: { mode: "all" } });
    await moveTo("10:07:10");
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
