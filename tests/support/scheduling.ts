import { pino } from "pino";
import { triggerWebhook } from "../../server/connectors/builtin/trigger-webhook.js";
import { createCatalogue } from "../../server/connectors/catalogue.js";
import { type Database, openDatabase } from "../../server/db/client.js";
import { createEngine } from "../../server/engine/engine.js";
import { RunService } from "../../server/runs/service.js";
import { startScheduler } from "../../server/schedules/scheduler.js";
import { ScheduleService } from "../../server/schedules/service.js";
import { WorkflowService } from "../../server/workflows/service.js";

/** The services that schedules need, as a process with the role `scheduler` builds them. */
export interface Scheduling {
  readonly database: Database;
  readonly workflows: WorkflowService;
  readonly runs: RunService;
  readonly schedules: ScheduleService;
  /** Starts the scheduler; the pool's end stops it. */
  start(): Promise<void>;
  /** For how many milliseconds each time the scheduler has held runs. */
  readonly holds: readonly number[];
  close(): Promise<void>;
}

/** Opens them on a migrated database with a pool of their own; nothing is worked on. */
export function openScheduling(
  url: string,
  now: () => Date,
  poolSize: number,
  applicationName = "scheduling",
): Scheduling {
  const database = openDatabase(url, { max: poolSize, applicationName });
  const catalogue = createCatalogue([triggerWebhook]);
  const logger = pino({ level: process.env.LOG_LEVEL ?? "silent" });
  const workflows = new WorkflowService({ database, catalogue, now, onRemoved: async () => {} });
  const engine = createEngine({
    database,
    listenUrl: url,
    loadRun: async () => null,
    readSecrets: async () => new Map(),
    expressions: { evaluate: async () => null },
    catalogue,
    concurrency: 1,
    shutdownGraceMs: 0,
    logger,
    now,
  });
  const secrets = { findMissing: async () => [] };
  const runs = new RunService({ database, catalogue, engine, workflows, secrets, now });
  const schedules = new ScheduleService({ database, workflows, runs, now, logger, onFired: () => {} });
  const holds: number[] = [];
  const holdRuns = (milliseconds: number) => void holds.push(milliseconds);
  return {
    database,
    workflows,
    runs,
    schedules,
    holds,
    async start() {
      await startScheduler({ schedules, runs, sql: database.sql, holdRuns, now, logger });
    },
    close: () => database.close(),
  };
}

/** A clock that runs so many times as fast as the real one, from the same instant in every process. */
export function fastClock(baseMs: number, speed: number): () => Date {
  return () => new Date(baseMs + (Date.now() - baseMs) * speed);
}
