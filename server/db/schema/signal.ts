import { sql } from "drizzle-orm";
import { bigint, index, pgTable, text, uniqueIndex, uuid } from "drizzle-orm/pg-core";
import { organization } from "./auth.js";
import { instant, json } from "./columns.js";

/**
 * One row per signal that was sent. `delivered_to` are the runs that waited for it then; without any it is buffered
 * until a wait consumes it or it expires. Consumed signals are kept, because waits read their payload.
 */
export const signals = pgTable(
  "signals",
  {
    id: uuid("id").primaryKey(),
    /** Order of arrival within a name and correlation key. */
    position: bigint("position", { mode: "number" }).generatedAlwaysAsIdentity(),
    organizationId: text("organization_id")
      .notNull()
      .references(() => organization.id, { onDelete: "cascade" }),
    name: text("name").notNull(),
    /** Empty for none, so that it compares like any other. */
    correlationKey: text("correlation_key").notNull(),
    payload: json<unknown>("payload").notNull(),
    deliveredTo: uuid("delivered_to").array().notNull(),
    idempotencyKey: text("idempotency_key"),
    createdAt: instant("created_at").notNull(),
    createdBy: text("created_by").notNull(),
    expiresAt: instant("expires_at").notNull(),
    consumedAt: instant("consumed_at"),
  },
  (table) => [
    uniqueIndex("signals_idempotency_idx")
      .on(table.organizationId, table.idempotencyKey)
      .where(sql`idempotency_key is not null`),
    index("signals_buffered_idx")
      .on(table.organizationId, table.name, table.correlationKey, table.position)
      .where(sql`consumed_at is null`),
    index("signals_expiry_idx").on(table.organizationId, table.expiresAt).where(sql`consumed_at is null`),
  ],
);

/**
 * One row per attempt of a block that waits for a signal. It is open until it has a signal or is closed: by its block
 * when the time is up, or by the engine when its run ends.
 */
export const signalWaits = pgTable(
  "signal_waits",
  {
    wakeKey: text("wake_key").primaryKey(),
    organizationId: text("organization_id")
      .notNull()
      .references(() => organization.id, { onDelete: "cascade" }),
    runId: uuid("run_id").notNull(),
    blockId: text("block_id").notNull(),
    name: text("name").notNull(),
    correlationKey: text("correlation_key").notNull(),
    createdAt: instant("created_at").notNull(),
    expiresAt: instant("expires_at"),
    signalId: uuid("signal_id"),
    closedAt: instant("closed_at"),
  },
  (table) => [
    index("signal_waits_open_idx")
      .on(table.organizationId, table.name, table.correlationKey)
      .where(sql`signal_id is null and closed_at is null`),
    index("signal_waits_engine_run_idx").on(sql`split_part(wake_key, ':', 1)`).where(sql`closed_at is null`),
  ],
);
