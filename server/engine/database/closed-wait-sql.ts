/**
 * Closes what a run waits for when it ends, whoever ends it, and what a wait is for that nothing depends on any more or
 * that the block's time limit has cut: no signal goes to it, its pending approval and the runs that it has started are
 * canceled. A wake key starts with the engine's run, so that the parts of a loop close their own.
 */
export const closedWaitSql = `
create or replace function openworkflow.flowkeep_close_waits() returns trigger language plpgsql as $$
begin
  update public.signal_waits set closed_at = now()
  where split_part(wake_key, ':', 1) = new.id and closed_at is null;
  update public.approvals set state = 'canceled', decided_at = now()
  where split_part(wake_key, ':', 1) = new.id and state = 'pending';
  return null;
end $$;
create or replace trigger flowkeep_close_waits after update of status on openworkflow.workflow_runs
  for each row when (new.status in ('completed', 'failed', 'canceled') and old.status <> new.status)
  execute function openworkflow.flowkeep_close_waits();

-- Who was told that a signal was delivered or a decision counts goes before the limit. The rows are locked first: what
-- is being told at this moment is seen once it is committed.
create or replace function openworkflow.flowkeep_spare_woken_wait() returns trigger language plpgsql as $$
declare
  woken_by text := new.context->>'signal';
begin
  perform from public.signal_waits where wake_key = woken_by for update;
  perform from public.approvals where wake_key = woken_by for update;
  if exists (select from openworkflow.flowkeep_wakes where wake_key = woken_by) then
    new.output := null;
  end if;
  return new;
end $$;
create or replace trigger flowkeep_spare_woken_wait before update of status on openworkflow.step_attempts
  for each row when (new.kind = 'signal-wait' and new.status = 'completed' and new.output ? 'isCut')
  execute function openworkflow.flowkeep_spare_woken_wait();

create or replace function openworkflow.flowkeep_close_cut_wait() returns trigger language plpgsql as $$
declare
  woken_by text := new.context->>'signal';
begin
  update public.signal_waits set closed_at = now() where wake_key = woken_by and closed_at is null;
  update public.approvals set state = 'canceled', decided_at = now()
  where wake_key = woken_by and state = 'pending';
  update openworkflow.workflow_runs child
  set status = 'canceled', worker_id = null, available_at = null, finished_at = now(), updated_at = now()
  from openworkflow.flowkeep_children link
  where link.wake_key = woken_by and child.namespace_id = new.namespace_id and child.id = link.child_id
    and child.status in ('pending', 'running', 'sleeping');
  delete from openworkflow.flowkeep_loops where wake_key = woken_by;
  return null;
end $$;
create or replace trigger flowkeep_close_cut_wait after update of status on openworkflow.step_attempts
  for each row when (new.kind = 'signal-wait' and new.status = 'completed' and new.output ?| array['isMoot', 'isCut'])
  execute function openworkflow.flowkeep_close_cut_wait();
`;
