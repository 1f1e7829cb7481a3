import type { Logger } from "pino";
import { describeCause } from "../errors/describe-cause.js";
import { toAppError } from "../errors/error-body.js";
import { errorRow } from "../errors/error-table.js";
import type { RequestFacts } from "./request-facts.js";

/** Writes what clients are not told of a 5xx answer: its innermost cause, without the values of a statement. */
export function logServerError(logger: Logger, thrown: unknown, { requestId, route }: RequestFacts): void {
  const { errorCode, message, cause, stack } = toAppError(thrown);
  if (errorRow(errorCode).status < 500) return;
  logger.error(
    {
      requestId,
      route,
      error: errorCode,
      ...(cause === undefined ? {} : { cause: describeCause(cause) }),
      stack: innermost(cause)?.stack ?? stack,
    },
    message,
  );
}

function innermost(cause: unknown): Error | undefined {
  if (!(cause instanceof Error)) return undefined;
  return innermost(cause.cause) ?? cause;
}
