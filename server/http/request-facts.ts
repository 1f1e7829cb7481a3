import { randomUUID } from "node:crypto";
import type { RequestHandler, Response } from "express";

/** What the process knows about one request, for its log line and its metrics. */
export interface RequestFacts {
  /** Sent as `x-request-id`. */
  readonly requestId: string;
  /** As it was sent: HEAD stays HEAD. */
  readonly method: string;
  /** `performance.now()` when the request came in. */
  readonly startedAtMs: number;
  /** Pattern of the path, never the path itself, so that there are few of them. */
  route: string;
  organizationId: string | null;
}

const SANE_REQUEST_ID = /^[\w.:-]{1,128}$/;

/** Opens the facts of a request and sends `x-request-id`: the caller's when it is sane, else a new one. */
export function openRequestFacts(): RequestHandler {
  return (req, res, next) => {
    const sent = req.get("x-request-id");
    const requestId = sent !== undefined && SANE_REQUEST_ID.test(sent) ? sent : randomUUID();
    const facts: RequestFacts = {
      requestId,
      method: req.method,
      startedAtMs: performance.now(),
      route: "unmatched",
      organizationId: null,
    };
    res.locals.facts = facts;
    res.setHeader("x-request-id", requestId);
    next();
  };
}

/** The facts that `openRequestFacts` opened. */
export function factsOf(res: Response): RequestFacts {
  return res.locals.facts;
}

/** Names the route of whatever is mounted behind it. */
export function nameRoute(route: string): RequestHandler {
  return (_req, res, next) => {
    factsOf(res).route = route;
    next();
  };
}
