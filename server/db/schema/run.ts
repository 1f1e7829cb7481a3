import { sql } from "drizzle-orm";
import { index, integer, pgTable, text, uniqueIndex, uuid } from "drizzle-orm/pg-core";
import type { RunState, RunTrigger } from "../../runs/run-kinds.js";
import { instant, json } from "./columns.js";

/**
 * One row per run, written in the transaction that creates the engine's run of the same id. `state`, `started_at`
 * and `finished_at` are kept by a trigger on the engine's table; output and error stay in the engine's row.
 */
export const runs = pgTable(
  "runs",
  {
    id: uuid("id").primaryKey(),
    organizationId: text("organization_id").notNull(),
    workflowId: uuid("workflow_id").notNull(),
    workflowVersion: integer("workflow_version").notNull(),
    versionId: uuid("version_id").notNull(),
    state: text("state").$type<RunState>().notNull(),
    input: json<unknown>("input").notNull(),
    trigger: json<RunTrigger>("trigger").notNull(),
    triggerKind: text("trigger_kind").$type<RunTrigger["kind"]>().notNull(),
    idempotencyKey: text("idempotency_key"),
    createdBy: text("created_by").notNull(),
    /** The user who asked for it, with a key of theirs or through a schedule or webhook too; null: nobody known. */
    requestedBy: text("requested_by"),
    /** How many runs started each other to come to this one. */
    depth: integer("depth").notNull().default(0),
    /** The wake key of the wait that this run ends. */
    parentWait: text("parent_wait"),
    /** The workflow to start when this run fails, and the run that was started then. */
    failureWorkflowId: text("failure_workflow_id"),
    failureRunId: uuid("failure_run_id"),
    createdAt: instant("created_at").notNull(),
    startedAt: instant("started_at"),
    finishedAt: instant("finished_at"),
  },
  (table) => [
    index("runs_organization_created_idx").on(table.organizationId, table.createdAt, table.id),
    index("runs_workflow_created_idx").on(table.organizationId, table.workflowId, table.createdAt, table.id),
    index("runs_state_created_idx").on(table.organizationId, table.state, table.createdAt, table.id),
    index("runs_active_scheduled_idx")
      .on(table.organizationId, table.createdBy)
      .where(sql`trigger_kind = 'schedule' and state in ('pending', 'running', 'waiting')`),
    uniqueIndex("runs_parent_wait_idx").on(table.parentWait).where(sql`parent_wait is not null`),
    index("runs_failure_due_idx")
      .on(table.finishedAt)
      .where(sql`state = 'failed' and failure_workflow_id is not null and failure_run_id is null`),
    uniqueIndex("runs_idempotency_idx")
      .on(table.organizationId, table.workflowId, table.idempotencyKey)
      .where(sql`idempotency_key is not null`),
  ],
);
