import type { Sql } from "../../db/client.js";
import { type Page, pageWindow, toPage } from "../../db/page.js";
import type { LogLine } from "../blocks/attempt-lines.js";
import type { BlockRecord } from "../blocks/execute-block.js";
import { ENGINE_NAMESPACE } from "../database/install-sql.js";
import { attemptEntries } from "./attempt-entries.js";
import type { AttemptKind, AttemptStatus } from "./attempt-kinds.js";
import { type ItemPath, parseStepName, stepNameOf } from "./step-names.js";

/** One try of a block, one wait or one pause between tries. */
export interface Attempt {
  readonly id: string;
  /** `b`, `b~2` for a second try, `b#12` for item 12 of a loop, `b@wait`, `b@backoff`. */
  readonly name: string;
  readonly blockId: string;
  readonly kind: AttemptKind;
  readonly status: AttemptStatus;
  /** 1 for the first try. */
  readonly attempt: number;
  readonly item: ItemPath;
  /** The parameters it ran with, without secrets and hidden ones; null where none were recorded. */
  readonly input: unknown;
  readonly output: unknown;
  readonly error: { readonly code: string; readonly message: string } | null;
  /** What the block logged. */
  readonly lines: LogLine[];
  readonly startedAt: Date;
  readonly finishedAt: Date | null;
  /** Null until it has finished. */
  readonly durationMs: number | null;
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
 * Attempts of a run in the order they started, those of its loops' items among them. A step that held several pure
 * blocks gives one attempt for each. How a wait was begun and where a loop's body starts is shown only until it is done.
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
      id || case when position > 1 then '-' || (position - 1) else '' end as id,
      created_at, name, status, started_at, finished_at, record
    from ${attemptEntries(sql, runId)} entries
    where not (status = 'completed' and split_part(name, '@', 2) in ('open', 'each'))
      ${after === null ? sql`` : isAfter(sql, after)}
    order by entries.started_at, entries.id, entries.position
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
function isAfter(sql: Sql, { attemptId, position }: EntryPosition) {
  return sql`and (entries.started_at, entries.id, entries.position) > (
    select started_at, id, ${position}::bigint from openworkflow.step_attempts
    where namespace_id = ${ENGINE_NAMESPACE} and id = ${attemptId}
  )`;
}

function toAttempt({ record, ...row }: AttemptRow): Attempt {
  const { id, name, status } = row;
  const step = parseStepName(name);
  const kind = step.kind === "wait" || step.kind === "backoff" ? step.kind : "block";
  const startedAt = record === null ? row.startedAt : new Date(record.startedAt);
  const finishedAt = record === null ? row.finishedAt : new Date(record.finishedAt);
  return {
    id,
    // Beyond the first, the blocks of a step go by their own names.
    name: record === null || record.id === step.blockId ? name : stepNameOf(record.id, 1, "block", step.item),
    blockId: record?.id ?? step.blockId,
    kind,
    status,
    attempt: record?.attempt ?? step.attempt,
    item: step.item,
    input: record?.input ?? null,
    output: record?.ok === true ? record.output : null,
    error: errorOf(status, record),
    lines: [...(record?.lines ?? [])],
    startedAt,
    finishedAt,
    durationMs: finishedAt === null ? null : Math.max(0, finishedAt.getTime() - startedAt.getTime()),
  };
}

function errorOf(status: AttemptStatus, record: BlockRecord | null): Attempt["error"] {
  if (record === null) return status === "failed" ? ENGINE_FAILURE : null;
  return record.ok ? null : { code: record.error.code, message: record.error.message };
}
