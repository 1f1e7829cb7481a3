import { and, asc, desc, eq, gt, inArray, isNull, lte, or, type SQL, sql } from "drizzle-orm";
import type { Db } from "../db/client.js";
import { type Page, type PageWindow, toPage } from "../db/page.js";
import { jsonNull } from "../db/schema/columns.js";
import { apikey, approvalDecisions, approvalLinks, approvals, member, user } from "../db/schema/index.js";
import { isUuid } from "../db/uuid.js";
import type { ApprovalState, Person, RecordedDecision } from "./approval-rules.js";

export type StoredApproval = typeof approvals.$inferSelect;
export type StoredLink = typeof approvalLinks.$inferSelect;
export type NewApproval = Omit<StoredApproval, "organizationId" | "state" | "decidedAt">;

export interface ApprovalFilter {
  readonly state?: ApprovalState | undefined;
  readonly runId?: string | undefined;
}

const isOne = (organizationId: string, id: string) =>
  and(eq(approvals.organizationId, organizationId), eq(approvals.id, id));

/** Writes a pending approval; false when its wake key has one already. */
export async function insertApproval(
  db: Db,
  organizationId: string,
  approval: NewApproval,
): Promise<boolean> {
  const rows = await db
    .insert(approvals)
    .values({ ...approval, details: approval.details ?? jsonNull, organizationId, state: "pending" })
    .onConflictDoNothing()
    .returning({ id: approvals.id });
  return rows.length > 0;
}

/** The approval, or null. */
export async function findApproval(
  db: Db,
  organizationId: string,
  id: string,
): Promise<StoredApproval | null> {
  if (!isUuid(id)) return null;
  const [row] = await db.select().from(approvals).where(isOne(organizationId, id));
  return row ?? null;
}

/** The approval under its row's lock, or null. */
export async function lockApproval(
  db: Db,
  organizationId: string,
  id: string,
): Promise<StoredApproval | null> {
  if (!isUuid(id)) return null;
  const [row] = await db.select().from(approvals).where(isOne(organizationId, id)).for("update");
  return row ?? null;
}

/** The approval of a wait under its row's lock, or null. */
export async function lockApprovalOfWait(
  db: Db,
  organizationId: string,
  wakeKey: string,
): Promise<StoredApproval | null> {
  const [row] = await db
    .select()
    .from(approvals)
    .where(and(eq(approvals.organizationId, organizationId), eq(approvals.wakeKey, wakeKey)))
    .for("update");
  return row ?? null;
}

/** Ends a pending approval. */
export async function settleApproval(
  db: Db,
  organizationId: string,
  id: string,
  settled: { readonly state: ApprovalState; readonly decidedAt: Date },
): Promise<void> {
  await db.update(approvals).set(settled).where(isOne(organizationId, id));
}

/** Keeps a decision of an approval that the caller has locked. */
export async function insertDecision(
  db: Db,
  approvalId: string,
  { by, ...decision }: RecordedDecision,
): Promise<void> {
  const person = { personKind: by.kind, personId: by.id, personName: by.name };
  await db.insert(approvalDecisions).values({ ...decision, ...person, approvalId });
}

/** The decisions of approvals the caller has read, oldest first, by approval. */
export async function listDecisions(
  db: Db,
  approvalIds: readonly string[],
): Promise<ReadonlyMap<string, RecordedDecision[]>> {
  if (approvalIds.length === 0) return new Map();
  const rows = await db
    .select()
    .from(approvalDecisions)
    .where(inArray(approvalDecisions.approvalId, [...approvalIds]))
    .orderBy(asc(approvalDecisions.decidedAt), asc(approvalDecisions.personId));
  const byApproval = new Map<string, RecordedDecision[]>();
  for (const { approvalId, personKind, personId, personName, ...decision } of rows) {
    const by = { kind: personKind, id: personId, name: personName };
    byApproval.set(approvalId, [...(byApproval.get(approvalId) ?? []), { by, ...decision }]);
  }
  return byApproval;
}

/** The ids that cursors of the list carry: `p_` or `d_` (pending or done) and the approval's id. */
export function isListId(text: string): boolean {
  return /^[pd]_/.test(text) && isUuid(text.slice(2));
}

const isPending = sql<boolean>`(${approvals.state} = 'pending')`;

/** Newest first; without a state, pending ones before all others. */
export async function listApprovals(
  db: Db,
  organizationId: string,
  window: PageWindow,
  filter: ApprovalFilter & { readonly now: Date },
): Promise<Page<StoredApproval>> {
  const { isBackward, limit } = window;
  const ranks = filter.state === undefined ? [isPending] : [];
  const order = isBackward ? asc : desc;
  const rows = await db
    .select()
    .from(approvals)
    .where(
      and(
        eq(approvals.organizationId, organizationId),
        filter.state === undefined ? undefined : hasState(filter.state, filter.now),
        filter.runId === undefined ? undefined : eq(approvals.runId, filter.runId),
        isBeyond(window, ranks),
      ),
    )
    .orderBy(...[...ranks, approvals.createdAt, approvals.id].map((key) => order(key)))
    .limit(limit + 1);
  const positions = rows.map((row) => ({
    row,
    createdAt: row.createdAt,
    id: `${row.state === "pending" ? "p" : "d"}_${row.id}`,
  }));
  return toPage(positions, window, ({ row }) => row);
}

function isBeyond({ position, isBackward }: PageWindow, ranks: readonly SQL[]): SQL | undefined {
  if (position === null) return undefined;
  const [rank, id] = [String(position.id).startsWith("p_"), String(position.id).slice(2)];
  const keys = [...ranks, approvals.createdAt, approvals.id];
  const values = [
    ...ranks.map(() => sql`${rank}::boolean`),
    sql`${position.createdAt.toISOString()}::timestamptz`,
    sql`${id}::uuid`,
  ];
  const comparison = isBackward ? sql`>` : sql`<`;
  return sql`(${sql.join(keys, sql`, `)}) ${comparison} (${sql.join(values, sql`, `)})`;
}

/** As `stateAt` says it: a pending one whose time has passed is expired. */
function hasState(state: ApprovalState, now: Date): SQL | undefined {
  const isStored = eq(approvals.state, state);
  if (state === "pending")
    return and(isStored, or(isNull(approvals.expiresAt), gt(approvals.expiresAt, now)));
  if (state !== "expired") return isStored;
  return or(isStored, and(eq(approvals.state, "pending"), lte(approvals.expiresAt, now)));
}

/** The member or the working API key of this id, as the organization knows it now; null when it is let in no more. */
export async function findPerson(db: Db, organizationId: string, id: string): Promise<Person | null> {
  const [row] = await db.execute<Omit<Person, "id" | "roles"> & { role: string | null }>(sql`
    select 'user' as kind, ${user.name} as name, lower(${user.email}) as email, ${member.role} as role
    from ${member} join ${user} on ${user.id} = ${member.userId}
    where ${member.organizationId} = ${organizationId} and ${member.userId} = ${id}
    union all
    select 'api_key', coalesce(${apikey.name}, ${apikey.id}), null, null from ${apikey}
    where ${apikey.referenceId} = ${organizationId} and ${apikey.id} = ${id} and ${apikey.enabled}
      and (${apikey.expiresAt} is null or ${apikey.expiresAt} > now())`);
  if (row === undefined) return null;
  const { role, ...person } = row;
  return { ...person, id, roles: role === null ? [] : role.split(",").map((each) => each.trim()) };
}

/** Writes a link. */
export async function insertLink(db: Db, link: StoredLink): Promise<void> {
  await db.insert(approvalLinks).values(link);
}

/** The link of a token with its approval, or null; the token is all that its holder has. */
export async function findLink(
  db: Db,
  tokenHash: string,
): Promise<{ readonly link: StoredLink; readonly approval: StoredApproval } | null> {
  const [row] = await db
    .select({ link: approvalLinks, approval: approvals })
    .from(approvalLinks)
    .innerJoin(approvals, eq(approvals.id, approvalLinks.approvalId))
    .where(eq(approvalLinks.tokenHash, tokenHash));
  return row ?? null;
}
