import { sql } from "drizzle-orm";
import { index, integer, pgTable, text, uniqueIndex, uuid } from "drizzle-orm/pg-core";
import type { WorkflowDocument } from "../../workflows/document.js";
import { organization } from "./auth.js";
import { instant, json } from "./columns.js";

/** One row per workflow: its head version and what lists filter by. The documents are in `workflow_versions`. */
export const workflows = pgTable(
  "workflows",
  {
    id: uuid("id").primaryKey(),
    organizationId: text("organization_id")
      .notNull()
      .references(() => organization.id, { onDelete: "cascade" }),
    name: text("name").notNull(),
    description: text("description").notNull(),
    tags: text("tags").array().notNull(),
    version: integer("version").notNull(),
    versionId: uuid("version_id").notNull(),
    createdAt: instant("created_at").notNull(),
    updatedAt: instant("updated_at").notNull(),
    removedAt: instant("removed_at"),
  },
  (table) => [
    index("workflows_organization_created_idx")
      .on(table.organizationId, table.createdAt, table.id)
      .where(sql`removed_at is null`),
  ],
);

/** Immutable numbered snapshots; a run is pinned to one by its id. */
export const workflowVersions = pgTable(
  "workflow_versions",
  {
    id: uuid("id").primaryKey(),
    organizationId: text("organization_id").notNull(),
    workflowId: uuid("workflow_id")
      .notNull()
      .references(() => workflows.id, { onDelete: "cascade" }),
    version: integer("version").notNull(),
    document: json<WorkflowDocument>("document").notNull(),
    createdAt: instant("created_at").notNull(),
    createdBy: text("created_by").notNull(),
  },
  (table) => [uniqueIndex("workflow_versions_number_idx").on(table.workflowId, table.version)],
);
