import type { RequestHandler } from "express";
import type { Logger } from "pino";
import { factsOf } from "./request-facts.js";

/** Routes that are asked every few seconds by machines. */
const QUIET_ROUTES = new Set(["/health", "/ready", "/metrics"]);

/** Writes one line per request when its response has gone out or its client has left; no body, token or query. */
export function logRequests(logger: Logger): RequestHandler {
  return (_req, res, next) => {
    res.once("close", () => {
      const { requestId, method, route, startedAtMs, organizationId } = factsOf(res);
      const ms = Math.round((performance.now() - startedAtMs) * 10) / 10;
      const line = { requestId, method, route, status: res.statusCode, ms, organizationId };
      const level = QUIET_ROUTES.has(route) ? "debug" : "info";
      logger[level](line, res.writableFinished ? "request" : "request aborted by the client");
    });
    next();
  };
}
