import { index, pgTable, primaryKey, text } from "drizzle-orm/pg-core";
import { organization } from "./auth.js";
import { instant } from "./columns.js";

/**
 * One row per secret; the value is sealed with AES-256-GCM for its organization and name under the key `key_id`:
 * nonce, ciphertext and tag in Base64.
 */
export const secrets = pgTable(
  "secrets",
  {
    organizationId: text("organization_id")
      .notNull()
      .references(() => organization.id, { onDelete: "cascade" }),
    name: text("name").notNull(),
    keyId: text("key_id").notNull(),
    sealed: text("sealed").notNull(),
    createdAt: instant("created_at").notNull(),
    updatedAt: instant("updated_at").notNull(),
    updatedBy: text("updated_by").notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.organizationId, table.name] }),
    index("secrets_organization_created_idx").on(table.organizationId, table.createdAt, table.name),
  ],
);
