import type { RequestHandler } from "express";
import { Counter, collectDefaultMetrics, Histogram, Registry } from "prom-client";
import type { BlockRecord } from "../engine/blocks/execute-block.js";
import type { RunMilestone } from "../runs/run-report.js";
import { factsOf } from "./request-facts.js";

/** Metrics of one app. */
export interface Metrics {
  /** Where other parts register theirs. */
  readonly registry: Registry;
  /** Counts a run that was dispatched or has ended. */
  readonly countRun: (milestone: Pick<RunMilestone, "trigger" | "state" | "seconds">) => void;
  /** Times one attempt of a block; the type must be one of the catalogue's, so that there are few. */
  readonly timeAttempt: (type: string, record: Pick<BlockRecord, "ok" | "startedAt" | "finishedAt">) => void;
  /** Times every request by method, route pattern and status. */
  readonly observe: RequestHandler;
  /** Answers with the Prometheus text format. */
  readonly expose: RequestHandler;
}

/** Makes a registry with the process's own metrics and those of requests, runs and attempts. */
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
    ...createRunMetrics(registry),
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

function createRunMetrics(registry: Registry): Pick<Metrics, "countRun" | "timeAttempt"> {
  const registers = [registry];
  const started = new Counter({
    name: "flowkeep_runs_started_total",
    help: "Runs dispatched by this process, by what started them.",
    labelNames: ["trigger"],
    registers,
  });
  const ended = new Histogram({
    name: "flowkeep_run_duration_seconds",
    help: "Time from the start of a run to its end, of the runs that this process ended, in seconds.",
    labelNames: ["trigger", "state"],
    buckets: [0.01, 0.1, 1, 10, 60, 600, 3_600, 86_400],
    registers,
  });
  const attempts = new Histogram({
    name: "flowkeep_attempt_duration_seconds",
    help: "Time that an attempt of a block took in this process, waits aside, in seconds.",
    labelNames: ["type", "outcome"],
    buckets: [0.001, 0.01, 0.1, 0.5, 1, 5, 30, 120, 600],
    registers,
  });
  return {
    countRun({ trigger, state, seconds }) {
      if (seconds === null) started.inc({ trigger });
      else ended.observe({ trigger, state }, seconds);
    },
    timeAttempt(type, { ok, startedAt, finishedAt }) {
      const seconds = Math.max(0, Date.parse(finishedAt) - Date.parse(startedAt)) / 1000;
      attempts.observe({ type, outcome: ok ? "completed" : "failed" }, seconds);
    },
  };
}
