import { sql } from "drizzle-orm";
import { boolean, customType, index, integer, pgTable, text, uniqueIndex, uuid } from "drizzle-orm/pg-core";
import type { SealedSecret } from "../../secrets/secret-box.js";
import type { DeliveryVerdict } from "../../webhooks/verdicts.js";
import type { Verification } from "../../webhooks/verification.js";
import { organization } from "./auth.js";
import { instant, json } from "./columns.js";
import { workflows } from "./workflow.js";

const bytes = customType<{ data: Buffer; driverData: Uint8Array }>({ dataType: () => "bytea" });

/** One row per webhook; ids are from a CSPRNG and unique everywhere, because the public address holds nothing else. */
export const webhooks = pgTable(
  "webhooks",
  {
    id: text("id").primaryKey(),
    organizationId: text("organization_id")
      .notNull()
      .references(() => organization.id, { onDelete: "cascade" }),
    workflowId: uuid("workflow_id")
      .notNull()
      .references(() => workflows.id, { onDelete: "cascade" }),
    /** Null: the newest. */
    workflowVersion: integer("workflow_version"),
    name: text("name").notNull(),
    verification: json<Verification>("verification").notNull(),
    /** Null where the verification is none. */
    secret: json<SealedSecret>("secret"),
    /** Works beside `secret` until `previous_secret_ends_at`. */
    previousSecret: json<SealedSecret>("previous_secret"),
    previousSecretEndsAt: instant("previous_secret_ends_at"),
    isEnabled: boolean("is_enabled").notNull(),
    /** Why the server itself switched it off. */
    stoppedReason: text("stopped_reason"),
    /** Null: the body. */
    inputMapping: json<unknown>("input_mapping"),
    filter: text("filter"),
    deliveryKey: text("delivery_key"),
    allowsWait: boolean("allows_wait").notNull(),
    rateLimitPerMinute: integer("rate_limit_per_minute").notNull(),
    version: integer("version").notNull(),
    createdAt: instant("created_at").notNull(),
    updatedAt: instant("updated_at").notNull(),
    createdBy: text("created_by").notNull(),
  },
  (table) => [
    index("webhooks_organization_created_idx").on(table.organizationId, table.createdAt, table.id),
    index("webhooks_workflow_idx").on(table.workflowId),
  ],
);

/**
 * What was sent to a webhook. An accepted delivery is written in the transaction of its run; the one that holds its
 * key is the only one of this key that started a run by itself.
 */
export const webhookDeliveries = pgTable(
  "webhook_deliveries",
  {
    id: uuid("id").primaryKey(),
    organizationId: text("organization_id").notNull(),
    webhookId: text("webhook_id")
      .notNull()
      .references(() => webhooks.id, { onDelete: "cascade" }),
    verdict: text("verdict").$type<DeliveryVerdict>().notNull(),
    reason: text("reason"),
    /** The sender's own id. */
    deliveryKey: text("delivery_key"),
    holdsKey: boolean("holds_key").notNull(),
    /** The delivery that this one repeats: the first of its key, or the one that was delivered again. */
    repeats: uuid("repeats"),
    runId: uuid("run_id"),
    contentType: text("content_type"),
    /** Without credentials and signatures. */
    headers: json<Record<string, string>>("headers").notNull(),
    query: json<Record<string, string | string[]>>("query").notNull(),
    /** As it was sent where the delivery may be delivered again, else its beginning in UTF-8 without credentials. */
    body: bytes("body").notNull(),
    bodyBytes: integer("body_bytes").notNull(),
    remoteAddress: text("remote_address"),
    createdAt: instant("created_at").notNull(),
  },
  (table) => [
    index("webhook_deliveries_created_idx").on(table.webhookId, table.createdAt, table.id),
    index("webhook_deliveries_verdict_idx").on(table.webhookId, table.verdict, table.createdAt, table.id),
    uniqueIndex("webhook_deliveries_key_idx").on(table.webhookId, table.deliveryKey).where(sql`holds_key`),
  ],
);
