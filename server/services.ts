import type { RequestHandler } from "express";
import type { Logger } from "pino";
import { createAuth } from "./auth/auth.js";
import { createAuthRoutes } from "./auth/auth-routes.js";
import { createIdentity, type Identity } from "./auth/identity.js";
import { trustedOrigins } from "./auth/origin.js";
import { createRateLimit, type RateLimit } from "./auth/rate-limit.js";
import type { Config } from "./config.js";
import { builtinConnectors } from "./connectors/builtin/index.js";
import { type Catalogue, createCatalogue } from "./connectors/catalogue.js";
import { loadConnectors } from "./connectors/load-connectors.js";
import { openDatabase } from "./db/client.js";
import { migrationState } from "./db/migrate.js";
import { createEngine } from "./engine/engine.js";
import type { ReadinessChecks } from "./http/health.js";
import { createMetrics, type Metrics } from "./http/metrics.js";
import { createRunLoader } from "./runs/load-run.js";
import { RunService } from "./runs/service.js";
import { type Scheduler, startScheduler } from "./schedules/scheduler.js";
import { ScheduleService } from "./schedules/service.js";
import { WorkflowService } from "./workflows/service.js";

/** Everything a request can reach. */
export interface Services {
  readonly config: Config;
  readonly logger: Logger;
  readonly identity: Identity;
  readonly rateLimit: RateLimit;
  readonly catalogue: Catalogue;
  readonly workflows: WorkflowService;
  readonly runs: RunService;
  readonly schedules: ScheduleService;
}

/** The services with what is around them in a running process. */
export interface Runtime {
  readonly services: Services;
  readonly authRoutes: RequestHandler;
  readonly readiness: ReadinessChecks;
  /** Origins whose pages may call with credentials. */
  readonly trustedOrigins: readonly string[];
  readonly metrics: Metrics;
  /** Starts the worker and the scheduler, as far as the role asks for them. */
  start(): Promise<void>;
  /** Stops in order: scheduler, worker (running steps get their grace), stamps, pools. */
  stop(): Promise<void>;
}

export interface RuntimeOptions {
  readonly config: Config;
  /** A migrated database. */
  readonly databaseUrl: string;
  readonly authSecret: string;
  /** Public origin without a trailing slash. */
  readonly baseUrl: string;
  readonly logger: Logger;
  readonly now: () => Date;
}

/**
 * Builds every service; opens pools but starts nothing.
 * @throws Error naming the module when a connector cannot be loaded.
 */
export async function createRuntime(options: RuntimeOptions): Promise<Runtime> {
  const { config, databaseUrl, authSecret: secret, baseUrl, logger, now } = options;
  const catalogue = createCatalogue([
    ...builtinConnectors({ httpAllowPrivate: config.httpAllowPrivate }),
    ...(await loadConnectors(config.connectorModules, process.cwd())),
  ]);
  const max = config.databasePoolSize;
  const database = openDatabase(databaseUrl, { max, applicationName: "flowkeep api" });
  const engineDatabase = openDatabase(databaseUrl, { max, applicationName: "flowkeep engine" });
  const origins = trustedOrigins(config, baseUrl);

  const workflows = new WorkflowService({
    database,
    catalogue,
    now,
    onRemoved: (tx, organizationId, workflowId) => schedules.stopForWorkflow(tx, organizationId, workflowId),
  });
  const engine = createEngine({
    database: engineDatabase,
    listenUrl: databaseUrl,
    loadRun: createRunLoader(engineDatabase, workflows),
    catalogue,
    concurrency: config.workerConcurrency,
    shutdownGraceMs: config.shutdownGraceMs,
    logger,
    now,
  });
  const runs = new RunService({ database, catalogue, engine, workflows, now });
  const schedules: ScheduleService = new ScheduleService({ database, workflows, runs, now });
  const identity = createIdentity({ database, secret, baseUrl, trustedOrigins: origins, logger });
  const auth = createAuth({ database, config, secret, baseUrl, logger });

  const hasWorker = config.role === "all" || config.role === "worker";
  const hasScheduler = config.role === "all" || config.role === "scheduler";
  let scheduler: Scheduler | null = null;

  return {
    services: {
      config,
      logger,
      identity,
      rateLimit: createRateLimit(config),
      catalogue,
      workflows,
      runs,
      schedules,
    },
    trustedOrigins: origins,
    metrics: createMetrics(),
    authRoutes: createAuthRoutes({ auth, sql: database.sql, config, baseUrl, logger }),
    readiness: {
      database: async () => ((await database.sql`select 1`).length === 1 ? "ok" : "failed"),
      migrations: async () => ((await migrationState(database.sql)) === "current" ? "ok" : "failed"),
      worker: async () => (hasWorker ? (engine.isHealthy() ? "ok" : "failed") : "off"),
    },
    async start() {
      if (hasWorker) await engine.start();
      if (hasScheduler) scheduler = await startScheduler({ schedules, sql: database.sql, now, logger });
    },
    async stop() {
      await scheduler?.stop();
      await engine.stop();
      await identity.close();
      await Promise.all([database.close(), engineDatabase.close()]);
    },
  };
}
