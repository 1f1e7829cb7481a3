import type { Sql } from "../db/client.js";
import { type Page, pageWindow, toPage } from "../db/page.js";
import type { BlockRecord } from "./execute-block.js";
import { ENGINE_NAMESPACE } from "./install-sql.js";
import { parseStepName, type StepKind } from "./step-names.js";

/** States of an attempt: `interrupted` ran in a worker that went away and was, or will be, tried anew. */
export const attemptStatuses = [
  "running",
  "waiting",
  "completed",
  "failed",
  "interrupted",
  "canceled",
] as const;
export type AttemptStatus = (typeof attemptStatuses)[number];

/** One try of a block, one wait or one pause between tries. */
export interface Attempt {
  readonly id: string;
  /** `b`, `b~2` for a second try, `b@wait`, `b@backoff`. */
  readonly name: string;
  readonly blockId: string;
  readonly kind: StepKind;
  readonly status: AttemptStatus;
  /** 1 for the first try. */
  readonly attempt: number;
  readonly output: unknown;
  readonly error: { readonly code: string; readonly message: string } | null;
  readonly startedAt: Date;
  readonly finishedAt: Date | null;
}

export type AttemptPage = Page<Attempt>;

/** Oldest first; `after` is the `next` of an earlier page. */
export interface AttemptPageRequest {
  readonly limit: number;
  readonly after?: string | undefined;
}

interface AttemptRow {
  readonly id: string;
  readonly createdAt: Date;
  readonly name: string;
  readonly status: AttemptStatus;
  readonly startedAt: Date;
  readonly finishedAt: Date | null;
  readonly record: BlockRecord | null;
}

/** Error of a step that the engine itself could not record; the cause is in the log of the server. */
const ENGINE_FAILURE = {
  code: "engine_failed",
  message: "The engine could not keep the result of this step.",
};

const ATTEMPT_ID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?:-\d{1,4})?$/;

/**
 * Attempts of a run in the order they started. A step that held several pure blocks gives one attempt for each.
 * @throws AppError `invalid_body` for a cursor that is not of this list.
 */
export async function listAttempts(
  sql: Sql,
  runId: string,
  request: AttemptPageRequest,
): Promise<AttemptPage> {
  const window = pageWindow(request, (id) => ATTEMPT_ID.test(id));
  const after = window.position === null ? null : parseEntryId(String(window.position.id));
  const rows = await sql<AttemptRow[]>`
    select
      attempt.id || case when entry.position > 1 then '-' || (entry.position - 1) else '' end as id,
      attempt.created_at as "createdAt",
      attempt.step_name as name,
      case
        when attempt.status = 'failed' then
          case when attempt.error->>'code' = 'handed_back' then 'interrupted' else 'failed' end
        when attempt.status <> 'running' then
          case when entry.record->>'ok' = 'false' then 'failed' else 'completed' end
        when run.status = 'canceled' then 'canceled'
        when run.status in ('completed', 'failed') then 'interrupted'
        when attempt.kind = 'signal-wait' then 'waiting'
        when run.worker_id is null or exists (
          select from openworkflow.step_attempts later
          where later.namespace_id = attempt.namespace_id and later.workflow_run_id = attempt.workflow_run_id
            and later.step_name = attempt.step_name and later.started_at > attempt.started_at
        ) then 'interrupted'
        else 'running'
      end as status,
      attempt.started_at as "startedAt",
      attempt.finished_at as "finishedAt",
      entry.record
    from openworkflow.step_attempts attempt
    join openworkflow.workflow_runs run
      on run.namespace_id = attempt.namespace_id and run.id = attempt.workflow_run_id
    left join lateral jsonb_array_elements(
      case when attempt.kind = 'function' then attempt.output->'blocks' end
    ) with ordinality as entry(record, position) on true
    where attempt.namespace_id = ${ENGINE_NAMESPACE} and attempt.workflow_run_id = ${runId}
      ${after === null ? sql`` : isAfter(sql, runId, after)}
    order by attempt.started_at, attempt.id, entry.position
    limit ${window.limit + 1}`;
  const { data, pagination } = toPage(rows, window, toAttempt);
  return { data, pagination: { next: pagination.next, prev: null } };
}

interface EntryPosition {
  readonly attemptId: string;
  readonly position: number;
}

function parseEntryId(id: string): EntryPosition {
  return { attemptId: id.slice(0, 36), position: Number(id.slice(37)) + 1 };
}

/** Compares by the start of the cursor's attempt, read again because cursors carry milliseconds only. */
function isAfter(sql: Sql, runId: string, { attemptId, position }: EntryPosition) {
  return sql`and (attempt.started_at, attempt.id, coalesce(entry.position, 1)) > (
    select started_at, id, ${position}::bigint from openworkflow.step_attempts
    where namespace_id = ${ENGINE_NAMESPACE} and workflow_run_id = ${runId} and id = ${attemptId}
  )`;
}

function toAttempt({ record, ...row }: AttemptRow): Attempt {
  const { id, name, status, startedAt, finishedAt } = row;
  const { blockId, attempt, kind } = parseStepName(name);
  if (record === null) {
    const failure = status === "failed" ? ENGINE_FAILURE : null;
    return { id, name, blockId, kind, status, attempt, output: null, error: failure, startedAt, finishedAt };
  }
  return {
    id,
    // Beyond the first, the blocks of a step go by their own names.
    name: record.id === blockId ? name : record.id,
    blockId: record.id,
    kind,
    status,
    attempt: record.attempt,
    output: record.ok ? record.output : null,
    error: record.ok ? null : { code: record.error.code, message: record.error.message },
    startedAt: new Date(record.startedAt),
    finishedAt: new Date(record.finishedAt),
  };
}
