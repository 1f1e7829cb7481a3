/** Channel that says that a wait was woken: its wake key, `{engine run id}:{step name}`. */
export const WAIT_CHANNEL = "ow_wait";

/**
 * What waits of runs and runs of runs need, safe to run again at any time. A wake is a row, so it may be written
 * before its wait begins. Locks are taken from parents to children only: a child that ends writes a wake and never
 * touches its parent.
 */
export const linkSql = `
create table if not exists openworkflow.flowkeep_wakes (
  wake_key text primary key,
  created_at timestamptz not null default now()
);
create index if not exists flowkeep_wakes_created_idx on openworkflow.flowkeep_wakes (created_at);

create or replace function openworkflow.flowkeep_woken() returns trigger language plpgsql as $$
begin
  perform pg_notify('${WAIT_CHANNEL}', new.wake_key);
  return null;
end $$;
create or replace trigger flowkeep_woken after insert on openworkflow.flowkeep_wakes
  for each row execute function openworkflow.flowkeep_woken();
drop trigger if exists flowkeep_wait on openworkflow.step_attempts;
drop function if exists openworkflow.flowkeep_wait();

-- A run that parks although one of its waits is woken already is due at once. Whoever wakes a run that is about to
-- park waits for the row and finds it parked.
create or replace function openworkflow.flowkeep_park() returns trigger language plpgsql as $$
begin
  if exists (
    select from openworkflow.step_attempts attempt
    join openworkflow.flowkeep_wakes wake on wake.wake_key = attempt.context->>'signal'
    where attempt.namespace_id = new.namespace_id and attempt.workflow_run_id = new.id
      and attempt.kind = 'signal-wait' and attempt.status = 'running'
  ) then
    new.available_at := now();
  end if;
  return new;
end $$;
create or replace trigger flowkeep_park before update of worker_id on openworkflow.workflow_runs
  for each row when (
    old.worker_id is not null and new.worker_id is null and new.status = 'running' and new.available_at > now()
  ) execute function openworkflow.flowkeep_park();

-- Runs that other runs started: parts of loops, which clients do not see, and runs of run_workflow blocks. root_id is
-- the run that clients see; number orders the parts of one loop.
create table if not exists openworkflow.flowkeep_children (
  child_id text primary key,
  parent_id text not null,
  root_id text not null,
  wake_key text not null,
  is_part boolean not null,
  number integer not null default 0
);
create index if not exists flowkeep_children_parent_idx on openworkflow.flowkeep_children (parent_id);
create index if not exists flowkeep_children_wake_idx on openworkflow.flowkeep_children (wake_key, number);
create index if not exists flowkeep_children_root_idx on openworkflow.flowkeep_children (root_id) where is_part;

-- What the parts of an open loop share.
create table if not exists openworkflow.flowkeep_loops (
  wake_key text primary key,
  run_id text not null,
  items jsonb not null,
  scope jsonb not null
);
create index if not exists flowkeep_loops_run_idx on openworkflow.flowkeep_loops (run_id);

-- Starts the next part of a loop; wakes the loop when none is left. The lock lets the last two parts see each other.
create or replace function openworkflow.flowkeep_next_part(namespace text, loop_key text, ended integer)
returns void language plpgsql as $$
begin
  perform pg_advisory_xact_lock(hashtextextended(loop_key, 0));
  update openworkflow.workflow_runs set status = 'running', available_at = now(), updated_at = now()
  where namespace_id = namespace and id = (
    select run.id from openworkflow.flowkeep_children link
    join openworkflow.workflow_runs run on run.namespace_id = namespace and run.id = link.child_id
    where link.wake_key = loop_key and link.number > ended
      and run.status = 'pending' and run.available_at is null
    order by link.number limit 1 for update of run skip locked
  );
  if not found and not exists (
    select from openworkflow.flowkeep_children link
    join openworkflow.workflow_runs run on run.namespace_id = namespace and run.id = link.child_id
    where link.wake_key = loop_key and run.status in ('pending', 'running', 'sleeping')
  ) then
    insert into openworkflow.flowkeep_wakes (wake_key) values (loop_key) on conflict do nothing;
  end if;
end $$;

create or replace function openworkflow.flowkeep_family() returns trigger language plpgsql as $$
declare
  link openworkflow.flowkeep_children;
begin
  select * into link from openworkflow.flowkeep_children where child_id = new.id;
  if found and link.is_part and new.status = 'completed' and new.output->'isStopped' is distinct from 'true' then
    perform openworkflow.flowkeep_next_part(new.namespace_id, link.wake_key, link.number);
  elsif found then
    insert into openworkflow.flowkeep_wakes (wake_key) values (link.wake_key) on conflict do nothing;
  end if;
  if exists (select from openworkflow.flowkeep_children where parent_id = new.id) then
    update openworkflow.workflow_runs child
    set status = 'canceled', worker_id = null, available_at = null, finished_at = now(), updated_at = now()
    from openworkflow.flowkeep_children open
    where open.parent_id = new.id and child.namespace_id = new.namespace_id and child.id = open.child_id
      and child.status in ('pending', 'running', 'sleeping');
    delete from openworkflow.flowkeep_loops where run_id = new.id;
  end if;
  return null;
end $$;
create or replace trigger flowkeep_family after update of status on openworkflow.workflow_runs
  for each row when (new.status in ('completed', 'failed', 'canceled') and old.status <> new.status)
  execute function openworkflow.flowkeep_family();

-- A run whose loop is walked is running although it is parked itself, as long as one of its parts is. The lock lets
-- parts that park at the same time see each other.
create or replace function openworkflow.flowkeep_mirror_loop(namespace text, root text) returns void
language plpgsql as $$
declare
  new_state text;
begin
  perform pg_advisory_xact_lock(hashtextextended(root, 1));
  select case when bool_or(run.worker_id is not null or run.available_at <= clock_timestamp())
    then 'running' else 'waiting' end
  into new_state
  from openworkflow.workflow_runs run
  where run.namespace_id = namespace and run.status in ('pending', 'running') and run.id in (
    select root union all select child_id from openworkflow.flowkeep_children where root_id = root and is_part
  );
  update public.runs set state = new_state
  where id = root::uuid and state in ('running', 'waiting') and state <> new_state;
end $$;
`;
