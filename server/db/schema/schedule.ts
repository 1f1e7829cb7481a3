import { sql } from "drizzle-orm";
import { boolean, foreignKey, index, pgTable, primaryKey, text, uuid } from "drizzle-orm/pg-core";
import { instant, json } from "./columns.js";
import { workflows } from "./workflow.js";

/** One row per schedule; ids are the organization's own. `next_fire_at` is null when it will not fire again or is switched off. */
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
    payload: json<Record<string, unknown> | null>("payload").notNull(),
    isEnabled: boolean("is_enabled").notNull(),
    /** Why the server itself switched it off. */
    stoppedReason: text("stopped_reason"),
    startAt: instant("start_at"),
    endAt: instant("end_at"),
    nextFireAt: instant("next_fire_at"),
    createdAt: instant("created_at").notNull(),
    updatedAt: instant("updated_at").notNull(),
    createdBy: text("created_by").notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.organizationId, table.id] }),
    index("schedules_due_idx").on(table.nextFireAt).where(sql`next_fire_at is not null`),
    index("schedules_organization_created_idx").on(
      table.organizationId,
      table.createdAt.desc(),
      table.id.desc(),
    ),
    index("schedules_workflow_idx").on(table.workflowId),
  ],
);

/** The ledger: one row per (schedule, instant), written in the transaction of the run it started. */
export const scheduleOccurrences = pgTable(
  "schedule_occurrences",
  {
    organizationId: text("organization_id").notNull(),
    scheduleId: text("schedule_id").notNull(),
    scheduledFor: instant("scheduled_for").notNull(),
    firedAt: instant("fired_at").notNull(),
    outcome: text("outcome").$type<"fired" | "failed">().notNull(),
    reason: text("reason"),
    runId: uuid("run_id"),
  },
  (table) => [
    primaryKey({ columns: [table.organizationId, table.scheduleId, table.scheduledFor] }),
    foreignKey({
      columns: [table.organizationId, table.scheduleId],
      foreignColumns: [schedules.organizationId, schedules.id],
    }).onDelete("cascade"),
  ],
);
