/**
 * Closes what a run waits for when it ends, whoever ends it: no signal goes to it any more, and its pending approvals
 * are canceled. A wake key starts with the engine's run, so that the parts of a loop close their own.
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
`;
