import { PART_WORKFLOW } from "../run-pointer.js";
import { closedWaitSql } from "./closed-wait-sql.js";
import { linkSql } from "./link-sql.js";
import { runChangeSql } from "./run-change-sql.js";

/** Namespace of every run in openworkflow's tables; organizations are told apart in our own tables. */
export const ENGINE_NAMESPACE = "default";

/** Channel that says when a run becomes due: the instant in milliseconds since 1970. */
export const WAKE_CHANNEL = "ow_wake";
/** Channel that says that a run has ended: `{runId}:{status}`. */
export const DONE_CHANNEL = "ow_done";

/** What a notification of `DONE_CHANNEL` says. */
export function parseDone(payload: string): { readonly runId: string; readonly status: EndStatus } {
  const [runId = "", status] = payload.split(":");
  return { runId, status: status as EndStatus };
}
type EndStatus = "completed" | "failed" | "canceled";

/**
 * What Flowkeep adds to openworkflow's schema, safe to run again at any time: notifications, the mirror into
 * `public.runs`, the register of worker processes, and indexes and vacuum settings that keep claims and step writes
 * at about a millisecond with a large backlog and many parked runs.
 */
export const installSql = `
set local client_min_messages = warning;

create table if not exists openworkflow.flowkeep_workers (
  number integer primary key,
  started_at timestamptz not null default now()
);

create or replace function openworkflow.flowkeep_wake() returns trigger language plpgsql as $$
begin
  perform pg_notify('${WAKE_CHANNEL}', ceil(extract(epoch from new.available_at) * 1000)::bigint::text);
  return null;
end $$;
create or replace function openworkflow.flowkeep_wake_added() returns trigger language plpgsql as $$
begin
  perform pg_notify('${WAKE_CHANNEL}', ceil(extract(epoch from min(available_at)) * 1000)::bigint::text)
  from added having min(available_at) is not null;
  return null;
end $$;
drop trigger if exists flowkeep_wake_insert on openworkflow.workflow_runs;
create trigger flowkeep_wake_insert after insert on openworkflow.workflow_runs
  referencing new table as added for each statement execute function openworkflow.flowkeep_wake_added();
create or replace trigger flowkeep_wake_update after update of available_at, worker_id on openworkflow.workflow_runs
  for each row when (new.worker_id is null and new.available_at is not null and new.status in ('pending', 'running'))
  execute function openworkflow.flowkeep_wake();

create or replace function openworkflow.flowkeep_done() returns trigger language plpgsql as $$
begin
  perform pg_notify('${DONE_CHANNEL}', new.id || ':' || new.status);
  return null;
end $$;
create or replace trigger flowkeep_done after update of status on openworkflow.workflow_runs
  for each row when (new.status in ('completed', 'failed', 'canceled') and old.status <> new.status)
  execute function openworkflow.flowkeep_done();

-- The engine resets started_at when a run fails and stamps failures with the worker's clock; the mirror keeps the
-- first start and uses the database's clock.
create or replace function openworkflow.flowkeep_mirror() returns trigger language plpgsql as $$
declare
  new_state text := case
    when new.status in ('running', 'sleeping') then
      case when new.worker_id is null and new.available_at > now() then 'waiting' else 'running' end
    when new.status = 'succeeded' then 'completed'
    else new.status end;
begin
  if new.workflow_name = '${PART_WORKFLOW.name}' then
    -- The end of a run ends its parts: none of them has to say so again.
    perform openworkflow.flowkeep_mirror_loop(new.namespace_id, link.root_id)
    from openworkflow.flowkeep_children link
    join openworkflow.workflow_runs root on root.namespace_id = new.namespace_id and root.id = link.root_id
    where link.child_id = new.id and root.status in ('pending', 'running', 'sleeping');
    return null;
  end if;
  if new_state = 'waiting' and exists (
    select from openworkflow.flowkeep_children where root_id = new.id and is_part
  ) then
    perform openworkflow.flowkeep_mirror_loop(new.namespace_id, new.id);
    return null;
  end if;
  update public.runs set
    state = new_state,
    started_at = coalesce(started_at, new.started_at),
    finished_at = case when new_state in ('completed', 'failed', 'canceled') then now() end
  where id = new.id::uuid and state <> new_state;
  return null;
end $$;
create or replace trigger flowkeep_mirror after update of status, worker_id, available_at on openworkflow.workflow_runs
  for each row when (
    old.status <> new.status
    or (old.worker_id is null) <> (new.worker_id is null)
    or (new.worker_id is null and old.available_at is distinct from new.available_at)
  ) execute function openworkflow.flowkeep_mirror();

-- No index may start with (namespace_id, status): the planner would use it for the by-id fence of every step write
-- and read all parked runs.
create index if not exists flowkeep_claim_idx on openworkflow.workflow_runs
  (namespace_id, (case when status = 'pending' then 0 else 1 end), available_at, created_at)
  where status in ('pending', 'running', 'sleeping') and available_at is not null;
create index if not exists flowkeep_due_idx on openworkflow.workflow_runs (namespace_id, available_at)
  where status in ('pending', 'running', 'sleeping') and available_at is not null;
create index if not exists flowkeep_deadline_idx on openworkflow.workflow_runs (namespace_id, deadline_at)
  where deadline_at is not null and status in ('pending', 'running', 'sleeping');
create index if not exists flowkeep_finished_idx on openworkflow.workflow_runs (finished_at)
  where status in ('completed', 'failed', 'canceled');
create index if not exists flowkeep_signal_created_idx on openworkflow.workflow_signals (created_at);
drop index if exists
  openworkflow.workflow_runs_status_available_at_created_at_idx,
  openworkflow.workflow_runs_status_created_at_desc_idx,
  openworkflow.workflow_runs_workflow_name_status_created_at_desc_idx;

alter table openworkflow.workflow_runs set (
  autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
  autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 2000,
  autovacuum_vacuum_cost_delay = 0, fillfactor = 80
);
alter table openworkflow.step_attempts set (
  autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02
);
${linkSql}${closedWaitSql}${runChangeSql}`;
