import { TRPCError } from "@trpc/server";
import { z } from "zod";
import { MAX_BODY_BYTES } from "../http/body-limit.js";
import { AppError } from "./app-error.js";
import { type ErrorCode, errorRow } from "./error-table.js";
import { invalidBody } from "./invalid-body.js";

/** JSON body of every error on the REST door, and the core of `error.data` on the tRPC door. */
export interface ErrorBody {
  readonly error: ErrorCode;
  readonly message: string;
  /** Present on 5xx. */
  readonly requestId?: string;
  readonly [detail: string]: unknown;
}

/** Status and body of any cause. */
export interface ErrorAnswer {
  readonly status: number;
  readonly body: ErrorBody;
}

/**
 * Turns any thrown value into its stable answer. Schema failures become `invalid_body` with issues; what is not
 * known becomes `internal_error` without a word of the cause.
 */
export function toErrorBody(cause: unknown, requestId: string | null): ErrorAnswer {
  const error = toAppError(cause);
  const { status } = errorRow(error.errorCode);
  return {
    status,
    body: {
      error: error.errorCode,
      message: error.message,
      ...error.details,
      ...(status >= 500 && requestId !== null ? { requestId } : {}),
    },
  };
}

/** The cause as an `AppError`; an `AppError` is returned as it is. */
export function toAppError(cause: unknown): AppError {
  if (cause instanceof AppError) return cause;
  if (cause instanceof TRPCError) return fromTrpc(cause);
  if (isConnectionLoss(cause)) return new AppError("unavailable", { cause });
  return new AppError("internal_error", { cause });
}

function fromTrpc(error: TRPCError): AppError {
  switch (error.code) {
    case "BAD_REQUEST":
      return error.cause instanceof z.core.$ZodError ? invalidInput(error.cause) : invalidRequest(error);
    case "PARSE_ERROR":
    case "UNSUPPORTED_MEDIA_TYPE":
      return invalidRequest(error);
    case "NOT_FOUND":
    case "METHOD_NOT_SUPPORTED":
      return new AppError("not_found", { cause: error });
    case "PAYLOAD_TOO_LARGE":
      return new AppError("payload_too_large", { details: { limitBytes: MAX_BODY_BYTES }, cause: error });
    default:
      return error.cause === undefined
        ? new AppError("internal_error", { cause: error })
        : toAppError(error.cause);
  }
}

/** Every issue with its path and what was expected. */
function invalidInput(error: z.core.$ZodError): AppError {
  return invalidBody(
    error.issues.map((issue) => ({
      path: issue.path.map((key) => (typeof key === "symbol" ? String(key) : key)),
      code: issue.code,
      message: issue.message,
    })),
  );
}

/** tRPC's own refusals carry no cause and say what is wrong; anything else is a body that could not be read. */
function invalidRequest(error: TRPCError): AppError {
  const isOwnRefusal = error.code === "BAD_REQUEST" && error.cause === undefined;
  const message = isOwnRefusal ? error.message : "The body must be a JSON object sent as application/json.";
  return new AppError("invalid_body", {
    message,
    details: { issues: [{ path: [], code: "invalid_json", message }] },
    cause: error,
  });
}

/**
 * Lost connections, what a failover adds to them (names that do not resolve for a while, read-only servers), and what
 * passes by itself: a full disk or memory, too many connections, broken deadlocks, statement and lock timeouts.
 */
const connectionCodes =
  /^(?:08|53|57P0|57014|55P03|25006|40001|40P01|ECONN|CONNECTION_|CONNECT_TIMEOUT|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENOTFOUND|EAI_AGAIN)/;

/** Whether the database could not be reached or gave up on the statement, by SQLSTATE class or driver code. */
export function isConnectionLoss(cause: unknown): boolean {
  for (let error = cause; error instanceof Error; error = error.cause) {
    if ("code" in error && typeof error.code === "string" && connectionCodes.test(error.code)) return true;
  }
  return false;
}
