/** Channel that says that something about a watched run has changed: the id of the run. */
export const RUN_CHANGED_CHANNEL = "run_changed";
/** Channel that says that runs were dispatched or that one has ended: `RunMilestones` as JSON. */
export const RUN_MILESTONE_CHANNEL = "run_milestone";
/** First key of the advisory locks between a change of a run and a watch that is being set up. */
export const WATCH_LOCK_CLASS = 1_179_797_329;

/**
 * Tells those who watch a run that it or one of its steps has changed. A commit that notifies waits for the commits of
 * all others that do, so step writes notify only for runs that somebody watches. Parts of loops count for the run
 * that clients see.
 */
export const runChangeSql = `
create unlogged table if not exists openworkflow.flowkeep_watches (
  run_id text not null,
  watcher text not null,
  until timestamptz not null,
  primary key (run_id, watcher)
);

-- Whoever sets a watch up takes the lock alone: it sees this change when it reads, or this change sees its watch.
create or replace function openworkflow.flowkeep_tell_watchers(run text) returns void language plpgsql as $$
begin
  perform pg_advisory_xact_lock_shared(${WATCH_LOCK_CLASS}, hashtext(run));
  if exists (select from openworkflow.flowkeep_watches where run_id = run and until > now()) then
    perform pg_notify('${RUN_CHANGED_CHANNEL}', run);
  end if;
end $$;

create or replace function openworkflow.flowkeep_step_changed() returns trigger language plpgsql as $$
begin
  perform openworkflow.flowkeep_tell_watchers(coalesce(
    (select root_id from openworkflow.flowkeep_children where child_id = new.workflow_run_id and is_part),
    new.workflow_run_id
  ));
  return null;
end $$;
create or replace trigger flowkeep_step_changed after insert or update of status on openworkflow.step_attempts
  for each row execute function openworkflow.flowkeep_step_changed();

-- Only the process that caused it acts on a milestone, so that each is counted once.
create or replace function openworkflow.flowkeep_run_changed() returns trigger language plpgsql as $$
begin
  perform openworkflow.flowkeep_tell_watchers(new.id::text);
  if new.finished_at is not null then
    perform pg_notify('${RUN_MILESTONE_CHANNEL}', json_build_object(
      'origin', current_setting('application_name'),
      'runs', json_build_array(json_build_array(new.id, new.workflow_id)),
      'trigger', new.trigger_kind,
      'state', new.state,
      'seconds', extract(epoch from new.finished_at - coalesce(new.started_at, new.finished_at))
    )::text);
  end if;
  return null;
end $$;

-- A notification holds 8,000 bytes.
create or replace function openworkflow.flowkeep_runs_added() returns trigger language plpgsql as $$
begin
  perform pg_notify('${RUN_MILESTONE_CHANNEL}', json_build_object(
    'origin', current_setting('application_name'),
    'runs', json_agg(json_build_array(id, workflow_id)),
    'trigger', trigger_kind,
    'state', 'pending',
    'seconds', null
  )::text)
  from (select id, workflow_id, trigger_kind, row_number() over (order by id) / 80 as chunk from added) numbered
  group by trigger_kind, chunk;
  return null;
end $$;
drop trigger if exists flowkeep_run_inserted on public.runs;
create trigger flowkeep_run_inserted after insert on public.runs
  referencing new table as added for each statement execute function openworkflow.flowkeep_runs_added();
create or replace trigger flowkeep_run_changed after update of state on public.runs
  for each row when (old.state <> new.state) execute function openworkflow.flowkeep_run_changed();
`;
