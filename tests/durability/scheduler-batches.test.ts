import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Principal } from "../../server/auth/principal.js";
import { WorkflowDocument } from "../../server/workflows/document.js";
import { waitFor } from "../support/client.js";
import { clockAt } from "../support/clocks.js";
import { createTestDatabase, type TestDatabase } from "../support/database.js";
import { type DatabaseProxy, openProxy } from "../support/proxy.js";
import { openScheduling, type Scheduling } from "../support/scheduling.js";

const START = "2026-11-22T10:00:30.000Z";
const MIB = 1_048_576;
const clock = clockAt(START);
const owner: Principal = {
  kind: "user",
  id: "ada",
  userId: "ada",
  organizationId: "batches",
  permissions: new Set(),
};

let database: TestDatabase;
let proxy: DatabaseProxy;
let scheduling: Scheduling;
let workflowId: string;

beforeEach(async () => {
  clock.set(START);
  database = await createTestDatabase();
  proxy = await openProxy(database.url);
  scheduling = openScheduling(proxy.url, clock.now, 4);
  await scheduling.database.sql`
    insert into organization (id, name, slug, created_at) values (${owner.organizationId}, 'Batches', 'batches', now())`;
  const workflow = WorkflowDocument.parse({ blocks: [{ id: "start", type: "trigger_webhook" }] });
  workflowId = (await scheduling.workflows.create(owner, { workflow })).id;
});
afterEach(async () => {
  await scheduling.close();
  await proxy.cut();
  await database.drop();
});

/** Fires until nothing is due. */
async function fireAll(): Promise<void> {
  while (await scheduling.schedules.firing.fire());
}

/** Rows of the ledger, oldest first, as `minute outcome`. */
async function ledgerOf(id: string): Promise<string[]> {
  const { data } = await scheduling.schedules.listOccurrences(owner, { id, limit: 100 });
  return data
    .map(({ scheduledFor, outcome }) => `${scheduledFor.toISOString().slice(11, 16)} ${outcome}`)
    .reverse();
}

describe("several instants of a schedule", () => {
  it("are decided without those that a tick has fired before", async () => {
    const { id } = await scheduling.schedules.create(owner, {
      workflowId,
      cron: "* * * * *",
      overlap: "skip",
      catchup: { mode: "all" },
    });
    clock.set("2026-11-22T10:01:00.000Z");
    const { fired } = await scheduling.schedules.tick(owner);
    for (const { runId } of fired) await scheduling.runs.cancel(owner, runId);
    clock.set("2026-11-22T10:02:00.000Z");
    await fireAll();
    expect(await ledgerOf(id)).toEqual(["10:01 fired", "10:02 fired"]);
  });
});

/** Makes so many more schedules like one that exists. */
async function multiply(id: string, count: number): Promise<void> {
  await scheduling.database.sql`
    insert into schedules select (jsonb_populate_record(each, jsonb_build_object('id', 'sch_' || number))).*
    from schedules each, generate_series(1, ${count}::int) number where each.id = ${id}`;
}

describe("more instants than a batch takes", () => {
  it("hold the runs of the process until the last batch is written", async () => {
    const { id } = await scheduling.schedules.create(owner, { workflowId, cron: "* * * * *" });
    await multiply(id, 1_200);
    clock.set("2026-11-22T10:01:00.000Z");
    await scheduling.start();
    await waitFor(
      async () => {
        const [row] = await scheduling.database.sql<{ fired: number }[]>`
          select count(run_id)::int as fired from schedule_occurrences`;
        return row?.fired;
      },
      (fired) => fired === 1_201,
    );
    await waitFor(
      async () => scheduling.holds.at(-1),
      (last) => last === 0,
    );
    const [first = 0] = scheduling.holds;
    expect(first).toBeGreaterThan(0);
    expect(Math.max(...scheduling.holds)).toBe(first);
  });

  it("of one batch hold nothing", async () => {
    const { id } = await scheduling.schedules.create(owner, { workflowId, cron: "* * * * *" });
    clock.set("2026-11-22T10:01:00.000Z");
    await scheduling.start();
    await waitFor(
      () => ledgerOf(id),
      (rows) => rows.length === 1,
    );
    expect(scheduling.holds).toEqual([]);
  });
});

describe("after an outage", () => {
  it("instants that are on time do not wait for those that are late", async () => {
    const { schedules, database: pool } = scheduling;
    const { id: model } = await schedules.create(owner, { workflowId, cron: "* * * * *" });
    // More late schedules than one batch takes.
    await multiply(model, 600);
    clock.set("2026-11-22T12:00:00.000Z");
    const { id } = await schedules.create(owner, { workflowId, cron: "* * * * *" });
    clock.set("2026-11-22T12:01:00.000Z");
    await schedules.firing.fire();
    expect(await ledgerOf(id)).toEqual(["12:01 fired"]);
    const [late] = await pool.sql<{ count: number }[]>`
      select count(distinct schedule_id)::int from schedule_occurrences where outcome = 'missed'`;
    expect(late?.count).toBeGreaterThan(0);
  });
});

describe("an instant that waits for a run", () => {
  it("starts at once when the run ends, also when a tick has taken it", async () => {
    const { schedules, runs } = scheduling;
    const { id } = await schedules.create(owner, { workflowId, cron: "* * * * *", overlap: "buffer_one" });
    const { runId } = await schedules.trigger(owner, { id });
    await scheduling.start();
    await schedules.tick(owner);
    const outcomes = async () => {
      const { data } = await schedules.listOccurrences(owner, { id, limit: 10 });
      return data.filter(({ kind }) => kind === "calendar").map(({ outcome }) => outcome);
    };
    expect(await outcomes()).toEqual(["pending"]);
    await runs.cancel(owner, runId);
    // Sooner than the scheduler looks by itself.
    await waitFor(outcomes, ([outcome]) => outcome === "fired", 15_000);
  });

  it("starts at once when the run ends just after the scheduler has looked at it", async () => {
    const { schedules, runs, database: pool } = scheduling;
    const { id } = await schedules.create(owner, { workflowId, cron: "* * * * *", overlap: "buffer_one" });
    const { runId } = await schedules.trigger(owner, { id });
    const look = schedules.firing.outlook.bind(schedules.firing);
    let isHeard = false;
    schedules.firing.outlook = async () => {
      const seen = await look();
      if (seen.awaitedRunIds.includes(runId)) {
        await runs.cancel(owner, runId);
        await waitFor(async () => isHeard, Boolean);
      }
      return seen;
    };
    await scheduling.start();
    // Listens on the scheduler's own connection, after it.
    await runs.listenForEnds(pool.sql, (ended) => {
      isHeard ||= ended === runId;
    });
    clock.set("2026-11-22T10:01:00.000Z");
    await pool.sql`notify schedule_changed`;
    // Less than the longest sleep, after which the scheduler would look again anyway.
    const rows = await waitFor(
      () => ledgerOf(id),
      (all) => all.includes("10:01 fired"),
      25_000,
    );
    expect(rows).toEqual(["10:00 fired", "10:01 fired"]);
  });
});

describe("large payloads", () => {
  const payload = { text: "x".repeat(400 * 1_024) };

  /** Runs that have the payload as input. */
  async function countFullRuns(): Promise<number | undefined> {
    const [row] = await scheduling.database.sql<{ count: number }[]>`
      select count(*)::int from runs where length(input->>'text') = ${payload.text.length}`;
    return row?.count;
  }

  it("reach the runs of a backfill without passing through the scheduler", async () => {
    const { id } = await scheduling.schedules.create(owner, { workflowId, cron: "* * * * *", payload });
    const before = proxy.countBytes();
    const range = { from: new Date("2026-11-22T05:00:00Z"), to: new Date("2026-11-22T10:00:00Z") };
    expect(await scheduling.schedules.backfill(owner, { id, ...range })).toMatchObject({ accepted: 300 });
    await fireAll();
    expect(proxy.countBytes() - before).toBeLessThan(4 * MIB);
    expect(await countFullRuns()).toBe(300);
  });

  it("of many schedules that are due at once reach their runs so too, by the scheduler and by a tick", async () => {
    for (let index = 0; index < 20; index += 1) {
      await scheduling.schedules.create(owner, { workflowId, cron: "* * * * *", payload });
    }
    const before = proxy.countBytes();
    clock.set("2026-11-22T10:01:00.000Z");
    await fireAll();
    clock.set("2026-11-22T10:02:00.000Z");
    expect((await scheduling.schedules.tick(owner)).fired).toHaveLength(20);
    expect(proxy.countBytes() - before).toBeLessThan(4 * MIB);
    expect(await countFullRuns()).toBe(40);
  });
});
