import { and, asc, eq, isNotNull, lte, ne, sql } from "drizzle-orm";
import type { Db } from "../db/client.js";
import { keyset, type Page, type PageWindow, toPage } from "../db/page.js";
import { jsonNull } from "../db/schema/columns.js";
import { scheduleOccurrences, schedules } from "../db/schema/index.js";

export type StoredSchedule = typeof schedules.$inferSelect;
export type StoredOccurrence = typeof scheduleOccurrences.$inferSelect;

/** Channel that tells every scheduler that a next instant was set. */
export const SCHEDULE_CHANNEL = "schedule_changed";

const isOne = (organizationId: string, id: string) =>
  and(eq(schedules.organizationId, organizationId), eq(schedules.id, id));

/** Writes a schedule; false when the organization already has one of this id. Wakes the schedulers on commit. */
export async function insertSchedule(
  db: Db,
  organizationId: string,
  schedule: StoredSchedule,
): Promise<boolean> {
  const inserted = db.$with("inserted").as(
    db
      .insert(schedules)
      .values({ ...schedule, payload: schedule.payload ?? jsonNull, organizationId })
      .onConflictDoNothing()
      .returning({ id: schedules.id }),
  );
  const rows = await db
    .with(inserted)
    .select({ id: inserted.id, wake: sql`pg_notify(${SCHEDULE_CHANNEL}, '')`.as("wake") })
    .from(inserted);
  return rows.length > 0;
}

/** The schedule, or null. */
export async function findSchedule(
  db: Db,
  organizationId: string,
  id: string,
): Promise<StoredSchedule | null> {
  const [row] = await db.select().from(schedules).where(isOne(organizationId, id));
  return row ?? null;
}

/** Newest first. */
export async function listSchedules(
  db: Db,
  organizationId: string,
  window: PageWindow,
  filter: { readonly workflowId?: string | undefined },
): Promise<Page<StoredSchedule>> {
  const page = keyset(schedules.createdAt, schedules.id, window);
  const rows = await db
    .select()
    .from(schedules)
    .where(
      page.where(
        eq(schedules.organizationId, organizationId),
        filter.workflowId === undefined ? undefined : eq(schedules.workflowId, filter.workflowId),
      ),
    )
    .orderBy(...page.order)
    .limit(page.limit);
  return toPage(rows, window, (row) => row);
}

/** Every schedule of the organization that is switched on. */
export async function listEnabledSchedules(db: Db, organizationId: string): Promise<StoredSchedule[]> {
  return db
    .select()
    .from(schedules)
    .where(and(eq(schedules.organizationId, organizationId), eq(schedules.isEnabled, true)))
    .orderBy(asc(schedules.createdAt), asc(schedules.id));
}

/** Deletes the schedule and its ledger; false when there is none. */
export async function deleteSchedule(db: Db, organizationId: string, id: string): Promise<boolean> {
  const rows = await db.delete(schedules).where(isOne(organizationId, id)).returning({ id: schedules.id });
  return rows.length > 0;
}

/** Switches the schedules of a workflow off and says why. */
export async function stopSchedules(
  db: Db,
  organizationId: string,
  { workflowId, reason, now }: { readonly workflowId: string; readonly reason: string; readonly now: Date },
): Promise<void> {
  await db
    .update(schedules)
    .set({ isEnabled: false, nextFireAt: null, stoppedReason: reason, updatedAt: now })
    .where(
      and(
        eq(schedules.organizationId, organizationId),
        eq(schedules.workflowId, workflowId),
        eq(schedules.isEnabled, true),
      ),
    );
}

/** Sets the next instant of a schedule that is switched on; null when it never fires again. */
export async function setNextFireAt(
  db: Db,
  organizationId: string,
  id: string,
  nextFireAt: Date | null,
): Promise<void> {
  await db
    .update(schedules)
    .set({ nextFireAt })
    .where(and(isOne(organizationId, id), eq(schedules.isEnabled, true)));
}

/**
 * Takes one due schedule of any organization under its row lock, skipping those another process holds, or null. The
 * scheduler serves all organizations; what it does with the row is scoped by the row's own.
 */
export async function claimDueSchedule(db: Db, now: Date): Promise<StoredSchedule | null> {
  const [row] = await db
    .select()
    .from(schedules)
    .where(lte(schedules.nextFireAt, now))
    .orderBy(asc(schedules.nextFireAt))
    .limit(1)
    .for("no key update", { skipLocked: true });
  return row ?? null;
}

/** When the next schedule of any organization is due, or null. */
export async function findNextDueAt(db: Db): Promise<Date | null> {
  const [row] = await db
    .select({ nextFireAt: schedules.nextFireAt })
    .from(schedules)
    .where(isNotNull(schedules.nextFireAt))
    .orderBy(asc(schedules.nextFireAt))
    .limit(1);
  return row?.nextFireAt ?? null;
}

/** Takes an instant in the ledger; false when it was taken before. Waits for a transaction that is taking it now. */
export async function insertOccurrence(
  db: Db,
  organizationId: string,
  occurrence: Omit<StoredOccurrence, "organizationId">,
): Promise<boolean> {
  const rows = await db
    .insert(scheduleOccurrences)
    .values({ ...occurrence, organizationId })
    .onConflictDoNothing()
    .returning({ scheduleId: scheduleOccurrences.scheduleId });
  return rows.length > 0;
}

/** Writes the run that an instant started. */
export async function setOccurrenceRun(
  db: Db,
  organizationId: string,
  {
    scheduleId,
    scheduledFor,
    runId,
  }: { readonly scheduleId: string; readonly scheduledFor: Date; readonly runId: string },
): Promise<void> {
  await db
    .update(scheduleOccurrences)
    .set({ runId })
    .where(
      and(
        eq(scheduleOccurrences.organizationId, organizationId),
        eq(scheduleOccurrences.scheduleId, scheduleId),
        eq(scheduleOccurrences.scheduledFor, scheduledFor),
        ne(scheduleOccurrences.outcome, "failed"),
      ),
    );
}

/** Instants of one minute that the ledger already holds, by schedule id. */
export async function listTakenSchedules(
  db: Db,
  organizationId: string,
  scheduledFor: Date,
): Promise<Set<string>> {
  const rows = await db
    .select({ scheduleId: scheduleOccurrences.scheduleId })
    .from(scheduleOccurrences)
    .where(
      and(
        eq(scheduleOccurrences.organizationId, organizationId),
        eq(scheduleOccurrences.scheduledFor, scheduledFor),
      ),
    );
  return new Set(rows.map((row) => row.scheduleId));
}
