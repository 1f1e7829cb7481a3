import type { Sql } from "../db/client.js";
import { attemptEntries } from "./attempt-entries.js";
import type { AttemptStatus } from "./attempt-kinds.js";
import { ENGINE_NAMESPACE } from "./install-sql.js";
import { type RunError, toRunError } from "./run-error.js";
import type { RunOutput } from "./run-workflow.js";
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
}

/** A run as the engine has it, all of one moment. */
export interface RunProgress {
  readonly hasEnded: boolean;
  /** The output of a completed run. */
  readonly output: RunOutput | null;
  /** Why a failed run failed. */
  readonly error: RunError | null;
  readonly blocks: readonly BlockProgress[];
}

interface BlockRow extends Omit<BlockProgress, "startedAt" | "finishedAt"> {
  readonly startedAt: string;
  readonly finishedAt: string | null;
}

interface ProgressRow {
  readonly status: string;
  readonly output: RunOutput | null;
  readonly error: unknown;
  readonly blocks: readonly BlockRow[];
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
        record->'taken' as taken, status, started_at, id, position
      from ${attemptEntries(sql, runId)} attempts
      -- Where an item starts is decided under the name of its loop, which does not end with it.
      where split_part(name, '@', 2) <> 'each'
    ), newest as (
      select distinct on (block_id, item) block_id, item, kind, status, ended_at,
        case when item = '' then taken end as taken,
        max(attempt) over same as attempts, min(begun_at) over same as begun_at
      from entries window same as (partition by block_id, item)
      order by block_id, item, started_at desc, id desc, position desc
    ), blocks as (
      select block_id as "blockId", item <> '' as "isPerItem", kind, status, taken,
        count(*) as count, sum(attempts) as attempts, min(begun_at) as "startedAt",
        case when bool_and(ended_at is not null) then max(ended_at) end as "finishedAt"
      from newest group by 1, 2, 3, 4, 5
    )
    select status, output, error, (select coalesce(jsonb_agg(blocks), '[]') from blocks) as blocks
    from openworkflow.workflow_runs where namespace_id = ${ENGINE_NAMESPACE} and id = ${runId}`;
  if (row === undefined) return null;
  const { status, output, error, blocks } = row;
  return {
    hasEnded: ["completed", "failed", "canceled"].includes(status),
    output: status === "completed" ? output : null,
    error: status === "failed" ? toRunError(error) : null,
    blocks: blocks.map((block) => ({
      ...block,
      startedAt: new Date(block.startedAt),
      finishedAt: block.finishedAt === null ? null : new Date(block.finishedAt),
    })),
  };
}
