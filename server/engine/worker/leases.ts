import type { Sql } from "../../db/client.js";
import { ENGINE_NAMESPACE } from "../database/install-sql.js";

/** Number of a worker process, unique among those alive: a positive 32-bit integer. */
export type WorkerNumber = number;

/** First key of the advisory locks that say that a worker process lives; the second is its number. */
const LIVENESS_LOCK_CLASS = 1_179_797_328;

/** A lease ends at most this far in the future: openworkflow's 30 s and some room for a slow statement. */
const LEASE_HORIZON = "35 seconds";

/** What stands in `worker_id` before a slot's own id, so that a run shows which process holds it. */
export function workerPrefix(number: WorkerNumber): string {
  return `${number}:`;
}

/**
 * Takes the lock that lasts as long as the connection of `session` and enters the process in the register.
 * @returns false while an earlier connection still holds the lock.
 */
export async function enterRegister(session: Sql, number: WorkerNumber): Promise<boolean> {
  const [row] = await session<{ isLocked: boolean }[]>`
    select pg_try_advisory_lock(${LIVENESS_LOCK_CLASS}::int, ${number}::int) as "isLocked"`;
  if (row?.isLocked !== true) return false;
  await session`insert into openworkflow.flowkeep_workers (number) values (${number}) on conflict do nothing`;
  return true;
}

/** Registered processes other than `self` whose lock nobody holds. */
export async function listSilentWorkers(sql: Sql, self: WorkerNumber): Promise<WorkerNumber[]> {
  const rows = await sql<{ number: WorkerNumber }[]>`
    select number from openworkflow.flowkeep_workers workers
    where number <> ${self} and not exists (
      select from pg_locks locks
      where locks.locktype = 'advisory' and locks.granted and locks.objsubid = 2
        and locks.database = (select oid from pg_database where datname = current_database())
        and locks.classid = ${LIVENESS_LOCK_CLASS}::int::oid and locks.objid = workers.number::oid
    )`;
  return rows.map(({ number }) => number);
}

/** Gives back every run that the process holds and strikes it off the register; returns how many runs. */
export async function retireWorker(sql: Sql, number: WorkerNumber): Promise<number> {
  const released = await releaseWhere(sql, sql`starts_with(worker_id, ${workerPrefix(number)})`);
  await sql`delete from openworkflow.flowkeep_workers where number = ${number}`;
  return released;
}

/** Gives back the run that one slot holds, if any: for a slot whose claim may have been granted unheard. */
export async function releaseSlot(sql: Sql, workerId: string): Promise<void> {
  await releaseWhere(sql, sql`worker_id = ${workerId}`);
}

/** Gives a run back between or within its steps, so that another worker goes on at once. */
export async function handBackRun(sql: Sql, runId: string, number: WorkerNumber): Promise<void> {
  await sql`
    with handed_back as (
      update openworkflow.workflow_runs set worker_id = null, available_at = now(), updated_at = now()
      where namespace_id = ${ENGINE_NAMESPACE} and id = ${runId} and status = 'running'
        and starts_with(worker_id, ${workerPrefix(number)})
      returning namespace_id, id
    )
    update openworkflow.step_attempts attempt
    set status = 'failed', finished_at = now(), updated_at = now(), error = ${HANDED_BACK}::text::jsonb
    from handed_back
    where attempt.namespace_id = handed_back.namespace_id and attempt.workflow_run_id = handed_back.id
      and attempt.kind = 'function' and attempt.status = 'running'`;
}

/** Error of a step that was given up at a shutdown; unlike a step that was left running it is no sign of a crash. */
const HANDED_BACK = JSON.stringify({
  code: "handed_back",
  message: "The server stopped; the step runs again.",
});

async function releaseWhere(sql: Sql, condition: ReturnType<Sql>): Promise<number> {
  const { count } = await sql`
    update openworkflow.workflow_runs set worker_id = null, available_at = now(), updated_at = now()
    where namespace_id = ${ENGINE_NAMESPACE} and status in ('pending', 'running', 'sleeping')
      and available_at > now() and available_at < now() + ${LEASE_HORIZON}::interval
      and worker_id is not null and ${condition}`;
  return count;
}
