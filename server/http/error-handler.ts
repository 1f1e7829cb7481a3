import type { ErrorRequestHandler, RequestHandler } from "express";
import type { Logger } from "pino";
import { AppError } from "../errors/app-error.js";
import { toErrorBody } from "../errors/error-body.js";
import { logServerError } from "./error-log.js";
import { factsOf } from "./request-facts.js";

/** Answers what no route took with `not_found`. */
export function refuseUnknownPath(): RequestHandler {
  return (_req, _res, next) => next(new AppError("not_found", { message: "There is no such path." }));
}

/**
 * Writes every error outside tRPC as the table says; the one place that does. A response that is already under way
 * cannot be mended, so its connection is cut.
 */
export function handleErrors(logger: Logger): ErrorRequestHandler {
  // Express tells error handlers by their four parameters.
  return (cause, _req, res, _next) => {
    const facts = factsOf(res);
    const error = isRequestFault(cause) ? new AppError("not_found", { cause }) : cause;
    logServerError(logger, error, facts);
    if (res.headersSent) {
      res.destroy();
      return;
    }
    const { status, body } = toErrorBody(error, facts.requestId);
    if (status === 401) res.setHeader("WWW-Authenticate", "Bearer");
    res.status(status).json(body);
  };
}

/** Express and its static files mark what they could not read of a path with a 4xx status. */
function isRequestFault(cause: unknown): boolean {
  if (!(cause instanceof Error) || !("status" in cause)) return false;
  return typeof cause.status === "number" && cause.status >= 400 && cause.status < 500;
}
