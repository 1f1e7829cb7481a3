import type { Sql } from "../../db/client.js";
import { ENGINE_NAMESPACE } from "../database/install-sql.js";

/**
 * A subquery with every attempt of a run and of the parts of its loops: `id`, `position`, `created_at`, `started_at`,
 * `finished_at`, `due_at` (when an open wait ends by itself), `name`, `status` and `record`. The end of a run is the end
 * of what it cuts short. A step that holds several pure blocks gives one row for each, in order
 * of `position`. Rows are ordered by `(started_at, id, position)`.
 */
export function attemptEntries(sql: Sql, runId: string) {
  const isRepeated = sql`exists (
    select from openworkflow.step_attempts later
    where later.namespace_id = attempt.namespace_id and later.workflow_run_id = attempt.workflow_run_id
      and later.step_name = attempt.step_name and later.started_at > attempt.started_at)`;
  return sql`(
    select
      attempt.id, coalesce(entry.position, 1) as position, attempt.created_at, attempt.started_at,
      case when attempt.status <> 'running' or ${isRepeated} then attempt.finished_at else run.finished_at end
        as finished_at,
      case when attempt.status = 'running' and run.finished_at is null
        and attempt.context->>'endsBy' is distinct from 'wake' then (attempt.context->>'timeoutAt')::timestamptz end
        as due_at,
      attempt.step_name as name, entry.record,
      case
        when attempt.status = 'failed' then
          case when attempt.error->>'code' = 'handed_back' then 'interrupted' else 'failed' end
        when attempt.kind = 'signal-wait' and attempt.output ? 'isMoot' then 'canceled'
        when attempt.status <> 'running' then
          case when entry.record->>'ok' = 'false' then 'failed' else 'completed' end
        when run.status = 'canceled' then 'canceled'
        when run.status in ('completed', 'failed') then 'interrupted'
        when attempt.kind = 'signal-wait' then 'waiting'
        when run.worker_id is null or ${isRepeated} then 'interrupted'
        else 'running'
      end as status
    from (
      select ${runId}::text as id
      union all
      select child_id from openworkflow.flowkeep_children where root_id = ${runId} and is_part
    ) family
    join openworkflow.step_attempts attempt
      on attempt.namespace_id = ${ENGINE_NAMESPACE} and attempt.workflow_run_id = family.id
    join openworkflow.workflow_runs run
      on run.namespace_id = attempt.namespace_id and run.id = attempt.workflow_run_id
    left join lateral jsonb_array_elements(
      case when attempt.kind = 'function' then attempt.output->'blocks' end
    ) with ordinality as entry(record, position) on true
  )`;
}
