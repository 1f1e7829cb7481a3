import { and, eq, isNull, type Placeholder, sql } from "drizzle-orm";
import type { Db } from "../db/client.js";
import { keyset, type Page, type PageWindow, toPage } from "../db/page.js";
import { preparedQuery } from "../db/prepared-query.js";
import { workflows, workflowVersions } from "../db/schema/index.js";
import { isUuid } from "../db/uuid.js";
import type { WorkflowDocument } from "./document.js";

/** A row of the list of versions. */
export interface VersionSummary {
  readonly version: number;
  readonly createdAt: Date;
  readonly createdBy: string;
}

/** A condition that the workflow is there: of the organization and not removed. */
export const isHere = (organizationId: string | Placeholder, id: string | Placeholder) =>
  and(eq(workflows.id, id), eq(workflows.organizationId, organizationId), isNull(workflows.removedAt));

/** The same for statements that are prepared with `organizationId` and `id`. */
export const isNamed = isHere(sql.placeholder("organizationId"), sql.placeholder("id"));

const selectVersion = preparedQuery((db) =>
  db
    .select({ versionId: workflowVersions.id, version: workflowVersions.version })
    .from(workflows)
    .innerJoin(
      workflowVersions,
      and(
        eq(workflowVersions.workflowId, workflows.id),
        eq(
          workflowVersions.version,
          sql`coalesce(${sql.placeholder("version")}::integer, ${workflows.version})`,
        ),
      ),
    )
    .where(isNamed)
    .prepare("select_version"),
);

/** Which version a run takes: the newest, or the numbered one; null when there is none. */
export async function findVersion(
  db: Db,
  organizationId: string,
  id: string,
  version: number | null,
): Promise<{ readonly versionId: string; readonly version: number } | null> {
  if (!isUuid(id)) return null;
  const [row] = await selectVersion(db).execute({ organizationId, id, version });
  return row ?? null;
}

/** Names a workflow of any organization. */
export interface WorkflowKey {
  readonly organizationId: string;
  readonly workflowId: string;
}

/** Names a version of any organization by its own id. */
export interface VersionKey {
  readonly organizationId: string;
  readonly versionId: string;
}

/** The newest versions of those of the workflows that are there. */
export async function findNewest(
  db: Db,
  keys: readonly WorkflowKey[],
): Promise<(WorkflowKey & VersionKey & { readonly version: number })[]> {
  const { id, organizationId, version, versionId } = workflows;
  return db
    .select({ workflowId: id, organizationId, version, versionId })
    .from(workflows)
    .innerJoin(
      sql`json_to_recordset(${JSON.stringify(keys)}::text::json) as wanted ("organizationId" text, "workflowId" uuid)`,
      sql`${organizationId} = wanted."organizationId" and ${id} = wanted."workflowId"`,
    )
    .where(isNull(workflows.removedAt));
}

/** The documents of versions by the version's own id, also of removed workflows. */
export async function findDocuments(
  db: Db,
  keys: readonly VersionKey[],
): Promise<ReadonlyMap<string, WorkflowDocument>> {
  const { id, organizationId, document } = workflowVersions;
  const rows = await db
    .select({ id, document })
    .from(workflowVersions)
    .innerJoin(
      sql`json_to_recordset(${JSON.stringify(keys)}::text::json) as wanted ("organizationId" text, "versionId" uuid)`,
      sql`${organizationId} = wanted."organizationId" and ${id} = wanted."versionId"`,
    );
  return new Map(rows.map((row) => [row.id, row.document]));
}

/** The document of a version by the version's own id, also of a removed workflow, or null. */
export async function findDocument(
  db: Db,
  organizationId: string,
  versionId: string,
): Promise<WorkflowDocument | null> {
  const [row] = await db
    .select({ document: workflowVersions.document })
    .from(workflowVersions)
    .where(and(eq(workflowVersions.id, versionId), eq(workflowVersions.organizationId, organizationId)));
  return row?.document ?? null;
}

/** Versions of a workflow, newest first. */
export async function listVersions(
  db: Db,
  organizationId: string,
  workflowId: string,
  window: PageWindow,
): Promise<Page<VersionSummary>> {
  const page = keyset(workflowVersions.createdAt, workflowVersions.version, window);
  const { version, createdAt, createdBy } = workflowVersions;
  const rows = await db
    .select({ id: version, version, createdAt, createdBy })
    .from(workflowVersions)
    .where(
      page.where(
        eq(workflowVersions.workflowId, workflowId),
        eq(workflowVersions.organizationId, organizationId),
      ),
    )
    .orderBy(...page.order)
    .limit(page.limit);
  return toPage(rows, window, ({ id: _, ...row }) => row);
}

/** One numbered snapshot of a workflow that is still there, or null. */
export async function findSnapshot(
  db: Db,
  organizationId: string,
  id: string,
  version: number,
): Promise<(VersionSummary & { readonly workflow: WorkflowDocument }) | null> {
  if (!isUuid(id)) return null;
  const [row] = await db
    .select({
      version: workflowVersions.version,
      workflow: workflowVersions.document,
      createdAt: workflowVersions.createdAt,
      createdBy: workflowVersions.createdBy,
    })
    .from(workflows)
    .innerJoin(workflowVersions, eq(workflowVersions.workflowId, workflows.id))
    .where(and(isHere(organizationId, id), eq(workflowVersions.version, version)));
  return row ?? null;
}
