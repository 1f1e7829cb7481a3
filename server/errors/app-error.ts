import { TRPCError } from "@trpc/server";
import { type ErrorCode, errorRow } from "./error-table.js";

/** What a throw site may add to a code: a more exact message, fields for the body, the cause for the log. */
export interface AppErrorOptions {
  readonly message?: string;
  readonly details?: Readonly<Record<string, unknown>>;
  readonly cause?: unknown;
}

/**
 * An error with a stable code of the table; every door answers it with that row's status. It is a `TRPCError`
 * so that tRPC carries it through middleware and callers without wrapping it. `cause` is logged, never sent.
 */
export class AppError extends TRPCError {
  readonly errorCode: ErrorCode;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(errorCode: ErrorCode, options: AppErrorOptions = {}) {
    const row = errorRow(errorCode);
    super({ code: row.trpcCode, message: options.message ?? row.message, cause: options.cause });
    this.errorCode = errorCode;
    this.details = options.details ?? {};
  }
}
