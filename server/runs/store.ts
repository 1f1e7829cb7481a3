import { and, eq, gt, lt, sql } from "drizzle-orm";
import type { Db } from "../db/client.js";
import { keyset, type Page, type PageWindow, toPage } from "../db/page.js";
import { preparedQuery } from "../db/prepared-query.js";
import { jsonNull } from "../db/schema/columns.js";
import { runs } from "../db/schema/index.js";
import { isUuid } from "../db/uuid.js";
import type { RunState, RunTrigger } from "./run-kinds.js";

/** A run as our table holds it; output and error are the engine's. */
export interface StoredRun {
  readonly id: string;
  readonly workflowId: string;
  readonly workflowVersion: number;
  readonly state: RunState;
  readonly input: unknown;
  readonly trigger: RunTrigger;
  readonly createdAt: Date;
  readonly startedAt: Date | null;
  readonly finishedAt: Date | null;
}

/** A row of the list: everything but the input. */
export type RunSummary = Omit<StoredRun, "input">;

/** What a run is written with. */
export interface NewRun {
  /** The engine's id of the run. */
  readonly id: string;
  readonly workflowId: string;
  readonly workflowVersion: number;
  readonly versionId: string;
  readonly input: unknown;
  readonly trigger: RunTrigger;
  readonly idempotencyKey: string | null;
  readonly createdBy: string;
  readonly now: Date;
}

export interface RunFilter {
  readonly workflowId?: string | undefined;
  readonly state?: RunState | undefined;
  readonly trigger?: RunTrigger["kind"] | undefined;
  readonly createdAfter?: Date | undefined;
  readonly createdBefore?: Date | undefined;
}

const { id, workflowId, workflowVersion, state, trigger, createdAt, startedAt, finishedAt } = runs;
const summaryColumns = { id, workflowId, workflowVersion, state, trigger, createdAt, startedAt, finishedAt };

/** Writes a run; false when its idempotency key is taken in this workflow. */
export async function insertRun(db: Db, organizationId: string, { now, ...run }: NewRun): Promise<boolean> {
  const rows = await db
    .insert(runs)
    .values({
      ...run,
      input: run.input ?? jsonNull,
      organizationId,
      triggerKind: run.trigger.kind,
      state: "pending",
      createdAt: now,
    })
    .onConflictDoNothing()
    .returning({ id });
  return rows.length > 0;
}

const isNamed = and(
  eq(id, sql.placeholder("runId")),
  eq(runs.organizationId, sql.placeholder("organizationId")),
);

const selectRun = preparedQuery((db) =>
  db
    .select({ ...summaryColumns, input: runs.input })
    .from(runs)
    .where(isNamed)
    .prepare("select_run"),
);

/** The run, or null. */
export async function findRun(db: Db, organizationId: string, runId: string): Promise<StoredRun | null> {
  if (!isUuid(runId)) return null;
  const [row] = await selectRun(db).execute({ organizationId, runId });
  return row ?? null;
}

/** The run that an idempotency key of a workflow belongs to, or null. */
export async function findRunByKey(
  db: Db,
  organizationId: string,
  workflow: string,
  idempotencyKey: string,
): Promise<{ readonly id: string; readonly input: unknown } | null> {
  const [row] = await db
    .select({ id, input: runs.input })
    .from(runs)
    .where(
      and(
        eq(runs.organizationId, organizationId),
        eq(workflowId, workflow),
        eq(runs.idempotencyKey, idempotencyKey),
      ),
    );
  return row ?? null;
}

const selectRunInput = preparedQuery((db) =>
  db
    .select({ versionId: runs.versionId, input: runs.input, trigger })
    .from(runs)
    .where(isNamed)
    .prepare("select_run_input"),
);

/** What the engine needs to walk a run, or null. */
export async function findRunInput(
  db: Db,
  organizationId: string,
  runId: string,
): Promise<{ readonly versionId: string; readonly input: unknown; readonly trigger: RunTrigger } | null> {
  const [row] = await selectRunInput(db).execute({ organizationId, runId });
  return row ?? null;
}

/** Newest first. */
export async function listRuns(
  db: Db,
  organizationId: string,
  window: PageWindow,
  filter: RunFilter,
): Promise<Page<RunSummary>> {
  const page = keyset(createdAt, id, window);
  const rows = await db
    .select(summaryColumns)
    .from(runs)
    .where(
      page.where(
        eq(runs.organizationId, organizationId),
        filter.workflowId === undefined ? undefined : eq(workflowId, filter.workflowId),
        filter.state === undefined ? undefined : eq(state, filter.state),
        filter.trigger === undefined ? undefined : eq(runs.triggerKind, filter.trigger),
        filter.createdAfter === undefined ? undefined : gt(createdAt, filter.createdAfter),
        filter.createdBefore === undefined ? undefined : lt(createdAt, filter.createdBefore),
      ),
    )
    .orderBy(...page.order)
    .limit(page.limit);
  return toPage(rows, window, (row) => row);
}
