import type { Sql } from "../../db/client.js";
import { RUN_WORKFLOW, type RunPointer } from "../run-pointer.js";
import { ENGINE_NAMESPACE } from "./install-sql.js";

/** A run of the caller's id; `deadlineMs` as in `EnqueueOptions`. */
export type QueuedRun = RunPointer & { readonly id: string; readonly deadlineMs: number | null };

/**
 * Writes runs as `BackendPostgres.createWorkflowRun` of openworkflow 0.10.1 does, with one statement however many there
 * are and under ids of the caller's. New runs are `running` like parked ones that are due: claims prefer `pending` ones,
 * so that what has begun would wait for a backlog of what has not.
 */
export async function enqueueRuns(sql: Sql, runs: readonly QueuedRun[]): Promise<void> {
  const rows = runs.map(({ id, organizationId, workflowId, versionId, deadlineMs }) => ({
    id,
    input: { organizationId, workflowId, versionId },
    deadline_at: deadlineMs === null ? null : new Date(Date.now() + deadlineMs),
  }));
  await sql`
    insert into openworkflow.workflow_runs (
      namespace_id, id, workflow_name, version, status, config, context, input, attempts, available_at,
      deadline_at, created_at, updated_at)
    select ${ENGINE_NAMESPACE}, run.id, ${RUN_WORKFLOW.name}, ${RUN_WORKFLOW.version}, 'running', '{}', 'null',
      run.input, 0, now(), run.deadline_at, date_trunc('milliseconds', now()), now()
    from json_to_recordset(${JSON.stringify(rows)}::text::json) as run (id text, input jsonb, deadline_at timestamptz)`;
}
