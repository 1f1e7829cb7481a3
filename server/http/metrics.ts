import type { RequestHandler } from "express";
import { collectDefaultMetrics, Histogram, Registry } from "prom-client";
import { factsOf } from "./request-facts.js";

/** Metrics of one app. */
export interface Metrics {
  /** Where other parts register theirs. */
  readonly registry: Registry;
  /** Times every request by method, route pattern and status. */
  readonly observe: RequestHandler;
  /** Answers with the Prometheus text format. */
  readonly expose: RequestHandler;
}

/** Makes a registry with the process's own metrics and `http_request_duration_seconds`. */
export function createMetrics(): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const duration = new Histogram({
    name: "http_request_duration_seconds",
    help: "Time from the request line to the end of the response, in seconds.",
    labelNames: ["method", "route", "status"],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registers: [registry],
  });
  return {
    registry,
    observe: (_req, res, next) => {
      res.once("close", () => {
        const { method, route, startedAtMs } = factsOf(res);
        duration.observe({ method, route, status: res.statusCode }, (performance.now() - startedAtMs) / 1000);
      });
      next();
    },
    expose: async (_req, res) => {
      res.type(registry.contentType).send(await registry.metrics());
    },
  };
}
