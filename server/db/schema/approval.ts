import { sql } from "drizzle-orm";
import { boolean, index, integer, pgTable, primaryKey, text, uuid } from "drizzle-orm/pg-core";
import type { ApprovalState, Approvers, Decision, SpeakerKind } from "../../approvals/approval-rules.js";
import { organization } from "./auth.js";
import { instant, json } from "./columns.js";

/**
 * One row per attempt of a block that asks for a decision. A pending row becomes `approved` or `rejected` with the
 * decision that settles it, `expired` when its block gives up, and `canceled` by the engine when its run ends first.
 */
export const approvals = pgTable(
  "approvals",
  {
    id: uuid("id").primaryKey(),
    organizationId: text("organization_id")
      .notNull()
      .references(() => organization.id, { onDelete: "cascade" }),
    workflowId: uuid("workflow_id").notNull(),
    runId: uuid("run_id").notNull(),
    blockId: text("block_id").notNull(),
    wakeKey: text("wake_key").notNull().unique(),
    prompt: text("prompt").notNull(),
    details: json<unknown>("details").notNull(),
    /** Null: everybody who may write approvals. */
    approvers: json<Approvers | null>("approvers"),
    quorum: integer("quorum").notNull(),
    allowSelfApproval: boolean("allow_self_approval").notNull(),
    startedBy: text("started_by").notNull(),
    state: text("state").$type<ApprovalState>().notNull(),
    createdAt: instant("created_at").notNull(),
    expiresAt: instant("expires_at"),
    decidedAt: instant("decided_at"),
  },
  (table) => [
    // Ascending: read backwards they give newest first, while DESC indexes sort nulls the other way than queries do.
    index("approvals_inbox_idx").on(
      table.organizationId,
      sql`(state = 'pending')`,
      table.createdAt,
      table.id,
    ),
    index("approvals_state_idx").on(table.organizationId, table.state, table.createdAt, table.id),
    index("approvals_run_idx").on(table.organizationId, table.runId),
    index("approvals_engine_run_idx").on(sql`split_part(wake_key, ':', 1)`).where(sql`state = 'pending'`),
  ],
);

/** What was said, once with a voice. */
export const approvalDecisions = pgTable(
  "approval_decisions",
  {
    approvalId: uuid("approval_id")
      .notNull()
      .references(() => approvals.id, { onDelete: "cascade" }),
    personKind: text("person_kind").$type<SpeakerKind>().notNull(),
    /** Of the voice: a user id or an API key id, of a link those of whoever made it. */
    personId: text("person_id").notNull(),
    personName: text("person_name").notNull(),
    decision: text("decision").$type<Decision>().notNull(),
    note: text("note"),
    decidedAt: instant("decided_at").notNull(),
  },
  (table) => [primaryKey({ columns: [table.approvalId, table.personKind, table.personId] })],
);

/**
 * A link with which one person without an account decides with the voice of whoever made it, `created_by`. Of its token
 * only the SHA-256 is kept.
 */
export const approvalLinks = pgTable(
  "approval_links",
  {
    tokenHash: text("token_hash").primaryKey(),
    approvalId: uuid("approval_id")
      .notNull()
      .references(() => approvals.id, { onDelete: "cascade" }),
    name: text("name").notNull(),
    createdAt: instant("created_at").notNull(),
    createdBy: text("created_by").notNull(),
    expiresAt: instant("expires_at").notNull(),
  },
  (table) => [index("approval_links_approval_idx").on(table.approvalId)],
);
