import type { Sql } from "../db/client.js";
import { readApiKey } from "./credential.js";

/** A key that is enabled and not expired; its foreign key guarantees that the organization exists. */
export interface LiveApiKey {
  readonly id: string;
  readonly name: string | null;
  readonly start: string | null;
  readonly organizationId: string;
  /** JSON of `{resource: actions[]}`; null means everything. */
  readonly permissions: string | null;
  readonly expiresAt: Date | null;
  /** The user who made it; null where that was not kept. */
  readonly createdBy: string | null;
  readonly createdAt: Date;
}

/** Finds a usable key by the hash of its secret with one indexed read. */
export async function findLiveApiKey(sql: Sql, hash: string): Promise<LiveApiKey | null> {
  const [row] = await sql<LiveApiKey[]>`
    select id, name, start, reference_id as organization_id, permissions, expires_at, created_by, created_at
    from apikey
    where key = ${hash} and enabled and (expires_at is null or expires_at > now())`;
  return row ?? null;
}

/** Finds a usable key by its secret. */
export async function verifyApiKey(sql: Sql, secret: string): Promise<LiveApiKey | null> {
  const credential = readApiKey(secret);
  return credential === null ? null : findLiveApiKey(sql, credential.hash);
}
