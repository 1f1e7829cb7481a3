import { setTimeout as delay } from "node:timers/promises";
import type { Sql } from "../server/db/client.js";
import { newClient } from "../tests/support/client.js";
import { createWorkflow } from "./operations.js";
import type { Stage } from "./stage.js";

/** Schedules that are due at the same instant. */
const SCHEDULES = 10_000;
/** Time until the instant once the schedules are there, in milliseconds. */
const AHEAD_MS = 3_000;
/** Instants that take longer than this are lost, in milliseconds. */
const PATIENCE_MS = 60_000;
const LOOK_MS = 25;

/** How long after the instant that share of the runs was committed, in milliseconds. */
export interface BurstRound {
  readonly half: number;
  readonly most: number;
  readonly all: number;
}

/** Starts a server; the returned function measures a burst of schedules of one workflow, each once. */
export async function prepareBursts(stage: Stage): Promise<() => Promise<BurstRound>> {
  const databaseUrl = await stage.createDatabase("burst", true);
  const { url } = await stage.startServer(databaseUrl, { ROLE: "all" });
  const client = await newClient(url);
  const workflowId = await createWorkflow(client);
  const { body } = await client.request("POST", "/api/schedules", { workflowId, cron: "0 0 1 1 *" });
  const sql = stage.openSql(databaseUrl);
  return async () => {
    const before = await countFired(sql);
    const at = await addSchedules(sql, body.id);
    const times = await Promise.all(
      [0.5, 0.9, 1].map((share) => share * SCHEDULES + before).map(timeOf(sql, at)),
    );
    const [half = Number.NaN, most = Number.NaN, all = Number.NaN] = times;
    return { half, most, all };
  };
}

/** Copies of a schedule that are due at the instant that this gives; the runs of earlier ones have ended. */
async function addSchedules(sql: Sql, modelId: string): Promise<number> {
  while ((await countActive(sql)) > 0) await delay(LOOK_MS);
  const at = new Date(Math.ceil((Date.now() + AHEAD_MS) / 1_000) * 1_000);
  const due = { next_fire_at: at, next_scheduled_for: at };
  await sql`
    insert into schedules select (jsonb_populate_record(
      model, jsonb_build_object('id', 'sch_' || gen_random_uuid()) || ${JSON.stringify(due)}::text::jsonb)).*
    from schedules model, generate_series(1, ${SCHEDULES}::int) where model.id = ${modelId}`;
  await sql`notify schedule_changed`;
  return at.getTime();
}

const timeOf =
  (sql: Sql, at: number) =>
  async (goal: number): Promise<number> => {
    while ((await countFired(sql)) < goal) {
      if (Date.now() - at > PATIENCE_MS) throw new Error("The schedules did not fire in time.");
      await delay(Math.max(LOOK_MS, at - Date.now()));
    }
    return Date.now() - at;
  };

async function countFired(sql: Sql): Promise<number> {
  const [row] = await sql<{ count: number }[]>`
    select count(run_id)::int as count from schedule_occurrences`;
  return row?.count ?? 0;
}

async function countActive(sql: Sql): Promise<number> {
  const [row] = await sql<{ count: number }[]>`
    select count(*)::int as count from runs where state in ('pending', 'running', 'waiting')`;
  return row?.count ?? 0;
}
