import type { Logger } from "pino";
import type { Database } from "../db/client.js";
import { describeCause } from "../errors/describe-cause.js";
import { sessionLifetime } from "./session-lifetime.js";

/** Writes when keys and sessions were used, many at a time and never in the way of a request. */
export interface UsageStamps {
  keyUsed(keyId: string): void;
  /** For a session whose expiry is due to slide. */
  sessionUsed(sessionId: string): void;
  /** Writes what is pending and stops. */
  close(): Promise<void>;
}

/** Where stamps go and how long they may wait, in milliseconds. */
export interface UsageStampOptions {
  readonly database: Database;
  readonly logger: Logger;
  readonly flushAfterMs: number;
}

/**
 * Collects uses and writes them with one UPDATE per table and interval. A stamp may be late or, when the write fails
 * or another process holds the row, left out: it informs, nothing is decided by it.
 */
export function createUsageStamps({ database, logger, flushAfterMs }: UsageStampOptions): UsageStamps {
  const keys = new Map<string, string>();
  const sessions = new Set<string>();
  let timer: NodeJS.Timeout | null = null;
  let writing: Promise<void> = Promise.resolve();

  const flush = (): Promise<void> => {
    timer = null;
    const usedKeys = [...keys];
    const usedSessions = [...sessions];
    keys.clear();
    sessions.clear();
    writing = writing
      .then(() => stampKeys(database, usedKeys))
      .then(() => slideSessions(database, usedSessions))
      .catch((error: unknown) =>
        logger.warn({ cause: describeCause(error) }, "usage of keys and sessions could not be written"),
      );
    return writing;
  };
  const schedule = () => {
    timer ??= setTimeout(flush, flushAfterMs).unref();
  };

  return {
    keyUsed: (keyId) => {
      keys.set(keyId, new Date().toISOString());
      schedule();
    },
    sessionUsed: (sessionId) => {
      sessions.add(sessionId);
      schedule();
    },
    close: async () => {
      if (timer !== null) clearTimeout(timer);
      await flush();
    },
  };
}

/** Rows that another process is writing are skipped, so that two batches can never wait for each other. */
async function stampKeys(
  { sql }: Database,
  used: readonly (readonly [id: string, usedAt: string])[],
): Promise<void> {
  if (used.length === 0) return;
  const ids = used.map(([id]) => id);
  const times = used.map(([, usedAt]) => usedAt);
  await sql`
    update apikey set last_request = greatest(apikey.last_request, used.at)
    from unnest(${ids}::text[], ${times}::text[]::timestamptz[]) as used(id, at)
    where apikey.id = used.id
      and apikey.id in (select id from apikey where id = any(${ids}::text[]) for no key update skip locked)`;
}

async function slideSessions({ sql }: Database, ids: readonly string[]): Promise<void> {
  if (ids.length === 0) return;
  await sql`
    update session set expires_at = now() + make_interval(secs => ${sessionLifetime.expiresInSeconds}), updated_at = now()
    where expires_at > now()
      and id in (select id from session where id = any(${[...ids]}::text[]) for no key update skip locked)`;
}
