import { type AnyColumn, and, asc, desc, type SQL, sql } from "drizzle-orm";
import { AppError } from "../errors/app-error.js";
import { isUuid } from "./uuid.js";

/** What a client asks of a list: newest first, `after` or `before` a cursor of an earlier page. */
export interface PageRequest {
  readonly limit: number;
  readonly after?: string | undefined;
  readonly before?: string | undefined;
}

/** One page and the cursors beside it: `next` goes into `after`, `prev` into `before`; null where nothing is left. */
export interface Page<T> {
  readonly data: T[];
  readonly pagination: { readonly next: string | null; readonly prev: string | null };
}

interface Position {
  readonly createdAt: Date;
  readonly id: string | number;
}

/** A checked page request. */
export interface PageWindow {
  readonly limit: number;
  readonly position: Position | null;
  readonly isBackward: boolean;
}

/**
 * Checks a page request; `isId` says which ids the list's cursors may carry.
 * @throws AppError `invalid_body` when a cursor is not one of ours or both cursors are sent.
 */
export function pageWindow(request: PageRequest, isId: (text: string) => boolean = isUuid): PageWindow {
  const { limit, after, before } = request;
  if (after !== undefined && before !== undefined)
    throw invalidCursor("before", "send after or before, not both");
  const cursor = after ?? before;
  const field = before === undefined ? "after" : "before";
  return {
    limit,
    position: cursor === undefined ? null : decodeCursor(cursor, field, isId),
    isBackward: before !== undefined,
  };
}

/** Condition, order and limit of a page; one row more than the page tells whether another follows. */
export function keyset(createdAt: AnyColumn, id: AnyColumn, window: PageWindow) {
  const { position, isBackward, limit } = window;
  const comparison = isBackward ? sql`>` : sql`<`;
  const where: SQL | undefined =
    position === null
      ? undefined
      : sql`(${createdAt}, ${id}) ${comparison} (${position.createdAt.toISOString()}::timestamptz, ${position.id})`;
  const order = isBackward ? [asc(createdAt), asc(id)] : [desc(createdAt), desc(id)];
  return {
    where: (...conditions: (SQL | undefined)[]) => and(...conditions, where),
    order,
    limit: limit + 1,
  };
}

/** Cuts the extra row off, puts the rows newest first and makes the cursors. */
export function toPage<Row extends Position, T>(
  rows: readonly Row[],
  window: PageWindow,
  map: (row: Row) => T,
): Page<T> {
  const hasMore = rows.length > window.limit;
  const kept = rows.slice(0, window.limit);
  if (window.isBackward) kept.reverse();
  const first = kept[0];
  const last = kept.at(-1);
  const hasNext = window.isBackward || hasMore;
  const hasPrevious = window.isBackward ? hasMore : window.position !== null;
  return {
    data: kept.map(map),
    pagination: {
      next: hasNext && last !== undefined ? encodeCursor(last) : null,
      prev: hasPrevious && first !== undefined ? encodeCursor(first) : null,
    },
  };
}

function encodeCursor({ createdAt, id }: Position): string {
  return Buffer.from(`${createdAt.getTime()}.${id}`).toString("base64url");
}

function decodeCursor(text: string, field: string, isId: (text: string) => boolean): Position {
  const decoded = Buffer.from(text, "base64url").toString();
  const match = /^(\d{1,14})\.([A-Za-z0-9_-]{1,64})$/.exec(decoded);
  const isOurs =
    match !== null && isId(String(match[2])) && Buffer.from(decoded).toString("base64url") === text;
  if (!isOurs)
    throw invalidCursor(field, "is not a cursor of this list; take it from pagination of an earlier page");
  const [, milliseconds, id] = match;
  return { createdAt: new Date(Number(milliseconds)), id: String(id) };
}

function invalidCursor(field: string, message: string): AppError {
  return new AppError("invalid_body", {
    message: `${field}: ${message}.`,
    details: { issues: [{ path: [field], code: "invalid_cursor", message }] },
  });
}
