import { setTimeout as delay } from "node:timers/promises";
import type { Sql } from "../server/db/client.js";

/** Time between two looks, in milliseconds: one cheap statement each. */
const LOOK_MS = 50;
/** Runs that take longer than this are lost, in milliseconds. */
const PATIENCE_MS = 60_000;

/** Dispatches runs and gives how many completed per second, from the first dispatch to the last completion. */
export async function untilCompleted(sql: Sql, runs: number, dispatch: () => Promise<void>): Promise<number> {
  const goal = (await countCompleted(sql)) + runs;
  const startedAt = performance.now();
  await dispatch();
  while ((await countCompleted(sql)) < goal) {
    if (performance.now() - startedAt > PATIENCE_MS)
      throw new Error(`${runs} runs did not complete in time.`);
    await delay(LOOK_MS);
  }
  return (runs / (performance.now() - startedAt)) * 1_000;
}

async function countCompleted(sql: Sql): Promise<number> {
  const [row] = await sql<{ count: number }[]>`
    select count(*)::int as count from openworkflow.workflow_runs where status = 'completed'`;
  return row?.count ?? 0;
}
