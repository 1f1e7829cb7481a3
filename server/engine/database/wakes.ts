import type { Sql } from "../../db/client.js";
import { ENGINE_NAMESPACE } from "./install-sql.js";

/** How long the wakes of an ended run are kept, and how many are deleted at once. */
const KEPT = "1 hour";
const BATCH = 1_000;

/** Ends the waits of these keys when the caller's transaction commits, whether they have begun, will begin or ended. */
export async function insertWakes(sql: Sql, wakeKeys: readonly string[]): Promise<void> {
  if (wakeKeys.length === 0) return;
  await sql`
    insert into openworkflow.flowkeep_wakes (wake_key)
    select distinct unnest(${[...wakeKeys]}::text[]) order by 1 on conflict do nothing`;
}

/** The keys among these that were woken. */
export async function readWakes(sql: Sql, wakeKeys: readonly string[]): Promise<ReadonlySet<string>> {
  const rows = await sql<{ wakeKey: string }[]>`
    select wake_key as "wakeKey" from openworkflow.flowkeep_wakes where wake_key = any(${[...wakeKeys]})`;
  return new Set(rows.map(({ wakeKey }) => wakeKey));
}

/** The engine's run that a wake key belongs to. */
export function runOfWake(wakeKey: string): string {
  return wakeKey.slice(0, wakeKey.indexOf(":"));
}

/**
 * Makes a parked run due. It waits for the row of a run that is about to park and then finds it parked; a run that is
 * worked on stays as it is.
 */
export async function nudgeRun(sql: Sql, runId: string): Promise<void> {
  await sql`
    update openworkflow.workflow_runs set
      available_at = case when worker_id is null and available_at > now() then now() else available_at end,
      updated_at = now()
    where namespace_id = ${ENGINE_NAMESPACE} and id = ${runId} and status = 'running'`;
}

/**
 * Makes every parked run due with a wait that was woken within `window`: for what no worker heard of. Starts from the
 * wakes, so its cost does not grow with the number of parked runs. Returns how many there were.
 */
export async function nudgeOverlooked(sql: Sql, window: string): Promise<number> {
  const { count } = await sql`
    with overlooked as (
      select attempt.namespace_id, attempt.workflow_run_id
      from openworkflow.flowkeep_wakes wake
      join openworkflow.step_attempts attempt
        on attempt.namespace_id = ${ENGINE_NAMESPACE} and attempt.context->>'signal' = wake.wake_key
        and attempt.kind = 'signal-wait' and attempt.status = 'running'
      where wake.created_at > now() - ${window}::interval
    )
    update openworkflow.workflow_runs run set available_at = now(), updated_at = now()
    from overlooked
    where run.namespace_id = overlooked.namespace_id and run.id = overlooked.workflow_run_id
      and run.status = 'running' and run.worker_id is null and run.available_at > now()`;
  return count;
}

/** Deletes wakes of runs that have ended, a thousand at most; one that is older than its wait must stay. */
export async function deleteOldWakes(sql: Sql): Promise<void> {
  await sql`
    delete from openworkflow.flowkeep_wakes where wake_key in (
      select wake.wake_key from openworkflow.flowkeep_wakes wake
      where wake.created_at < now() - ${KEPT}::interval and not exists (
        select from openworkflow.workflow_runs run
        where run.namespace_id = ${ENGINE_NAMESPACE} and run.id = split_part(wake.wake_key, ':', 1)
          and run.status in ('pending', 'running', 'sleeping')
      )
      order by wake.created_at limit ${BATCH}
    )`;
}
