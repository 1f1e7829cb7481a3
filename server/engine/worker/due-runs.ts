import type { Sql } from "../../db/client.js";
import { ENGINE_NAMESPACE } from "../database/install-sql.js";
import { DEADLINE_MESSAGE } from "../run-error.js";

/** Milliseconds until the next run is due or has to end, by the database's clock; null when no run is or has to. */
export async function readUntilDue(sql: Sql): Promise<number | null> {
  const [row] = await sql<{ ms: number | null }[]>`
    select (extract(epoch from min(due.at) - now()) * 1000)::float8 as ms from (
      select min(available_at) as at from openworkflow.workflow_runs
      where namespace_id = ${ENGINE_NAMESPACE} and status in ('pending', 'running', 'sleeping')
        and available_at is not null
      union all
      select min(deadline_at) from openworkflow.workflow_runs
      where namespace_id = ${ENGINE_NAMESPACE} and status in ('pending', 'running', 'sleeping')
        and deadline_at is not null
    ) due`;
  return row?.ms ?? null;
}

/** Fails every run whose deadline has passed. Claims of openworkflow do the same; this is for when none is made. */
export async function expireRuns(sql: Sql): Promise<void> {
  await sql`
    update openworkflow.workflow_runs set status = 'failed', error = ${JSON.stringify({ message: DEADLINE_MESSAGE })}::text::jsonb,
      worker_id = null, available_at = null, finished_at = now(), updated_at = now()
    where namespace_id = ${ENGINE_NAMESPACE} and status in ('pending', 'running', 'sleeping')
      and deadline_at is not null and deadline_at <= now()`;
}
