import os from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import postgres from "postgres";
import { isConnectionLoss } from "../../errors/error-body.js";
import { EmbeddedPgError } from "./embedded-pg-error.js";
import { isProcessAlive } from "./process-state.js";

/** Sole use of a data folder, as a session lock in its cluster: it ends with its process and is never stale. */
export interface Ownership {
  /** The session that holds the lock, connected to the database `postgres`. */
  readonly session: postgres.Sql;
  /** Lets go without asking the server for anything. */
  release(): void;
  /** Closes the session. */
  close(): Promise<void>;
}

export interface Claim {
  readonly url: string;
  /** Named in the refusal. */
  readonly folder: string;
  /** Process id of the guard that this process started; null when the server was found running. */
  readonly guardPid: number | null;
  /** Called each time the session is lost while owned; returns false to give up. */
  readonly shouldRetake: () => boolean;
}

const LOCK_CLASS = 1_179_403_083;
const LOCK_ID = 1;
const POLL_MS = 50;
const RETAKE_MS = 500;
/** Time a lock may outlive the process that held it. */
const HELD_PATIENCE_MS = 1_000;
/** Time the process that started a server has to take the lock before somebody else may. */
const GUARD_PATIENCE_MS = 10_000;

/**
 * Takes the lock, or returns null when the server went away meanwhile. A server that another process started or is
 * about to stop is left to that process: as long as its guard lives, nobody else takes a free lock.
 * @throws EmbeddedPgError `IN_USE` naming folder, holder and remedy.
 */
export async function claimOwnership(claim: Claim): Promise<Ownership | null> {
  let isOwned = false;
  let isRetaking = false;
  const retake = async () => {
    if (isRetaking) return;
    isRetaking = true;
    while (isOwned && claim.shouldRetake()) {
      if (await tryLock(session).catch(() => false)) break;
      await sleep(RETAKE_MS);
    }
    isRetaking = false;
  };
  const session = postgres(claim.url, {
    max: 1,
    // The driver would else replace the connection after a while, and the lock would go with it.
    max_lifetime: null,
    backoff: false,
    connect_timeout: 5,
    fetch_types: false,
    onnotice: () => {},
    onclose: () => {
      if (isOwned) void retake();
    },
    connection: { application_name: `process ${process.pid} on ${os.hostname()}` },
  });
  const close = () => session.end({ timeout: 1 }).catch(() => {});
  try {
    await takeLock(session, claim);
  } catch (error) {
    await close();
    if (isConnectionLoss(error)) return null;
    throw error;
  }
  isOwned = true;
  return {
    session,
    release: () => {
      isOwned = false;
    },
    close,
  };
}

async function takeLock(session: postgres.Sql, claim: Claim): Promise<void> {
  const [server] = await session<{ guard: string }[]>`select current_setting('cluster_name') as guard`;
  const guardPid = Number(/^guard (\d+)$/.exec(server?.guard ?? "")?.[1] ?? Number.NaN);
  const isOurs = Number.isNaN(guardPid) || guardPid === claim.guardPid;
  const start = Date.now();
  for (; ; await sleep(POLL_MS)) {
    const waitedMs = Date.now() - start;
    const holder = await findHolder(session);
    if (holder === null) {
      const isFree = isOurs || waitedMs > GUARD_PATIENCE_MS || !isProcessAlive(guardPid);
      if (isFree && (await tryLock(session))) return;
    } else if (waitedMs > HELD_PATIENCE_MS) {
      throw new EmbeddedPgError(
        "IN_USE",
        `The data folder ${claim.folder} is in use by another server (${holder}): stop that server, or set DATA_DIR to another folder.`,
      );
    }
  }
}

async function tryLock(session: postgres.Sql): Promise<boolean> {
  const [row] = await session<{ locked: boolean }[]>`
    select pg_try_advisory_lock(${LOCK_CLASS}::int4, ${LOCK_ID}::int4) as locked`;
  return row?.locked === true;
}

/** Who holds the lock and since when, in words. */
async function findHolder(session: postgres.Sql): Promise<string | null> {
  const [row] = await session<{ name: string; since: string }[]>`
    select application_name as name, to_char(backend_start at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS') as since
    from pg_locks join pg_stat_activity using (pid)
    where locktype = 'advisory' and granted and classid = ${LOCK_CLASS}::oid and objid = ${LOCK_ID}::oid and objsubid = 2`;
  return row === undefined ? null : `${row.name}, since ${row.since} UTC`;
}
