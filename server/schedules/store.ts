import { and, asc, eq, getTableColumns, gt, inArray, isNotNull, lte, sql } from "drizzle-orm";
import type { Db } from "../db/client.js";
import { keyset, type Page, type PageWindow, toPage } from "../db/page.js";
import { jsonNull } from "../db/schema/columns.js";
import { schedules } from "../db/schema/index.js";

export type StoredSchedule = typeof schedules.$inferSelect;

/** A schedule without its payload, which is large and goes from its row to the runs without coming here. */
export type FiringSchedule = Omit<StoredSchedule, "payload">;

const { payload: _, ...columns } = getTableColumns(schedules);

/** The columns of a `FiringSchedule`. */
export const firingColumns = columns;

/** The fields of a schedule that its owner changes, with what follows from them. */
export type ScheduleChange = Omit<
  StoredSchedule,
  "id" | "organizationId" | "runCount" | "createdAt" | "createdBy"
>;

/** Where a schedule stands after a round of firing. */
export type ScheduleProgress = Pick<
  StoredSchedule,
  "organizationId" | "id" | "nextScheduledFor" | "nextFireAt" | "runCount"
> & {
  /** Switches it off with this reason; null leaves it on. */
  readonly stoppedReason: string | null;
};

/** Channel that tells every scheduler to look what is due. */
export const SCHEDULE_CHANNEL = "schedule_changed";

const isOne = (organizationId: string, id: string) =>
  and(eq(schedules.organizationId, organizationId), eq(schedules.id, id));

const wake = sql`pg_notify(${SCHEDULE_CHANNEL}, '')`;

/** Wakes every scheduler when the transaction commits. */
export async function wakeSchedulers(db: Db): Promise<void> {
  await db.execute(sql`select ${wake}`);
}

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
    .select({ id: inserted.id, wake: sql`${wake}`.as("wake") })
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

/** The schedule under its row lock, or null; waits for whoever fires or changes it now. */
export async function lockSchedule(
  db: Db,
  organizationId: string,
  id: string,
): Promise<StoredSchedule | null> {
  const [row] = await db.select().from(schedules).where(isOne(organizationId, id)).for("no key update");
  return row ?? null;
}

/** As `lockSchedule` for those of these ids. */
export async function lockSchedules(
  db: Db,
  organizationId: string,
  ids: readonly string[],
): Promise<FiringSchedule[]> {
  return db
    .select(firingColumns)
    .from(schedules)
    .where(and(eq(schedules.organizationId, organizationId), inArray(schedules.id, [...ids])))
    .orderBy(asc(schedules.id))
    .for("no key update");
}

/** Newest first. */
export async function listSchedules(
  db: Db,
  organizationId: string,
  window: PageWindow,
  filter: { readonly workflowId?: string | undefined },
): Promise<Page<FiringSchedule>> {
  const page = keyset(schedules.createdAt, schedules.id, window);
  const rows = await db
    .select(firingColumns)
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

/** What tells whether a schedule fires in a minute. */
export type MinuteSpec = Pick<
  StoredSchedule,
  "id" | "cron" | "timezone" | "gap" | "fold" | "startAt" | "endAt"
>;

/** Every schedule of the organization that is switched on, without its payload. */
export async function listEnabledSchedules(db: Db, organizationId: string): Promise<MinuteSpec[]> {
  const { id, cron, timezone, gap, fold, startAt, endAt } = schedules;
  return db
    .select({ id, cron, timezone, gap, fold, startAt, endAt })
    .from(schedules)
    .where(and(eq(schedules.organizationId, organizationId), eq(schedules.isEnabled, true)))
    .orderBy(asc(schedules.createdAt), asc(schedules.id));
}

/** Writes a changed schedule, whose row lock the caller holds. Wakes the schedulers on commit. */
export async function updateSchedule(
  db: Db,
  organizationId: string,
  id: string,
  change: ScheduleChange,
): Promise<void> {
  await db
    .update(schedules)
    .set({ ...change, payload: change.payload ?? jsonNull })
    .where(isOne(organizationId, id));
  await wakeSchedulers(db);
}

/** Deletes the schedule and its ledger; false when there is none. */
export async function deleteSchedule(db: Db, organizationId: string, id: string): Promise<boolean> {
  const rows = await db.delete(schedules).where(isOne(organizationId, id)).returning({ id: schedules.id });
  return rows.length > 0;
}

/** Locks the schedules of a workflow that are switched on, in the order in which everybody locks several. */
export async function lockSchedulesOf(
  db: Db,
  organizationId: string,
  workflowId: string,
): Promise<FiringSchedule[]> {
  return db
    .select(firingColumns)
    .from(schedules)
    .where(
      and(
        eq(schedules.organizationId, organizationId),
        eq(schedules.workflowId, workflowId),
        eq(schedules.isEnabled, true),
      ),
    )
    .orderBy(asc(schedules.id))
    .for("no key update");
}

/** Switches the schedules of a workflow off, which the caller has locked, and says why. */
export async function stopSchedules(
  db: Db,
  organizationId: string,
  { workflowId, reason, now }: { readonly workflowId: string; readonly reason: string; readonly now: Date },
): Promise<void> {
  await db
    .update(schedules)
    .set({
      isEnabled: false,
      nextScheduledFor: null,
      nextFireAt: null,
      stoppedReason: reason,
      version: sql`${schedules.version} + 1`,
      updatedAt: now,
    })
    .where(
      and(
        eq(schedules.organizationId, organizationId),
        eq(schedules.workflowId, workflowId),
        eq(schedules.isEnabled, true),
      ),
    );
}

/** Lets a schedule that is switched on wait until `nextFireAt`; its instants stay due. */
export async function postponeSchedule(
  db: Db,
  organizationId: string,
  id: string,
  nextFireAt: Date,
): Promise<void> {
  await db
    .update(schedules)
    .set({ nextFireAt })
    .where(and(isOne(organizationId, id), isNotNull(schedules.nextFireAt)));
}

/**
 * Takes schedules of any organization that are due after `after`, absent: since ever, and at `until` at the latest
 * under their row locks, skipping those another process holds. The scheduler serves all organizations; what it does
 * with a row is scoped by the row's own.
 */
export async function claimDueSchedules(
  db: Db,
  { after, until }: { readonly after?: Date; readonly until: Date },
  limit: number,
): Promise<FiringSchedule[]> {
  const [, rows] = await Promise.all([
    // Else the planner reads ten thousand schedules rather than look a hundred up.
    db.execute(sql`set local enable_seqscan = off`),
    db
      .select(firingColumns)
      .from(schedules)
      .where(
        and(
          lte(schedules.nextFireAt, until),
          after === undefined ? undefined : gt(schedules.nextFireAt, after),
        ),
      )
      .orderBy(asc(schedules.nextFireAt))
      .limit(limit)
      .for("no key update", { skipLocked: true }),
  ]);
  return rows;
}

/** Takes one due schedule; null when it is not due any more or another process holds it. */
export async function claimDueSchedule(
  db: Db,
  organizationId: string,
  id: string,
  now: Date,
): Promise<FiringSchedule | null> {
  const [row] = await db
    .select(firingColumns)
    .from(schedules)
    .where(and(isOne(organizationId, id), lte(schedules.nextFireAt, now)))
    .for("no key update", { skipLocked: true });
  return row ?? null;
}

/** Writes where the schedules stand that the caller has claimed. */
export async function advanceSchedules(
  db: Db,
  progress: readonly ScheduleProgress[],
  now: Date,
): Promise<void> {
  await db.execute(sql`
    update ${schedules} as schedule set
      next_scheduled_for = progress."nextScheduledFor",
      next_fire_at = progress."nextFireAt",
      run_count = progress."runCount",
      is_enabled = schedule.is_enabled and progress."stoppedReason" is null,
      stopped_reason = coalesce(progress."stoppedReason", schedule.stopped_reason),
      version = schedule.version + (progress."stoppedReason" is not null)::integer,
      updated_at = case
        when progress."stoppedReason" is null then schedule.updated_at else ${now.toISOString()}::timestamptz end
    from json_to_recordset(${JSON.stringify(progress)}::text::json) as progress (
      "organizationId" text, id text, "nextScheduledFor" timestamptz, "nextFireAt" timestamptz,
      "runCount" integer, "stoppedReason" text)
    where schedule.organization_id = progress."organizationId" and schedule.id = progress.id`);
}
