import type { Sql } from "../../db/client.js";
import { RUN_WORKFLOW } from "../run-pointer.js";
import { ENGINE_NAMESPACE } from "./install-sql.js";

/** Names a run of an organization. */
export interface RunKey {
  readonly organizationId: string;
  readonly runId: string;
}

/**
 * Cancels those of the runs that have not ended as `BackendPostgres.cancelWorkflowRun` of openworkflow 0.10.1 does, with
 * one statement however many there are; triggers end what belongs to them.
 */
export async function cancelRuns(sql: Sql, runs: readonly RunKey[]): Promise<void> {
  await sql`
    update openworkflow.workflow_runs run
    set status = 'canceled', worker_id = null, available_at = null, finished_at = now(), updated_at = now()
    from json_to_recordset(${JSON.stringify(runs)}::text::json) as wanted ("organizationId" text, "runId" text)
    where run.namespace_id = ${ENGINE_NAMESPACE} and run.id = wanted."runId"
      and run.workflow_name = ${RUN_WORKFLOW.name} and run.input->>'organizationId' = wanted."organizationId"
      and run.status in ('pending', 'running', 'sleeping')`;
}
