import { and, eq, gt, inArray, isNotNull, isNull, lt, sql } from "drizzle-orm";
import type { Db } from "../db/client.js";
import { keyset, type Page, type PageWindow, toPage } from "../db/page.js";
import { preparedQuery } from "../db/prepared-query.js";
import { runs, schedules } from "../db/schema/index.js";
import { isUuid } from "../db/uuid.js";
import { enqueueSql } from "../engine/database/enqueue-runs.js";
import type { RunState, RunTrigger } from "./run-kinds.js";

/** A run as our table holds it; output and error are the engine's. */
export interface StoredRun {
  readonly id: string;
  readonly workflowId: string;
  readonly workflowVersion: number;
  readonly versionId: string;
  readonly state: RunState;
  readonly input: unknown;
  readonly trigger: RunTrigger;
  readonly createdAt: Date;
  readonly startedAt: Date | null;
  readonly finishedAt: Date | null;
}

/** A row of the list. */
export type RunSummary = Omit<StoredRun, "input" | "versionId">;

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
  /** The user who asked for it; absent: nobody known beside `createdBy`. */
  readonly requestedBy?: string | null;
  readonly now: Date;
  /** The run fails when it has not ended after so many milliseconds; absent: it has no end. */
  readonly deadlineMs?: number | null;
  /** The workflow to start when the run fails; absent: none. */
  readonly failureWorkflowId?: string | null;
  /** How many runs started each other to come to this one; absent: none. */
  readonly depth?: number;
  /** The wake key of the wait that the run ends; absent: none. */
  readonly parentWait?: string | null;
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

/** Writes one run as `insertRuns` does; false when its idempotency key, or its parent's wait, has a run already. */
export async function insertRun(db: Db, organizationId: string, run: NewRun): Promise<boolean> {
  return (await insertRuns(db, [{ ...run, organizationId }])).size > 0;
}

/**
 * Writes runs of any organizations, each row with its own, and queues them for the engine, in one statement. A run of a
 * schedule whose input is null gets the schedule's payload, `{}` when that has none. Returns the ids of those written:
 * all but those whose idempotency key, or whose parent's wait, has a run already.
 */
export async function insertRuns(
  db: Db,
  rows: readonly (NewRun & { readonly organizationId: string })[],
): Promise<ReadonlySet<string>> {
  const written = await db.execute<{ id: string }>(sql`
    with given as (
      select * from json_to_recordset(${JSON.stringify(rows)}::text::json) as run (
        id uuid, "organizationId" text, "workflowId" uuid, "workflowVersion" integer, "versionId" uuid, input json,
        trigger json, "idempotencyKey" text, "createdBy" text, "requestedBy" text, now timestamptz,
        "failureWorkflowId" text, "deadlineMs" float8, depth integer, "parentWait" text)
    ), written as (
      insert into ${runs} (
        id, organization_id, workflow_id, workflow_version, version_id, state, input, trigger, trigger_kind,
        idempotency_key, created_by, requested_by, created_at, failure_workflow_id, depth, parent_wait)
      select run.id, run."organizationId", run."workflowId", run."workflowVersion", run."versionId", 'pending',
        case
          when run.input is not null then run.input
          when run.trigger->>'kind' <> 'schedule' then 'null'
          else coalesce((
            select schedule.payload from ${schedules} as schedule
            where schedule.organization_id = run."organizationId" and schedule.id = run."createdBy"
              and json_typeof(schedule.payload) <> 'null'), '{}')
        end,
        run.trigger, run.trigger->>'kind', run."idempotencyKey", run."createdBy", run."requestedBy", run.now,
        run."failureWorkflowId", coalesce(run.depth, 0), run."parentWait"
      from given as run
      on conflict do nothing
      returning id, organization_id, workflow_id, version_id
    ), queued as (
      select written.*, given."deadlineMs" as deadline_ms from written join given using (id)
    ), enqueued as (${sql.raw(enqueueSql("queued"))})
    select id from written`);
  return new Set(written.map((row) => row.id));
}

/** The user who asked for the run, or whatever else wrote it. */
const startedBy = sql<string>`coalesce(${runs.requestedBy}, ${runs.createdBy})`.as("started_by");

const isNamed = and(
  eq(id, sql.placeholder("runId")),
  eq(runs.organizationId, sql.placeholder("organizationId")),
);

const selectRun = preparedQuery((db) =>
  db
    .select({ ...summaryColumns, input: runs.input, versionId: runs.versionId })
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
): Promise<Pick<StoredRun, "id" | "input" | "trigger"> | null> {
  const [row] = await db
    .select({ id, input: runs.input, trigger })
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
    .select({ versionId: runs.versionId, input: runs.input, trigger, startedBy })
    .from(runs)
    .where(isNamed)
    .prepare("select_run_input"),
);

/** What the engine needs to walk a run, or null. */
export async function findRunInput(
  db: Db,
  organizationId: string,
  runId: string,
): Promise<(Pick<NewRun, "versionId" | "input" | "trigger"> & { readonly startedBy: string }) | null> {
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

/** Names one schedule of any organization. */
export interface ScheduleKey {
  readonly organizationId: string;
  readonly scheduleId: string;
}

/** A run with the schedule that started it. */
export interface RunOfSchedule extends ScheduleKey {
  readonly runId: string;
}

const isActive = sql`${state} in ('pending', 'running', 'waiting')`;

/** Runs that these schedules of any organizations have started and that have not ended, oldest first. */
export async function listActiveOfSchedules(
  db: Db,
  schedules: readonly ScheduleKey[],
): Promise<RunOfSchedule[]> {
  const rows = await db
    .select({ runId: id, organizationId: runs.organizationId, scheduleId: runs.createdBy })
    .from(runs)
    .where(
      sql`${runs.triggerKind} = 'schedule' and ${isActive} and (${runs.organizationId}, ${runs.createdBy}) in (
        select key."organizationId", key."scheduleId"
        from json_to_recordset(${JSON.stringify(schedules)}::text::json)
          as key ("organizationId" text, "scheduleId" text))`,
    )
    .orderBy(createdAt, id);
  return rows;
}

/** Those of the runs, of any organizations, that have not ended. */
export async function listActive(db: Db, runIds: readonly string[]): Promise<string[]> {
  const rows = await db
    .select({ id })
    .from(runs)
    .where(and(inArray(id, [...runIds]), isActive));
  return rows.map((row) => row.id);
}

/** The run that ends the wait of this key, or null. */
export async function findChild(
  db: Db,
  organizationId: string,
  parentWait: string,
): Promise<Pick<StoredRun, "id" | "state"> | null> {
  const [row] = await db
    .select({ id, state })
    .from(runs)
    .where(and(eq(runs.organizationId, organizationId), eq(runs.parentWait, parentWait)));
  return row ?? null;
}

/** How many runs started each other to come to this one; 0 for a run that is gone. */
export async function findDepth(db: Db, organizationId: string, runId: string): Promise<number> {
  const [row] = await db
    .select({ depth: runs.depth })
    .from(runs)
    .where(and(eq(runs.organizationId, organizationId), eq(id, runId)));
  return row?.depth ?? 0;
}

/** A run that has failed and whose workflow wants another one started then. */
export type FailedRun = Pick<StoredRun, "id" | "workflowId" | "versionId" | "input"> & {
  readonly depth: number;
  readonly organizationId: string;
  readonly startedBy: string;
  readonly failureWorkflowId: string;
};

/** The failed run of any organization that waits longest for what its failure starts; no other transaction gets it. */
export async function takeFailedRun(db: Db): Promise<FailedRun | null> {
  const { organizationId, versionId, input, depth, failureWorkflowId, failureRunId } = runs;
  const [row] = await db
    .select({ id, workflowId, organizationId, versionId, input, depth, startedBy, failureWorkflowId })
    .from(runs)
    // Literal, as in the index that it needs.
    .where(and(sql`${state} = 'failed'`, isNotNull(failureWorkflowId), isNull(failureRunId)))
    .orderBy(finishedAt)
    .limit(1)
    .for("update", { skipLocked: true });
  if (row === undefined || row.failureWorkflowId === null) return null;
  return { ...row, failureWorkflowId: row.failureWorkflowId };
}

/** Keeps what a failure has started; null when it could not start anything and shall not be asked again. */
export async function closeFailedRun(
  db: Db,
  organizationId: string,
  runId: string,
  failureRunId: string | null,
): Promise<void> {
  await db
    .update(runs)
    .set(failureRunId === null ? { failureWorkflowId: null } : { failureRunId })
    .where(and(eq(runs.organizationId, organizationId), eq(id, runId)));
}
