import { sql } from "drizzle-orm";
import {
  boolean,
  foreignKey,
  index,
  integer,
  pgTable,
  primaryKey,
  text,
  uniqueIndex,
  uuid,
} from "drizzle-orm/pg-core";
import type { ClockChange } from "../../schedules/cron.js";
import type {
  Catchup,
  OccurrenceKind,
  Outcome,
  OverlapPolicy,
  RunOutcome,
} from "../../schedules/policies.js";
import { instant, json } from "./columns.js";
import { workflows } from "./workflow.js";

/**
 * One row per schedule; ids are the organization's own. `next_scheduled_for` is the first instant that was not decided
 * yet and `next_fire_at` when it is due; both are null when it will not fire again or is switched off.
 */
export const schedules = pgTable(
  "schedules",
  {
    id: text("id").notNull(),
    organizationId: text("organization_id").notNull(),
    workflowId: uuid("workflow_id")
      .notNull()
      .references(() => workflows.id, { onDelete: "cascade" }),
    cron: text("cron").notNull(),
    timezone: text("timezone").notNull(),
    gap: text("gap").$type<ClockChange["gap"]>().notNull().default("next"),
    fold: text("fold").$type<ClockChange["fold"]>().notNull().default("first"),
    payload: json<Record<string, unknown> | null>("payload").notNull(),
    isEnabled: boolean("is_enabled").notNull(),
    /** Why the server itself switched it off. */
    stoppedReason: text("stopped_reason"),
    /** The caller's own words. */
    note: text("note"),
    startAt: instant("start_at"),
    endAt: instant("end_at"),
    overlap: text("overlap").$type<OverlapPolicy>().notNull().default("allow"),
    catchupMode: text("catchup_mode").$type<Catchup["mode"]>().notNull().default("latest"),
    catchupWindowSeconds: integer("catchup_window_seconds"),
    catchupMax: integer("catchup_max").notNull().default(100),
    maxRuns: integer("max_runs"),
    /** Runs that its calendar has started. */
    runCount: integer("run_count").notNull().default(0),
    jitterSeconds: integer("jitter_seconds").notNull().default(0),
    nextScheduledFor: instant("next_scheduled_for"),
    nextFireAt: instant("next_fire_at"),
    version: integer("version").notNull().default(1),
    createdAt: instant("created_at").notNull(),
    updatedAt: instant("updated_at").notNull(),
    createdBy: text("created_by").notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.organizationId, table.id] }),
    index("schedules_due_idx").on(table.nextFireAt).where(sql`next_fire_at is not null`),
    index("schedules_organization_created_idx").on(table.organizationId, table.createdAt, table.id),
    index("schedules_workflow_idx").on(table.workflowId),
  ],
);

/**
 * The ledger: one row per (schedule, instant) of the calendar, written in the transaction of the run it started, and
 * one per run that was started by hand. A `pending` row is due for its run at `next_attempt_at`.
 */
export const scheduleOccurrences = pgTable(
  "schedule_occurrences",
  {
    id: uuid("id").primaryKey().default(sql`gen_random_uuid()`),
    organizationId: text("organization_id").notNull(),
    scheduleId: text("schedule_id").notNull(),
    kind: text("kind").$type<OccurrenceKind>().notNull().default("calendar"),
    scheduledFor: instant("scheduled_for").notNull(),
    firedAt: instant("fired_at"),
    outcome: text("outcome").$type<Outcome>().notNull(),
    /** What a pending row becomes with its run. */
    intent: text("intent").$type<RunOutcome>(),
    reason: text("reason"),
    runId: uuid("run_id"),
    attempts: integer("attempts").notNull().default(0),
    nextAttemptAt: instant("next_attempt_at"),
    /** The run whose end a pending row waits for. */
    awaitsRunId: uuid("awaits_run_id"),
    /** Overlap policy of the row, when it is not the schedule's. */
    overlap: text("overlap").$type<OverlapPolicy>(),
    /** The user who asked for a run beside the calendar or for a backfill. */
    requestedBy: text("requested_by"),
    /** Of the request that started a run beside the calendar. */
    idempotencyKey: text("idempotency_key"),
  },
  (table) => [
    index("schedule_occurrences_scheduled_idx").on(
      table.organizationId,
      table.scheduleId,
      table.scheduledFor,
      table.id,
    ),
    uniqueIndex("schedule_occurrences_instant_idx")
      .on(table.organizationId, table.scheduleId, table.scheduledFor)
      .where(sql`kind = 'calendar'`),
    uniqueIndex("schedule_occurrences_idempotency_idx")
      .on(table.organizationId, table.scheduleId, table.idempotencyKey)
      .where(sql`idempotency_key is not null`),
    index("schedule_occurrences_due_idx").on(table.nextAttemptAt).where(sql`next_attempt_at is not null`),
    index("schedule_occurrences_awaiting_idx").on(table.awaitsRunId).where(sql`awaits_run_id is not null`),
    index("schedule_occurrences_pending_idx")
      .on(table.organizationId, table.scheduleId, table.scheduledFor)
      .where(sql`outcome = 'pending'`),
    foreignKey({
      columns: [table.organizationId, table.scheduleId],
      foreignColumns: [schedules.organizationId, schedules.id],
    }).onDelete("cascade"),
  ],
);
