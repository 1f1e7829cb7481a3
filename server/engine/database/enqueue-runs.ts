import { RUN_WORKFLOW } from "../run-pointer.js";
import { ENGINE_NAMESPACE } from "./install-sql.js";

/**
 * The statement that writes the engine's runs of a relation's rows (`id uuid, organization_id, workflow_id, version_id,
 * deadline_ms`), as `BackendPostgres.createWorkflowRun` of openworkflow 0.10.1 does: part of the one that writes what
 * else is known of them, so that there is never one without the other. New runs are `running` like parked ones that
 * are due: claims prefer `pending` ones, so that what has begun would wait for a backlog of what has not.
 */
export const enqueueSql = (relation: string) => `
  insert into openworkflow.workflow_runs (
    namespace_id, id, workflow_name, version, status, config, context, input, attempts, available_at, deadline_at,
    created_at, updated_at)
  select '${ENGINE_NAMESPACE}', queued.id::text, '${RUN_WORKFLOW.name}', '${RUN_WORKFLOW.version}', 'running', '{}',
    'null', jsonb_build_object('organizationId', queued.organization_id, 'workflowId', queued.workflow_id,
      'versionId', queued.version_id),
    0, now(), now() + queued.deadline_ms * interval '1 millisecond', date_trunc('milliseconds', now()), now()
  from ${relation} queued`;
