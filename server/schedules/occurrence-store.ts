import { randomUUID } from "node:crypto";
import { and, eq, sql } from "drizzle-orm";
import type { Db } from "../db/client.js";
import { keyset, type Page, type PageWindow, toPage } from "../db/page.js";
import { scheduleOccurrences, schedules } from "../db/schema/index.js";
import type { Outcome } from "./policies.js";
import { type FiringSchedule, firingColumns } from "./store.js";

export type StoredOccurrence = typeof scheduleOccurrences.$inferSelect;

/** A pending row with its schedule, both under their locks. */
export interface ClaimedOccurrence {
  readonly occurrence: StoredOccurrence;
  readonly schedule: FiringSchedule;
}

/** Names one schedule of any organization. */
export type ScheduleKey = Pick<StoredOccurrence, "organizationId" | "scheduleId">;

/** When the next work is due, and the runs whose end pending rows wait for. */
export interface Outlook {
  readonly dueAt: Date | null;
  readonly awaitedRunIds: readonly string[];
}

/** Most runs that one look watches for their end; rows that wait for others are looked at again by their own time. */
const MAX_AWAITED = 1_000;

/** A new pending row of the calendar. */
export function blankOccurrence(
  { organizationId, id: scheduleId }: Pick<FiringSchedule, "organizationId" | "id">,
  scheduledFor: Date,
): StoredOccurrence {
  return {
    id: randomUUID(),
    organizationId,
    scheduleId,
    kind: "calendar",
    scheduledFor,
    firedAt: null,
    outcome: "pending",
    intent: null,
    reason: null,
    runId: null,
    attempts: 0,
    nextAttemptAt: null,
    awaitsRunId: null,
    overlap: null,
    requestedBy: null,
    idempotencyKey: null,
  };
}

/** Rows of any number in one parameter, whatever their schedules: each carries its organization. */
const recordset = (rows: readonly StoredOccurrence[]) => sql`
  json_to_recordset(${JSON.stringify(rows)}::text::json) as occurrence (
    id uuid, "organizationId" text, "scheduleId" text, kind text, "scheduledFor" timestamptz, "firedAt" timestamptz,
    outcome text, intent text, reason text, "runId" uuid, attempts integer, "nextAttemptAt" timestamptz,
    "awaitsRunId" uuid, overlap text, "requestedBy" text, "idempotencyKey" text)`;

const columns = sql.raw(
  "id, organization_id, schedule_id, kind, scheduled_for, fired_at, outcome, intent, reason, run_id, attempts, " +
    "next_attempt_at, awaits_run_id, overlap, requested_by, idempotency_key",
);

/** Takes instants in the ledger; returns the ids of the rows whose instant was not taken before. */
export async function insertOccurrences(
  db: Db,
  rows: readonly StoredOccurrence[],
): Promise<ReadonlySet<string>> {
  const inserted = await db.execute<{ id: string }>(sql`
    insert into ${scheduleOccurrences} (${columns}) select * from ${recordset(rows)}
    on conflict (organization_id, schedule_id, scheduled_for) where kind = 'calendar' do nothing
    returning id`);
  return new Set(inserted.map(({ id }) => id));
}

/** Writes what became of rows that the caller has claimed. */
export async function updateOccurrences(db: Db, rows: readonly StoredOccurrence[]): Promise<void> {
  await db.execute(sql`
    update ${scheduleOccurrences} as kept set
      fired_at = occurrence."firedAt", outcome = occurrence.outcome, intent = occurrence.intent,
      reason = occurrence.reason, run_id = occurrence."runId", attempts = occurrence.attempts,
      next_attempt_at = occurrence."nextAttemptAt", awaits_run_id = occurrence."awaitsRunId"
    from ${recordset(rows)}
    where kept.id = occurrence.id`);
}

/**
 * Writes instants that wait for a run of a backfill. One that is in the ledger without a run gets its turn after all;
 * returns how many were taken.
 */
export async function queueOccurrences(db: Db, rows: readonly StoredOccurrence[]): Promise<number> {
  const queued = await db.execute(sql`
    insert into ${scheduleOccurrences} as kept (${columns}) select * from ${recordset(rows)}
    on conflict (organization_id, schedule_id, scheduled_for) where kind = 'calendar' do update set
      outcome = excluded.outcome, intent = excluded.intent, reason = null, attempts = 0,
      next_attempt_at = excluded.next_attempt_at, overlap = excluded.overlap,
      requested_by = excluded.requested_by
    where kept.outcome in ('missed', 'skipped_overlap', 'failed')
    returning kept.id`);
  return queued.length;
}

const isOfPending = and(
  eq(schedules.organizationId, scheduleOccurrences.organizationId),
  eq(schedules.id, scheduleOccurrences.scheduleId),
);

/**
 * Takes pending rows of any organization that are due, oldest attempt first, skipping what another process holds. Of
 * those that waited for the same run the next one of a backfill comes last.
 */
export async function claimPending(db: Db, now: Date, limit: number): Promise<ClaimedOccurrence[]> {
  return db
    .select({ occurrence: scheduleOccurrences, schedule: firingColumns })
    .from(scheduleOccurrences)
    .innerJoin(schedules, isOfPending)
    .where(sql`${scheduleOccurrences.nextAttemptAt} <= ${now.toISOString()}::timestamptz`)
    .orderBy(
      scheduleOccurrences.nextAttemptAt,
      sql`${scheduleOccurrences.intent} = 'backfilled'`,
      scheduleOccurrences.scheduledFor,
    )
    .limit(limit)
    .for("no key update", { skipLocked: true });
}

/** Takes one pending row that is due; null when it is not any more or another process holds it. */
export async function claimPendingOne(
  db: Db,
  { organizationId, id }: StoredOccurrence,
  now: Date,
): Promise<ClaimedOccurrence | null> {
  const [row] = await db
    .select({ occurrence: scheduleOccurrences, schedule: firingColumns })
    .from(scheduleOccurrences)
    .innerJoin(schedules, isOfPending)
    .where(
      and(
        eq(scheduleOccurrences.organizationId, organizationId),
        eq(scheduleOccurrences.id, id),
        sql`${scheduleOccurrences.nextAttemptAt} <= ${now.toISOString()}::timestamptz`,
      ),
    )
    .for("no key update", { skipLocked: true });
  return row ?? null;
}

const keysOf = (keys: readonly ScheduleKey[]) => sql`
  json_to_recordset(${JSON.stringify(keys)}::text::json) as wanted ("organizationId" text, "scheduleId" text)`;

/** Those of the schedules of which an instant waits for a run to end, beside the next one of a backfill. */
export async function listWaitingSchedules(db: Db, keys: readonly ScheduleKey[]): Promise<ScheduleKey[]> {
  const rows = await db.execute<{ organizationId: string; scheduleId: string }>(sql`
    select wanted."organizationId" as organization_id, wanted."scheduleId" as schedule_id from ${keysOf(keys)}
    where exists (
      select from ${scheduleOccurrences} as pending
      where pending.organization_id = wanted."organizationId" and pending.schedule_id = wanted."scheduleId"
        and pending.outcome = 'pending' and pending.awaits_run_id is not null and pending.intent <> 'backfilled')`);
  return [...rows];
}

/** Makes the oldest queued row of each schedule due when the run ends that `awaitsRunId` names, or at once. */
export async function promoteQueued(
  db: Db,
  next: readonly (ScheduleKey & { readonly awaitsRunId: string | null; readonly nextAttemptAt: Date })[],
): Promise<void> {
  await db.execute(sql`
    update ${scheduleOccurrences} as queued
    set awaits_run_id = wanted."awaitsRunId", next_attempt_at = wanted."nextAttemptAt"
    from json_to_recordset(${JSON.stringify(next)}::text::json) as wanted (
      "organizationId" text, "scheduleId" text, "awaitsRunId" uuid, "nextAttemptAt" timestamptz)
    where queued.organization_id = wanted."organizationId" and queued.schedule_id = wanted."scheduleId"
      and queued.outcome = 'pending' and queued.next_attempt_at is null
      and queued.scheduled_for = (
        select min(oldest.scheduled_for) from ${scheduleOccurrences} as oldest
        where oldest.organization_id = wanted."organizationId" and oldest.schedule_id = wanted."scheduleId"
          and oldest.outcome = 'pending' and oldest.next_attempt_at is null)`);
}

/** Makes the rows of any organization due that wait for one of these runs. */
export async function releaseAwaiting(db: Db, runIds: readonly string[], now: Date): Promise<void> {
  await db.execute(sql`
    update ${scheduleOccurrences} set awaits_run_id = null, next_attempt_at = ${now.toISOString()}::timestamptz
    where awaits_run_id in (select value::uuid from json_array_elements_text(${JSON.stringify(runIds)}::text::json))`);
}

/** The row that an idempotency key of a schedule belongs to, or null. */
export async function findByKey(
  db: Db,
  { organizationId, scheduleId }: ScheduleKey,
  idempotencyKey: string,
): Promise<Pick<StoredOccurrence, "id" | "runId"> | null> {
  const { id, runId } = scheduleOccurrences;
  const [row] = await db
    .select({ id, runId })
    .from(scheduleOccurrences)
    .where(
      and(
        eq(scheduleOccurrences.organizationId, organizationId),
        eq(scheduleOccurrences.scheduleId, scheduleId),
        eq(scheduleOccurrences.idempotencyKey, idempotencyKey),
      ),
    );
  return row ?? null;
}

/** When the next schedule or pending row of any organization is due, with the runs that rows wait for. */
export async function findOutlook(db: Db): Promise<Outlook> {
  const [row] = await db.execute<{ dueAt: string | null; awaited: string[] }>(sql`
    select
      extract(epoch from least(
        (select min(next_fire_at) from ${schedules} where next_fire_at is not null),
        (select min(next_attempt_at) from ${scheduleOccurrences} where next_attempt_at is not null)
      )) * 1000 as due_at,
      (select coalesce(json_agg(awaits_run_id), '[]') from (
        select distinct awaits_run_id from ${scheduleOccurrences} where awaits_run_id is not null limit ${MAX_AWAITED}
      ) as awaiting) as awaited`);
  return {
    dueAt: row === undefined || row.dueAt === null ? null : new Date(Number(row.dueAt)),
    awaitedRunIds: row?.awaited ?? [],
  };
}

/** Which of the instants the ledger holds already, by their positions in the list. */
export async function findTaken(
  db: Db,
  instants: readonly (ScheduleKey & { readonly scheduledFor: Date })[],
): Promise<ReadonlySet<number>> {
  const rows = await db.execute<{ position: number }>(sql`
    select (wanted.number - 1)::integer as position
    from rows from (json_to_recordset(${JSON.stringify(instants)}::text::json)
      as ("organizationId" text, "scheduleId" text, "scheduledFor" timestamptz)) with ordinality
      as wanted ("organizationId", "scheduleId", "scheduledFor", number)
    join ${scheduleOccurrences} as taken on taken.organization_id = wanted."organizationId"
      and taken.schedule_id = wanted."scheduleId" and taken.scheduled_for = wanted."scheduledFor"
      and taken.kind = 'calendar'`);
  return new Set(rows.map(({ position }) => position));
}

/** The schedule's instants, newest first. */
export async function listOccurrences(
  db: Db,
  organizationId: string,
  scheduleId: string,
  window: PageWindow,
  filter: { readonly outcome?: Outcome | undefined },
): Promise<Page<StoredOccurrence>> {
  const page = keyset(scheduleOccurrences.scheduledFor, scheduleOccurrences.id, window);
  const rows = await db
    .select()
    .from(scheduleOccurrences)
    .where(
      page.where(
        eq(scheduleOccurrences.organizationId, organizationId),
        eq(scheduleOccurrences.scheduleId, scheduleId),
        filter.outcome === undefined ? undefined : eq(scheduleOccurrences.outcome, filter.outcome),
      ),
    )
    .orderBy(...page.order)
    .limit(page.limit);
  return toPage(
    rows.map((row) => ({ ...row, createdAt: row.scheduledFor })),
    window,
    ({ createdAt: _, ...row }) => row,
  );
}
