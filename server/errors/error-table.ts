import type { TRPC_ERROR_CODE_KEY } from "@trpc/server/rpc";

/** One row of the error table: everything any door says about a code. */
export interface ErrorRow {
  /** Nearest code of the tRPC protocol. */
  readonly trpcCode: TRPC_ERROR_CODE_KEY;
  /** HTTP status on both doors. */
  readonly status: number;
  /** One sentence for the caller; a throw site may replace it with a more exact one. */
  readonly message: string;
  /** What the caller does next. */
  readonly remedy: string;
  /** Whether the same request may succeed later without a change. */
  readonly isRetryable: boolean;
  /** Extra top-level fields of the body, by name, with what they hold. */
  readonly details?: Readonly<Record<string, string>>;
}

/**
 * The one table of error codes. The tRPC formatter, the REST bodies, the OpenAPI responses, `docs/errors.md`
 * and `GET /api/errors` all read it. Codes are stable: rows are added, never renamed.
 */
export const errorTable = {
  unauthorized: {
    trpcCode: "UNAUTHORIZED",
    status: 401,
    message: "No session and no valid API key was sent.",
    remedy: "Check the Authorization header, the x-api-key header or the session cookie.",
    isRetryable: false,
  },
  no_active_organization: {
    trpcCode: "UNAUTHORIZED",
    status: 401,
    message: "The session has no active organization.",
    remedy: "Call POST /api/auth/organization/set-active with an organization you belong to.",
    isRetryable: false,
  },
  forbidden: {
    trpcCode: "FORBIDDEN",
    status: 403,
    message: "These credentials may not do this.",
    remedy: "Use a key or a member role that carries the permission named in the message.",
    isRetryable: false,
  },
  not_found: {
    trpcCode: "NOT_FOUND",
    status: 404,
    message: "There is no such resource in this organization.",
    remedy: "Check the path and the id; resources of another organization answer the same.",
    isRetryable: false,
  },
  workflow_not_found: {
    trpcCode: "NOT_FOUND",
    status: 404,
    message: "The workflow does not exist in this organization.",
    remedy: "Use the id of a workflow that your organization owns.",
    isRetryable: false,
  },
  invalid_body: {
    trpcCode: "BAD_REQUEST",
    status: 400,
    message: "The request does not match the schema of this operation.",
    remedy: "Read issues[]: each names a path and what was expected there.",
    isRetryable: false,
    details: { issues: "Array of {path, code, message}; path is an array of keys and indexes." },
  },
  invalid_cron: {
    trpcCode: "BAD_REQUEST",
    status: 400,
    message: "The cron expression or its time zone is not valid.",
    remedy: "Send five fields (minute hour day-of-month month day-of-week) or a macro such as @daily.",
    isRetryable: false,
  },
  invalid_if_match: {
    trpcCode: "BAD_REQUEST",
    status: 400,
    message: "If-Match must be the version as a positive integer, bare or in double quotes.",
    remedy: "Send the version of your last read, for example If-Match: 7.",
    isRetryable: false,
  },
  conflict: {
    trpcCode: "CONFLICT",
    status: 409,
    message: "The resource is in a state that does not allow this.",
    remedy: "Read the resource again and decide with its present state.",
    isRetryable: false,
  },
  expired: {
    trpcCode: "CONFLICT",
    status: 410,
    message: "The time for this has passed.",
    remedy: "Nothing can be sent for it any more; start again if needed.",
    isRetryable: false,
  },
  version_mismatch: {
    trpcCode: "PRECONDITION_FAILED",
    status: 412,
    message: "The workflow was changed since the version you sent.",
    remedy: "Read it again and retry with its version.",
    isRetryable: false,
    details: { current: "The version now, an integer." },
  },
  payload_too_large: {
    trpcCode: "PAYLOAD_TOO_LARGE",
    status: 413,
    message: "The request body is larger than 1 MiB.",
    remedy: "Send less in one request.",
    isRetryable: false,
    details: { limitBytes: "The largest accepted body, in bytes." },
  },
  idempotency_key_reused: {
    trpcCode: "UNPROCESSABLE_CONTENT",
    status: 422,
    message: "This idempotency key was used before with another input.",
    remedy: "Use a new key for a new input, or send the first input again.",
    isRetryable: false,
    details: {
      runId: "The run that the key belongs to.",
      signalId: "The signal that the key belongs to.",
    },
  },
  workflow_invalid: {
    trpcCode: "UNPROCESSABLE_CONTENT",
    status: 422,
    message: "The workflow has no enabled block or has validation errors, so it cannot run.",
    remedy: "Mend what validation_errors[] names, then run it again.",
    isRetryable: false,
    details: { validation_errors: "Array of {block_id, block_type, code, field?, value?, error}." },
  },
  delivery_failed: {
    trpcCode: "UNPROCESSABLE_CONTENT",
    status: 422,
    message: "The delivery was verified and kept, but no run could be started from it.",
    remedy: "Read the delivery's reason, mend the workflow or the webhook, then deliver it again.",
    isRetryable: true,
  },
  limit_exceeded: {
    trpcCode: "UNPROCESSABLE_CONTENT",
    status: 422,
    message: "A limit of this server would be exceeded.",
    remedy: "Stay below the limit that the message names.",
    isRetryable: false,
    details: { limit: "The limit, a number." },
  },
  rate_limited: {
    trpcCode: "TOO_MANY_REQUESTS",
    status: 429,
    message: "Too many requests for this principal.",
    remedy: "Wait retryAfterMs milliseconds, then send the request again.",
    isRetryable: true,
    details: { retryAfterMs: "Milliseconds until a request is accepted again." },
  },
  dispatch_failed: {
    trpcCode: "INTERNAL_SERVER_ERROR",
    status: 500,
    message: "The run could not be handed to the durable engine; no run exists.",
    remedy: "Read the message; a missing connector setting must be mended, anything else may be retried.",
    isRetryable: true,
  },
  cancel_failed: {
    trpcCode: "INTERNAL_SERVER_ERROR",
    status: 500,
    message: "The durable engine did not cancel the run.",
    remedy: "Read the run: a run that has ended cannot be canceled.",
    isRetryable: true,
  },
  logs_failed: {
    trpcCode: "INTERNAL_SERVER_ERROR",
    status: 500,
    message: "The step attempts of the run could not be listed.",
    remedy: "Try again; the database may have been away for a moment.",
    isRetryable: true,
  },
  internal_error: {
    trpcCode: "INTERNAL_SERVER_ERROR",
    status: 500,
    message: "Something went wrong on the server.",
    remedy: "Try again; if it stays, report the requestId.",
    isRetryable: true,
  },
  unavailable: {
    trpcCode: "SERVICE_UNAVAILABLE",
    status: 503,
    message: "The server cannot reach its database or is shutting down.",
    remedy: "Try again after a short wait.",
    isRetryable: true,
  },
} as const satisfies Record<string, ErrorRow>;

/** A stable error code: a key of the table. */
export type ErrorCode = keyof typeof errorTable;

/** The row of a code. */
export function errorRow(code: ErrorCode): ErrorRow {
  return errorTable[code];
}
