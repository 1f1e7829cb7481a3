import type { ChildProcess } from "node:child_process";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Principal } from "../../server/auth/principal.js";
import { WorkflowDocument } from "../../server/workflows/document.js";
import { type BundledProgram, bundleProgram } from "../support/bundled-program.js";
import { waitFor } from "../support/client.js";
import { createTestDatabase, type TestDatabase } from "../support/database.js";
import { killProcess, startProgram } from "../support/processes.js";
import { fastClock, openScheduling, type Scheduling } from "../support/scheduling.js";

const SPEED = 60;
const MINUTE_MS = 60_000;
const KILLS = 100;
/** Time of the fast clock in which fifty schedules have more than a thousand instants, however fast the kills are. */
const ENOUGH_MS = 30 * MINUTE_MS;
const owner: Principal = {
  kind: "user",
  id: "ada",
  userId: "ada",
  organizationId: "chaos",
  permissions: new Set(),
};

let program: BundledProgram;
let database: TestDatabase;
let observer: Scheduling;
let now: () => Date;
let baseMs: number;

beforeAll(async () => {
  program = await bundleProgram(new URL("../support/scheduler-process.ts", import.meta.url));
});
afterAll(() => program.remove());

beforeEach(async () => {
  database = await createTestDatabase();
  baseMs = Math.floor(Date.now() / MINUTE_MS) * MINUTE_MS;
  now = fastClock(baseMs, SPEED);
  observer = openScheduling(database.url, () => now(), 4, "observer");
});
afterEach(async () => {
  await observer.close();
  await database.drop();
});

/** Schedules of every minute, of which every fifth makes up for the latest instant only. */
async function createSchedules(count: number): Promise<void> {
  await observer.database.sql`
    insert into organization (id, name, slug, created_at) values (${owner.organizationId}, 'Chaos', 'chaos', now())`;
  const workflow = WorkflowDocument.parse({ blocks: [{ id: "start", type: "trigger_webhook" }] });
  const { id: workflowId } = await observer.workflows.create(owner, { workflow });
  for (let index = 0; index < count; index += 1) {
    await observer.schedules.create(owner, {
      id: `sch_${index}`,
      workflowId,
      cron: "* * * * *",
      catchup: { mode: index % 5 === 0 ? "latest" : "all", max: 1_000 },
    });
  }
}

/**
 * Checks that the ledger has every instant once from the first to the one that is next, each fired one with its run.
 * After a long pause a missed row speaks for those before it that have none.
 */
async function audit(count: number): Promise<{ readonly instants: number; readonly runs: number }> {
  const { sql } = observer.database;
  const schedules = await sql<{ rows: number; distinct: number; expected: number }[]>`
    select count(*)::int as rows, count(distinct scheduled_for)::int as distinct,
      (extract(epoch from min(next_scheduled_for) - min(least(scheduled_for, spoken_from)))
        - sum(extract(epoch from scheduled_for - coalesce(spoken_from, scheduled_for))))::int / 60 as expected
    from schedule_occurrences join schedules on schedules.id = schedule_id,
      lateral (select substring(reason from ' from (\\S+) on were missed too')::timestamptz as spoken_from) as spoken
    group by schedule_id`;
  expect(schedules).toHaveLength(count);
  for (const { rows, distinct, expected } of schedules)
    expect([rows, distinct]).toEqual([expected, expected]);
  const outcomes = await sql<{ outcome: string; rows: number; runs: number; own: number }[]>`
    select outcome, count(*)::int as rows, count(occurrence.run_id)::int as runs,
      count(*) filter (
        where run.trigger->>'occurrenceId' = occurrence.id::text
          and (run.trigger->>'scheduledFor')::timestamptz = occurrence.scheduled_for
          and run.created_by = occurrence.schedule_id and engine_run.status = 'running' and engine_run.attempts = 0)::int as own
    from schedule_occurrences occurrence
    left join runs run on run.id = occurrence.run_id
    left join openworkflow.workflow_runs engine_run on engine_run.id = run.id::text
    group by outcome`;
  const known = ["fired", "caught_up", "missed"];
  expect(outcomes.filter(({ outcome }) => !known.includes(outcome))).toEqual([]);
  for (const { outcome, rows, runs, own } of outcomes) {
    expect([outcome, runs, own]).toEqual(outcome === "missed" ? [outcome, 0, 0] : [outcome, rows, rows]);
  }
  const [total] = await sql<{ runs: number; engineRuns: number; counted: number }[]>`
    select (select count(*)::int from runs) as runs, (select sum(run_count)::int from schedules) as counted,
      (select count(*)::int from openworkflow.workflow_runs) as engine_runs`;
  const runs = outcomes.reduce((sum, each) => sum + each.runs, 0);
  expect(total).toEqual({ runs, engineRuns: runs, counted: runs });
  return { instants: schedules.reduce((sum, { rows }) => sum + rows, 0), runs };
}

/** Due or pending work of the present. */
async function isBehind(until: Date): Promise<boolean> {
  const { dueAt } = await observer.schedules.firing.outlook();
  return dueAt === null || dueAt <= until;
}

async function ring(signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await observer.database.sql`notify schedule_changed`;
    await delay(MINUTE_MS / SPEED);
  }
}

/** Connections whose last statement may still be on its way after their process was killed. */
async function countSchedulerConnections(): Promise<number> {
  const connections = await observer.database.sql`
    select from pg_stat_activity where datname = current_database() and application_name = 'scheduling'`;
  return connections.length;
}

describe("scheduler processes that are killed", () => {
  it(`fire every instant of 50 schedules once while ${KILLS} of them die at random`, async () => {
    await createSchedules(50);
    const enough = now().getTime() + ENOUGH_MS;
    const processes: ChildProcess[] = [];
    const start = async () =>
      processes.push(await startProgram(program.file, [database.url, String(baseMs), String(SPEED)]));
    // The loop sleeps by the real clock; a notification tells it that the fast one has moved on.
    const stopRinging = new AbortController();
    const ringing = ring(stopRinging.signal);
    try {
      await Promise.all([start(), start()]);
      let next = start();
      for (let kills = 0; kills < KILLS; kills += 1) {
        const started = next;
        if (kills + 1 < KILLS) next = start();
        const [victim] = processes.splice(Math.floor(Math.random() * processes.length), 1);
        await started;
        await delay(Math.random() * 200);
        victim?.kill("SIGKILL");
      }
      const end = new Date(Math.max(now().getTime(), enough));
      await waitFor(
        () => isBehind(end),
        (behind) => !behind,
        30_000,
      );
    } finally {
      stopRinging.abort();
      await Promise.all([ringing, ...processes.map(killProcess)]);
    }
    await waitFor(countSchedulerConnections, (count) => count === 0);
    const { instants, runs } = await audit(50);
    expect(instants).toBeGreaterThan(1_000);
    expect(runs).toBeGreaterThan(1_000);
  }, 180_000);
});

describe("fifty schedulers", () => {
  it("that race for the same instants fire each once", async () => {
    // Stands still while schedules are created and fired, so that every instant is on time on a machine of any speed.
    let present = baseMs;
    now = () => new Date(present);
    const schedulers = Array.from({ length: 50 }, () => openScheduling(database.url, now, 1));
    try {
      await createSchedules(200);
      for (let round = 1; round <= 3; round += 1) {
        present += MINUTE_MS;
        await Promise.all(
          schedulers.map(async ({ schedules }) => {
            while (await schedules.firing.fire());
          }),
        );
        // Who found the last rows locked may have gone before they were let go of.
        while (await observer.schedules.firing.fire());
        expect(await audit(200)).toEqual({ instants: 200 * round, runs: 200 * round });
      }
    } finally {
      await Promise.all(schedulers.map((each) => each.close()));
    }
  }, 60_000);
});
