import { and, eq, inArray, sql } from "drizzle-orm";
import type { Db } from "../db/client.js";
import { keyset, type Page, type PageWindow, toPage } from "../db/page.js";
import { secrets } from "../db/schema/index.js";
import type { SealedSecret } from "./secret-box.js";

/** A secret without its value. */
export interface StoredSecret {
  readonly name: string;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

const shown = { name: secrets.name, createdAt: secrets.createdAt, updatedAt: secrets.updatedAt };

/** Creates or replaces a secret; a replaced one keeps its `createdAt`. */
export async function upsertSecret(
  db: Db,
  organizationId: string,
  secret: SealedSecret & { readonly name: string; readonly now: Date; readonly updatedBy: string },
): Promise<StoredSecret> {
  const { name, keyId, sealed, now, updatedBy } = secret;
  const [row] = await db
    .insert(secrets)
    .values({ organizationId, name, keyId, sealed, createdAt: now, updatedAt: now, updatedBy })
    .onConflictDoUpdate({
      target: [secrets.organizationId, secrets.name],
      set: { keyId, sealed, updatedAt: now, updatedBy },
    })
    .returning(shown);
  if (row === undefined) throw new Error("The upsert of a secret returned no row.");
  return row;
}

/** Newest first. */
export async function listSecrets(
  db: Db,
  organizationId: string,
  window: PageWindow,
): Promise<Page<StoredSecret>> {
  const page = keyset(secrets.createdAt, secrets.name, window);
  const rows = await db
    .select({ ...shown, id: secrets.name })
    .from(secrets)
    .where(page.where(eq(secrets.organizationId, organizationId)))
    .orderBy(...page.order)
    .limit(page.limit);
  return toPage(rows, window, ({ id: _, ...secret }) => secret);
}

/** False when there is none. */
export async function deleteSecret(db: Db, organizationId: string, name: string): Promise<boolean> {
  const rows = await db
    .delete(secrets)
    .where(and(eq(secrets.organizationId, organizationId), eq(secrets.name, name)))
    .returning({ name: secrets.name });
  return rows.length > 0;
}

/** The sealed values of those of the names that exist. */
export async function findSecrets(
  db: Db,
  organizationId: string,
  names: readonly string[],
): Promise<(SealedSecret & { readonly name: string })[]> {
  return db
    .select({ name: secrets.name, keyId: secrets.keyId, sealed: secrets.sealed })
    .from(secrets)
    .where(and(eq(secrets.organizationId, organizationId), inArray(secrets.name, [...names])));
}

/** Names a secret of any organization. */
export interface SecretKey {
  readonly organizationId: string;
  readonly name: string;
}

/** Those of the secrets that do not exist, each once. */
export async function findMissing(db: Db, keys: readonly SecretKey[]): Promise<SecretKey[]> {
  const rows = await db.execute<{ organizationId: string; name: string }>(sql`
    select distinct wanted."organizationId" as organization_id, wanted.name
    from json_to_recordset(${JSON.stringify(keys)}::text::json) as wanted ("organizationId" text, name text)
    where not exists (
      select from ${secrets} as secret
      where secret.organization_id = wanted."organizationId" and secret.name = wanted.name)`);
  return [...rows];
}

/** A sealed value of any organization. */
export type OwnedSecret = SealedSecret & SecretKey;

/**
 * Takes the next secrets of any organization that are sealed under the given keys, by organization and name, under
 * their row locks; those that another process holds are left out. Rotation serves all organizations.
 */
export async function claimSealedUnder(
  db: Db,
  keyIds: readonly string[],
  { after, limit }: { readonly after: SecretKey; readonly limit: number },
): Promise<OwnedSecret[]> {
  const { organizationId, name, keyId, sealed } = secrets;
  const isLater = sql`(${organizationId}, ${name}) > (${after.organizationId}, ${after.name})`;
  return db
    .select({ organizationId, name, keyId, sealed })
    .from(secrets)
    .where(and(inArray(keyId, [...keyIds]), isLater))
    .orderBy(organizationId, name)
    .limit(limit)
    .for("update", { skipLocked: true });
}

/** Writes a value that was sealed anew; dates stay, because the value is the same. */
export async function resealSecret(
  db: Db,
  { organizationId, name, keyId, sealed }: OwnedSecret,
): Promise<void> {
  await db
    .update(secrets)
    .set({ keyId, sealed })
    .where(and(eq(secrets.organizationId, organizationId), eq(secrets.name, name)));
}

/** How many secrets of all organizations are sealed under each key. */
export async function countByKey(db: Db): Promise<{ readonly keyId: string; readonly count: number }[]> {
  return db
    .select({ keyId: secrets.keyId, count: sql<number>`count(*)::int` })
    .from(secrets)
    .groupBy(secrets.keyId);
}
