import { and, asc, eq, gt, inArray, isNull, lt, or, sql } from "drizzle-orm";
import type { Db } from "../db/client.js";
import { jsonNull } from "../db/schema/columns.js";
import { signals, signalWaits } from "../db/schema/index.js";

export type StoredSignal = typeof signals.$inferSelect;
type NewSignal = Omit<StoredSignal, "organizationId" | "position">;
type StoredWait = typeof signalWaits.$inferSelect;
export type NewWait = Omit<StoredWait, "organizationId" | "signalId" | "closedAt">;

/** What signals and waits find each other by. */
export interface SignalAddress {
  readonly name: string;
  /** Empty for none, which is a key of its own. */
  readonly correlationKey: string;
}

/** Unconsumed signals that one sending may clean up. */
const CLEANUP_BATCH = 20;

const isAddress = (
  table: typeof signals | typeof signalWaits,
  organizationId: string,
  { name, correlationKey }: SignalAddress,
) =>
  and(
    eq(table.organizationId, organizationId),
    eq(table.name, name),
    eq(table.correlationKey, correlationKey),
  );

/** Makes sending and waiting at an address happen one after the other until the transaction ends. */
export async function lockAddress(db: Db, organizationId: string, address: SignalAddress): Promise<void> {
  const key = JSON.stringify(["signal", organizationId, address.name, address.correlationKey]);
  await db.execute(sql`select pg_advisory_xact_lock(hashtextextended(${key}, 0))`);
}

/** The open waits of an address, locked so that none can give up meanwhile. */
export async function lockOpenWaits(
  db: Db,
  organizationId: string,
  address: SignalAddress,
  now: Date,
): Promise<{ readonly wakeKey: string; readonly runId: string }[]> {
  return db
    .select({ wakeKey: signalWaits.wakeKey, runId: signalWaits.runId })
    .from(signalWaits)
    .where(
      and(
        isAddress(signalWaits, organizationId, address),
        isNull(signalWaits.signalId),
        isNull(signalWaits.closedAt),
        or(isNull(signalWaits.expiresAt), gt(signalWaits.expiresAt, now)),
      ),
    )
    .orderBy(asc(signalWaits.wakeKey))
    .for("update");
}

/** Writes a signal; false when its idempotency key is taken. */
export async function insertSignal(db: Db, organizationId: string, signal: NewSignal): Promise<boolean> {
  const rows = await db
    .insert(signals)
    .values({ ...signal, payload: signal.payload ?? jsonNull, organizationId })
    .onConflictDoNothing()
    .returning({ id: signals.id });
  return rows.length > 0;
}

/** The signal that an idempotency key belongs to, or null. */
export async function findSignalByKey(
  db: Db,
  organizationId: string,
  idempotencyKey: string,
): Promise<StoredSignal | null> {
  const [row] = await db
    .select()
    .from(signals)
    .where(and(eq(signals.organizationId, organizationId), eq(signals.idempotencyKey, idempotencyKey)));
  return row ?? null;
}

/** Gives a signal to waits. */
export async function resolveWaits(
  db: Db,
  organizationId: string,
  wakeKeys: readonly string[],
  signalId: string,
): Promise<void> {
  await db
    .update(signalWaits)
    .set({ signalId })
    .where(
      and(
        eq(signalWaits.organizationId, organizationId),
        // One parameter however many there are: the driver takes 65,534.
        sql`${signalWaits.wakeKey} in (select json_array_elements_text(${JSON.stringify(wakeKeys)}::text::json))`,
      ),
    );
}

/** Deletes some signals that nobody waited for in time; their idempotency keys hold until `keptSince`. */
export async function deleteExpiredSignals(
  db: Db,
  organizationId: string,
  { now, keptSince }: { readonly now: Date; readonly keptSince: Date },
): Promise<void> {
  const expired = db
    .select({ id: signals.id })
    .from(signals)
    .where(
      and(
        eq(signals.organizationId, organizationId),
        isNull(signals.consumedAt),
        lt(signals.expiresAt, now),
        lt(signals.createdAt, keptSince),
      ),
    )
    .orderBy(asc(signals.expiresAt))
    .limit(CLEANUP_BATCH)
    .for("update", { skipLocked: true });
  await db
    .delete(signals)
    .where(and(eq(signals.organizationId, organizationId), inArray(signals.id, expired)));
}

/** Opens a wait; false when its wake key has one already. */
export async function insertWait(db: Db, organizationId: string, wait: NewWait): Promise<boolean> {
  const rows = await db
    .insert(signalWaits)
    .values({ ...wait, organizationId })
    .onConflictDoNothing()
    .returning({ wakeKey: signalWaits.wakeKey });
  return rows.length > 0;
}

/** The wait of a wake key, or null. */
export async function findWait(
  db: Db,
  organizationId: string,
  wakeKey: string,
): Promise<Pick<StoredWait, "expiresAt" | "signalId" | "closedAt"> | null> {
  const { expiresAt, signalId, closedAt } = signalWaits;
  const [row] = await db
    .select({ expiresAt, signalId, closedAt })
    .from(signalWaits)
    .where(and(eq(signalWaits.organizationId, organizationId), eq(signalWaits.wakeKey, wakeKey)));
  return row ?? null;
}

/** Consumes the oldest signal that is buffered at the locked address and gives its id, or null. */
export async function takeBufferedSignal(
  db: Db,
  organizationId: string,
  address: SignalAddress,
  now: Date,
): Promise<string | null> {
  const oldest = db
    .select({ id: signals.id })
    .from(signals)
    .where(
      and(
        isAddress(signals, organizationId, address),
        isNull(signals.consumedAt),
        gt(signals.expiresAt, now),
      ),
    )
    .orderBy(asc(signals.position))
    .limit(1);
  const [row] = await db
    .update(signals)
    .set({ consumedAt: now })
    .where(and(eq(signals.organizationId, organizationId), eq(signals.id, oldest)))
    .returning({ id: signals.id });
  return row?.id ?? null;
}

/**
 * Ends a wait, so that no signal reaches it any more, and gives the payload of the one that did; null when the wait
 * does not exist. Ending it again gives the same.
 */
export async function closeWait(
  db: Db,
  organizationId: string,
  wakeKey: string,
  now: Date,
): Promise<{ readonly signalId: string | null; readonly payload: unknown } | null> {
  const [closed] = await db
    .update(signalWaits)
    .set({ closedAt: sql`coalesce(${signalWaits.closedAt}, ${now.toISOString()}::timestamptz)` })
    .where(and(eq(signalWaits.organizationId, organizationId), eq(signalWaits.wakeKey, wakeKey)))
    .returning({ signalId: signalWaits.signalId });
  if (closed === undefined) return null;
  if (closed.signalId === null) return { signalId: null, payload: null };
  const [signal] = await db
    .select({ payload: signals.payload })
    .from(signals)
    .where(and(eq(signals.organizationId, organizationId), eq(signals.id, closed.signalId)));
  return { signalId: closed.signalId, payload: signal?.payload ?? null };
}
