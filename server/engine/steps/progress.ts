import type { Sql } from "../../db/client.js";
import { ENGINE_NAMESPACE } from "../database/install-sql.js";
import { type RunError, toRunError } from "../run-error.js";
import type { RunOutput } from "../walk/run-workflow.js";
import { attemptEntries } from "./attempt-entries.js";
import type { AttemptStatus } from "./attempt-kinds.js";
import type { StepKind } from "./step-names.js";

/** Where a block stands, or where those items of a loop stand for which it stands alike. */
export interface BlockProgress {
  readonly blockId: string;
  /** Whether the block ran for items of a loop; false outside of loops. */
  readonly isPerItem: boolean;
  /** Kind and status of the newest step. */
  readonly kind: StepKind;
  readonly status: AttemptStatus;
  /** Which connections the block's end has taken, by their index in the document; null where that is not known. */
  readonly taken: readonly number[] | null;
  /** How many items; 1 outside of loops. */
  readonly count: number;
  /** Tries of all of them. */
  readonly attempts: number;
  readonly startedAt: Date;
  /** When the newest of their steps ended; null when one has not. */
  readonly finishedAt: Date | null;
  /** When the first of their open waits ends by itself; null where none does. */
  readonly dueAt: Date | null;
}

/** What a run came to: the output of a completed run, the error of a failed one, nulls for any other. */
export interface RunOutcome {
  readonly output: RunOutput | null;
  readonly error: RunError | null;
}

/** A run as the engine has it, all of one moment. */
export interface RunProgress extends RunOutcome {
  readonly hasEnded: boolean;
  readonly blocks: readonly BlockProgress[];
}

interface BlockRow extends Omit<BlockProgress, "startedAt" | "finishedAt" | "dueAt"> {
  readonly startedAt: string;
  readonly finishedAt: string | null;
  readonly dueAt: string | null;
}

interface RunRow {
  readonly status: string;
  readonly output: RunOutput | null;
  readonly error: unknown;
}

interface ProgressRow extends RunRow {
  readonly blocks: readonly BlockRow[];
}

/** What a run came to; nulls for one that is gone. */
export async function readOutcome(sql: Sql, runId: string): Promise<RunOutcome> {
  const [row] = await sql<RunRow[]>`
    select status, output, error from openworkflow.workflow_runs
    where namespace_id = ${ENGINE_NAMESPACE} and id = ${runId}`;
  return row === undefined ? { output: null, error: null } : outcomeOf(row);
}

/** Where a run and each of its blocks stand, without the outputs of the blocks; null for a run that is gone. */
export async function readProgress(sql: Sql, runId: string): Promise<RunProgress | null> {
  const [row] = await sql<ProgressRow[]>`
    with entries as (
      select
        coalesce(record->>'id', split_part(split_part(split_part(name, '@', 1), '~', 1), '#', 1)) as block_id,
        split_part(split_part(split_part(name, '@', 1), '~', 1), '#', 2) as item,
        coalesce(nullif(split_part(name, '@', 2), ''), 'block') as kind,
        coalesce((record->>'attempt')::int, nullif(split_part(split_part(name, '@', 1), '~', 2), '')::int, 1)
          as attempt,
        coalesce((record->>'startedAt')::timestamptz, started_at) as begun_at,
        coalesce((record->>'finishedAt')::timestamptz, finished_at) as ended_at,
        record->'taken' as taken, status, due_at, started_at, id, position
      from ${attemptEntries(sql, runId)} attempts
      -- Where an item starts is decided under the name of its loop, which does not end with it.
      where split_part(name, '@', 2) <> 'each'
    ), newest as (
      select distinct on (block_id, item) block_id, item, kind, status, ended_at, due_at,
        case when item = '' then taken end as taken,
        max(attempt) over same as attempts, min(begun_at) over same as begun_at
      from entries window same as (partition by block_id, item)
      order by block_id, item, started_at desc, id desc, position desc
    ), blocks as (
      select block_id as "blockId", item <> '' as "isPerItem", kind, status, taken,
        count(*) as count, sum(attempts) as attempts, min(begun_at) as "startedAt",
        case when bool_and(ended_at is not null) then max(ended_at) end as "finishedAt", min(due_at) as "dueAt"
      from newest group by 1, 2, 3, 4, 5
    )
    select status, output, error, (select coalesce(jsonb_agg(blocks), '[]') from blocks) as blocks
    from openworkflow.workflow_runs where namespace_id = ${ENGINE_NAMESPACE} and id = ${runId}`;
  if (row === undefined) return null;
  return {
    ...outcomeOf(row),
    hasEnded: ["completed", "failed", "canceled"].includes(row.status),
    blocks: row.blocks.map((block) => ({
      ...block,
      startedAt: new Date(block.startedAt),
      finishedAt: block.finishedAt === null ? null : new Date(block.finishedAt),
      dueAt: block.dueAt === null ? null : new Date(block.dueAt),
    })),
  };
}

function outcomeOf({ status, output, error }: RunRow): RunOutcome {
  return {
    output: status === "completed" ? output : null,
    error: status === "failed" ? toRunError(error) : null,
  };
}
