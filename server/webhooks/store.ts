import {
  type AnyColumn,
  and,
  desc,
  eq,
  getTableColumns,
  gt,
  inArray,
  isNotNull,
  lte,
  or,
  sql,
} from "drizzle-orm";
import type { Db } from "../db/client.js";
import { keyset, type Page, type PageWindow, toPage } from "../db/page.js";
import { preparedQuery } from "../db/prepared-query.js";
import { webhookDeliveries, webhooks } from "../db/schema/index.js";
import { isUuid } from "../db/uuid.js";
import type { DeliveryVerdict } from "./verdicts.js";

export type StoredWebhook = typeof webhooks.$inferSelect;
export type StoredDelivery = typeof webhookDeliveries.$inferSelect;

/** A row of the list of webhooks: without the mapping, which may be large. */
export type ListedWebhook = Omit<StoredWebhook, "inputMapping">;
const { inputMapping: _, ...listedColumns } = getTableColumns(webhooks);

/** A row of the list of deliveries: without what was sent. */
export type DeliverySummary = Omit<StoredDelivery, "headers" | "query" | "body" | "organizationId">;

const isOne = (organizationId: string, id: string) =>
  and(eq(webhooks.organizationId, organizationId), eq(webhooks.id, id));

/** Writes a new webhook. */
export async function insertWebhook(db: Db, organizationId: string, webhook: StoredWebhook): Promise<void> {
  await db.insert(webhooks).values({ ...webhook, organizationId });
}

/** The webhook, or null. */
export async function findWebhook(db: Db, organizationId: string, id: string): Promise<StoredWebhook | null> {
  const [row] = await db.select().from(webhooks).where(isOne(organizationId, id));
  return row ?? null;
}

/** The webhook under its row lock, or null. */
export async function lockWebhook(db: Db, organizationId: string, id: string): Promise<StoredWebhook | null> {
  const [row] = await db.select().from(webhooks).where(isOne(organizationId, id)).for("no key update");
  return row ?? null;
}

const selectEnabled = preparedQuery((db) =>
  db
    .select()
    .from(webhooks)
    .where(and(eq(webhooks.id, sql.placeholder("id")), eq(webhooks.isEnabled, true)))
    .prepare("select_enabled_webhook"),
);

/**
 * The webhook of any organization that a public address names, or null when it is switched off. Senders know nothing
 * but the id, which is unguessable; what is done with the row is scoped by the row's own organization.
 */
export async function findEnabledWebhook(db: Db, id: string): Promise<StoredWebhook | null> {
  const [row] = await selectEnabled(db).execute({ id });
  return row ?? null;
}

/** Newest first. */
export async function listWebhooks(
  db: Db,
  organizationId: string,
  window: PageWindow,
  filter: { readonly workflowId?: string | undefined },
): Promise<Page<ListedWebhook>> {
  const page = keyset(webhooks.createdAt, webhooks.id, window);
  const rows = await db
    .select(listedColumns)
    .from(webhooks)
    .where(
      page.where(
        eq(webhooks.organizationId, organizationId),
        filter.workflowId === undefined ? undefined : eq(webhooks.workflowId, filter.workflowId),
      ),
    )
    .orderBy(...page.order)
    .limit(page.limit);
  return toPage(rows, window, (row) => row);
}

/** Writes what has changed of a webhook. */
export async function updateWebhook(
  db: Db,
  organizationId: string,
  id: string,
  change: Partial<StoredWebhook>,
): Promise<void> {
  await db.update(webhooks).set(change).where(isOne(organizationId, id));
}

/**
 * Takes the next webhooks of any organization, by id, that have a secret under one of the keys, under their row locks;
 * those that another process holds are left out. Rotation serves all organizations.
 */
export async function claimSealedUnder(
  db: Db,
  keyIds: readonly string[],
  { after, limit }: { readonly after: string; readonly limit: number },
): Promise<StoredWebhook[]> {
  const keys = [...keyIds];
  return db
    .select()
    .from(webhooks)
    .where(
      and(
        gt(webhooks.id, after),
        or(inArray(keyIdOf(webhooks.secret), keys), inArray(keyIdOf(webhooks.previousSecret), keys)),
      ),
    )
    .orderBy(webhooks.id)
    .limit(limit)
    .for("no key update", { skipLocked: true });
}

/** How many webhooks of all organizations have their secret under each key. */
export async function countByKey(db: Db): Promise<{ readonly keyId: string; readonly count: number }[]> {
  return db
    .select({ keyId: keyIdOf(webhooks.secret), count: sql<number>`count(*)::int` })
    .from(webhooks)
    .where(isNotNull(webhooks.secret))
    .groupBy(keyIdOf(webhooks.secret));
}

const keyIdOf = (sealed: AnyColumn) => sql<string>`${sealed}->>'keyId'`;

/** Deletes the webhook and its deliveries; false when there is none. */
export async function deleteWebhook(db: Db, organizationId: string, id: string): Promise<boolean> {
  const rows = await db.delete(webhooks).where(isOne(organizationId, id)).returning({ id: webhooks.id });
  return rows.length > 0;
}

/** Switches the webhooks of a workflow off and says why; locks them by id, as everybody does who locks several. */
export async function stopWebhooks(
  db: Db,
  organizationId: string,
  { workflowId, reason, now }: { readonly workflowId: string; readonly reason: string; readonly now: Date },
): Promise<void> {
  const { id, version } = webhooks;
  const rows = await db
    .select({ id })
    .from(webhooks)
    .where(
      and(
        eq(webhooks.organizationId, organizationId),
        eq(webhooks.workflowId, workflowId),
        eq(webhooks.isEnabled, true),
      ),
    )
    .orderBy(id)
    .for("no key update");
  if (rows.length === 0) return;
  const ids = rows.map((row) => row.id);
  await db
    .update(webhooks)
    .set({ isEnabled: false, stoppedReason: reason, updatedAt: now, version: sql`${version} + 1` })
    .where(and(eq(webhooks.organizationId, organizationId), inArray(id, ids)));
}

const isOfWebhook = (organizationId: string, webhookId: string) =>
  and(eq(webhookDeliveries.organizationId, organizationId), eq(webhookDeliveries.webhookId, webhookId));

/**
 * Writes a delivery; false when it should hold its key and another one does, null when the webhook is there no more.
 * Waits for one that is taking the key now.
 */
export async function insertDelivery(
  db: Db,
  organizationId: string,
  delivery: Omit<StoredDelivery, "organizationId">,
): Promise<boolean | null> {
  try {
    const rows = await db
      .insert(webhookDeliveries)
      .values({ ...delivery, organizationId })
      .onConflictDoNothing()
      .returning({ id: webhookDeliveries.id });
    return rows.length > 0;
  } catch (error) {
    if (isAbsenceOfParent(error)) return null;
    throw error;
  }
}

/** Whether the row that a foreign key names is not there. */
function isAbsenceOfParent(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  return ("code" in error && error.code === "23503") || isAbsenceOfParent(error.cause);
}

/** The delivery that holds a key, or null. */
export async function findKeyHolder(
  db: Db,
  organizationId: string,
  webhookId: string,
  deliveryKey: string,
): Promise<{ readonly id: string; readonly runId: string | null } | null> {
  const [row] = await db
    .select({ id: webhookDeliveries.id, runId: webhookDeliveries.runId })
    .from(webhookDeliveries)
    .where(
      and(
        isOfWebhook(organizationId, webhookId),
        eq(webhookDeliveries.deliveryKey, deliveryKey),
        eq(webhookDeliveries.holdsKey, true),
      ),
    );
  return row ?? null;
}

/**
 * Deletes all but the newest deliveries of a verdict: `keep` of them at most, and no more than have `keepBytes` of body
 * together. What another process is deleting is left to it.
 */
export async function trimDeliveries(
  db: Db,
  organizationId: string,
  webhookId: string,
  {
    verdict,
    keep,
    keepBytes,
  }: { readonly verdict: DeliveryVerdict; readonly keep: number; readonly keepBytes: number },
): Promise<void> {
  const { createdAt, id, body } = webhookDeliveries;
  const ofVerdict = and(isOfWebhook(organizationId, webhookId), eq(webhookDeliveries.verdict, verdict));
  const newestFirst = sql`(order by ${createdAt} desc, ${id} desc)`;
  const counted = db
    .select({
      createdAt,
      id,
      count: sql<number>`row_number() over ${newestFirst}`.as("count"),
      bytes: sql<number>`sum(octet_length(${body})) over ${newestFirst}`.as("bytes"),
    })
    .from(webhookDeliveries)
    .where(ofVerdict)
    .as("counted");
  const newestTooMany = db
    .select({ createdAt: counted.createdAt, id: counted.id })
    .from(counted)
    .where(or(gt(counted.count, keep), gt(counted.bytes, keepBytes)))
    .orderBy(desc(counted.createdAt), desc(counted.id))
    .limit(1);
  const tooMany = db
    .select({ id })
    .from(webhookDeliveries)
    .where(and(ofVerdict, lte(sql`(${createdAt}, ${id})`, newestTooMany)))
    .for("update", { skipLocked: true });
  await db.delete(webhookDeliveries).where(and(ofVerdict, inArray(id, tooMany)));
}

const {
  headers: _headers,
  query: _query,
  body: _body,
  organizationId: _organizationId,
  ...summaryColumns
} = getTableColumns(webhookDeliveries);

/** Newest first. */
export async function listDeliveries(
  db: Db,
  organizationId: string,
  webhookId: string,
  window: PageWindow,
  filter: { readonly verdict?: DeliveryVerdict | undefined },
): Promise<Page<DeliverySummary>> {
  const page = keyset(webhookDeliveries.createdAt, webhookDeliveries.id, window);
  const rows = await db
    .select(summaryColumns)
    .from(webhookDeliveries)
    .where(
      page.where(
        isOfWebhook(organizationId, webhookId),
        filter.verdict === undefined ? undefined : eq(webhookDeliveries.verdict, filter.verdict),
      ),
    )
    .orderBy(...page.order)
    .limit(page.limit);
  return toPage(rows, window, (row) => row);
}

/** The delivery with what was sent, or null. */
export async function findDelivery(
  db: Db,
  organizationId: string,
  webhookId: string,
  id: string,
): Promise<StoredDelivery | null> {
  if (!isUuid(id)) return null;
  const [row] = await db
    .select()
    .from(webhookDeliveries)
    .where(and(isOfWebhook(organizationId, webhookId), eq(webhookDeliveries.id, id)));
  return row ?? null;
}
