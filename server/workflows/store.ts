import { randomUUID } from "node:crypto";
import { and, arrayContains, eq, ilike, isNull, or, sql } from "drizzle-orm";
import type { Db } from "../db/client.js";
import { keyset, type Page, type PageWindow, toPage } from "../db/page.js";
import { preparedQuery } from "../db/prepared-query.js";
import { workflows, workflowVersions } from "../db/schema/index.js";
import { isUuid } from "../db/uuid.js";
import type { WorkflowDocument } from "./document.js";
import { findDocument, isHere, isNamed } from "./version-store.js";

/** A workflow with the document of one of its versions. */
export interface StoredWorkflow {
  readonly id: string;
  readonly workflow: WorkflowDocument;
  readonly version: number;
  readonly versionId: string;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** A row of the list: everything but the document. */
export interface WorkflowSummary {
  readonly id: string;
  readonly name: string;
  readonly description: string;
  readonly tags: string[];
  readonly version: number;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** What a new version is written with. */
export interface NewVersion {
  readonly document: WorkflowDocument;
  readonly version: number;
  readonly createdBy: string;
  readonly now: Date;
}

const headColumns = {
  id: workflows.id,
  workflow: workflowVersions.document,
  version: workflows.version,
  versionId: workflows.versionId,
  createdAt: workflows.createdAt,
  updatedAt: workflows.updatedAt,
};

/** Writes a workflow and its version 1 in one statement. */
export async function insertWorkflow(
  db: Db,
  organizationId: string,
  { document, createdBy, now }: Omit<NewVersion, "version">,
): Promise<StoredWorkflow> {
  const id = randomUUID();
  const versionId = randomUUID();
  const head = db.$with("head").as(
    db
      .insert(workflows)
      .values({
        id,
        organizationId,
        ...listed(document),
        version: 1,
        versionId,
        createdAt: now,
        updatedAt: now,
      })
      .returning({ id: workflows.id }),
  );
  await db
    .with(head)
    .insert(workflowVersions)
    .values({
      id: versionId,
      organizationId,
      workflowId: id,
      version: 1,
      document,
      createdAt: now,
      createdBy,
    })
    .prepare("insert_workflow")
    .execute();
  return { id, workflow: document, version: 1, versionId, createdAt: now, updatedAt: now };
}

const selectWorkflow = preparedQuery((db) =>
  db
    .select(headColumns)
    .from(workflows)
    .innerJoin(workflowVersions, eq(workflowVersions.id, workflows.versionId))
    .where(isNamed)
    .prepare("select_workflow"),
);

/** The workflow with its newest document, or null. */
export async function findWorkflow(
  db: Db,
  organizationId: string,
  id: string,
): Promise<StoredWorkflow | null> {
  if (!isUuid(id)) return null;
  const [row] = await selectWorkflow(db).execute({ organizationId, id });
  return row ?? null;
}

/**
 * Same as `findWorkflow`, with the row locked until the transaction ends; runs may still start meanwhile. One statement,
 * unless it had to wait for the lock: then it does not see the document that was written meanwhile, and asks again.
 */
export async function lockWorkflow(
  db: Db,
  organizationId: string,
  id: string,
): Promise<StoredWorkflow | null> {
  if (!isUuid(id)) return null;
  const newest = db
    .select({ document: workflowVersions.document })
    .from(workflowVersions)
    .where(eq(workflowVersions.id, workflows.versionId));
  const [locked] = await db
    .select({
      versionId: workflows.versionId,
      version: workflows.version,
      createdAt: workflows.createdAt,
      updatedAt: workflows.updatedAt,
      workflow: sql<WorkflowDocument | null>`(${newest})`.mapWith(workflowVersions.document),
    })
    .from(workflows)
    .where(isHere(organizationId, id))
    .for("no key update")
    .prepare("lock_workflow")
    .execute();
  if (locked === undefined) return null;
  const workflow = locked.workflow ?? (await findDocument(db, organizationId, locked.versionId));
  return workflow === null ? null : { id, ...locked, workflow };
}

/** Keeps the workflow from being removed until the transaction ends; false when it is not there. */
export async function holdWorkflow(db: Db, organizationId: string, id: string): Promise<boolean> {
  if (!isUuid(id)) return false;
  const rows = await db
    .select({ id: workflows.id })
    .from(workflows)
    .where(isHere(organizationId, id))
    .for("share");
  return rows.length > 0;
}

/** Writes the next version and moves the head to it, in one statement; the caller holds the row lock. */
export async function insertVersion(
  db: Db,
  organizationId: string,
  workflowId: string,
  { document, version, createdBy, now }: NewVersion,
): Promise<void> {
  const versionId = randomUUID();
  const head = db.$with("head").as(
    db
      .update(workflows)
      .set({ ...listed(document), version, versionId, updatedAt: now })
      .where(and(eq(workflows.id, workflowId), eq(workflows.organizationId, organizationId)))
      .returning({ id: workflows.id }),
  );
  await db
    .with(head)
    .insert(workflowVersions)
    .values({ id: versionId, organizationId, workflowId, version, document, createdAt: now, createdBy })
    .prepare("insert_version")
    .execute();
}

/** Marks the workflow removed; false when there is none. Its versions stay for the runs that are pinned to them. */
export async function removeWorkflow(
  db: Db,
  organizationId: string,
  id: string,
  now: Date,
): Promise<boolean> {
  if (!isUuid(id)) return false;
  const rows = await db
    .update(workflows)
    .set({ removedAt: now })
    .where(isHere(organizationId, id))
    .returning({ id: workflows.id });
  return rows.length > 0;
}

/** Newest first; `search` looks in name and description, `tag` for one tag. */
export async function listWorkflows(
  db: Db,
  organizationId: string,
  window: PageWindow,
  filter: { readonly search?: string | undefined; readonly tag?: string | undefined },
): Promise<Page<WorkflowSummary>> {
  const page = keyset(workflows.createdAt, workflows.id, window);
  const pattern = filter.search === undefined ? undefined : `%${filter.search.replace(/[\\%_]/g, "\\$&")}%`;
  const { id, name, description, tags, version, createdAt, updatedAt } = workflows;
  const rows = await db
    .select({ id, name, description, tags, version, createdAt, updatedAt })
    .from(workflows)
    .where(
      page.where(
        eq(workflows.organizationId, organizationId),
        isNull(workflows.removedAt),
        pattern === undefined ? undefined : or(ilike(name, pattern), ilike(description, pattern)),
        filter.tag === undefined ? undefined : arrayContains(tags, [filter.tag]),
      ),
    )
    .orderBy(...page.order)
    .limit(page.limit);
  return toPage(rows, window, (row) => row);
}

/** What lists show and filter by, copied from the document. */
function listed(document: WorkflowDocument) {
  const { name, description, tags } = document.metadata;
  return { name, description, tags };
}
