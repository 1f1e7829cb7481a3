import { randomUUID } from "node:crypto";
import type { RequestHandler } from "express";
import type { Logger } from "pino";
import { ApprovalService } from "./approvals/service.js";
import { createAuth } from "./auth/auth.js";
import { createAuthRoutes } from "./auth/auth-routes.js";
import { createIdentity, type Identity } from "./auth/identity.js";
import { trustedOrigins } from "./auth/origin.js";
import {
  type AddressRateLimit,
  createAddressRateLimit,
  createRateLimit,
  createWebhookRateLimit,
  type RateLimit,
  type WebhookRateLimit,
} from "./auth/rate-limit.js";
import type { Config } from "./config.js";
import { awaitingConnectors, builtinConnectors } from "./connectors/builtin/index.js";
import { type Catalogue, createCatalogue } from "./connectors/catalogue.js";
import { loadConnectors } from "./connectors/load-connectors.js";
import { openDatabase } from "./db/client.js";
import { migrationState } from "./db/migrate.js";
import { DiagramService } from "./diagrams/service.js";
import { createEngine, type Engine } from "./engine/engine.js";
import { createExpressions } from "./expressions/expressions.js";
import { measureFirings } from "./http/firing-metrics.js";
import type { ReadinessChecks } from "./http/health.js";
import { createMetrics, type Metrics } from "./http/metrics.js";
import { ChildRuns } from "./runs/child-runs.js";
import { keepDocuments } from "./runs/document-cache.js";
import { FailureRuns } from "./runs/failure-runs.js";
import { createRunLoader } from "./runs/load-run.js";
import { RunChanges } from "./runs/run-changes.js";
import { RunReader } from "./runs/run-reader.js";
import { reportRuns } from "./runs/run-report.js";
import { RunService } from "./runs/service.js";
import { type Scheduler, startScheduler } from "./schedules/scheduler.js";
import { ScheduleService } from "./schedules/service.js";
import { rotateKeys } from "./secrets/rotate-keys.js";
import { createSecretBox, secretKeys } from "./secrets/secret-box.js";
import { SecretService } from "./secrets/service.js";
import { SignalService } from "./signals/service.js";
import { DeliveryService } from "./webhooks/delivery-service.js";
import { WebhookService } from "./webhooks/service.js";
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
  readonly runReader: RunReader;
  readonly diagrams: DiagramService;
  readonly schedules: ScheduleService;
  readonly secrets: SecretService;
  readonly webhooks: WebhookService;
  readonly deliveries: DeliveryService;
  readonly webhookRateLimit: WebhookRateLimit;
  readonly signals: SignalService;
  readonly approvals: ApprovalService;
  readonly addressRateLimit: AddressRateLimit;
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
  /** Ends the streams, which would otherwise stay open as long as their clients do. */
  endStreams(): void;
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
  const { config, authSecret: secret, baseUrl, logger } = options;
  const base = layFoundation(options);
  const domain = await buildDomain(options, base);
  const origins = trustedOrigins(config, baseUrl);
  const { database } = base;
  const identity = createIdentity({ database, secret, baseUrl, trustedOrigins: origins, logger });
  const auth = createAuth({ database, config, secret, baseUrl, logger });
  const { engine } = domain;
  return {
    services: {
      config,
      logger,
      identity,
      rateLimit: createRateLimit(config),
      webhookRateLimit: createWebhookRateLimit(),
      addressRateLimit: createAddressRateLimit(config),
      ...domain,
    },
    trustedOrigins: origins,
    metrics: base.metrics,
    authRoutes: createAuthRoutes({ auth, sql: database.sql, config, baseUrl, logger }),
    readiness: {
      database: async () => ((await database.sql`select 1`).length === 1 ? "ok" : "failed"),
      migrations: async () => ((await migrationState(database.sql)) === "current" ? "ok" : "failed"),
      worker: async () => (hasWorker(config) ? (engine.isHealthy() ? "ok" : "failed") : "off"),
    },
    ...createLifecycle(options, base, domain, identity),
  };
}

const hasWorker = ({ role }: Config) => role === "all" || role === "worker";
const hasScheduler = ({ role }: Config) => role === "all" || role === "scheduler";

type Foundation = ReturnType<typeof layFoundation>;
type Domain = Awaited<ReturnType<typeof buildDomain>>;

/** What every noun stands on. */
function layFoundation({ config, databaseUrl, authSecret }: RuntimeOptions) {
  const processId = randomUUID().slice(0, 8);
  const max = config.databasePoolSize;
  return {
    processId,
    database: openDatabase(databaseUrl, { max, applicationName: `flowkeep api ${processId}` }),
    engineDatabase: openDatabase(databaseUrl, { max, applicationName: `flowkeep engine ${processId}` }),
    metrics: createMetrics(),
    expressions: createExpressions(),
    box: createSecretBox(secretKeys(config.secretsKeys, authSecret)),
  };
}

/** The nouns. Those that blocks wait for come first, because the catalogue is part of everything else. */
async function buildDomain(options: RuntimeOptions, base: Foundation) {
  const { config, baseUrl, logger, now } = options;
  const { database, engineDatabase, expressions, box, metrics } = base;
  const waits: Pick<Engine, "hold" | "wake"> = {
    hold: (...wait) => engine.hold(...wait),
    wake: (...keys) => engine.wake(...keys),
  };
  const signals = new SignalService({ database, ...waits, now });
  const approvals = new ApprovalService({ database, ...waits, baseUrl, now });
  const children: Pick<ChildRuns, "start" | "find"> = {
    start: (...request) => childRuns.start(...request),
    find: (...wait) => childRuns.find(...wait),
  };
  const builtin = [...builtinConnectors(config), ...awaitingConnectors({ signals, approvals, children })];
  const warn = (message: string) => logger.warn(message);
  const loaded = await loadConnectors(config.connectorModules, process.cwd(), builtin, warn);
  const catalogue = createCatalogue([...builtin, ...loaded]);
  const secrets = new SecretService({ database, box, now });
  const workflows = new WorkflowService({
    database,
    catalogue,
    now,
    onRemoved: async (tx, organizationId, workflowId) => {
      await schedules.stopForWorkflow(tx, organizationId, workflowId);
      await webhooks.stopForWorkflow(tx, organizationId, workflowId);
    },
  });
  const findDocument = keepDocuments((...version) => workflows.findDocument(...version));
  const engine = buildEngine(options, base, { catalogue, secrets, findDocument });
  const changes = new RunChanges({ sql: database.sql, logger });
  const runReader = new RunReader({ database, engine, changes, findDocument });
  const runs = new RunService({ database, catalogue, engine, workflows, secrets, now });
  const childRuns = new ChildRuns({ database: engineDatabase, runs, engine });
  const onFired = measureFirings(metrics.registry);
  const schedules: ScheduleService = new ScheduleService({ database, workflows, runs, now, logger, onFired });
  const webhooks: WebhookService = new WebhookService({ database, workflows, box, baseUrl, now });
  const deliveries = new DeliveryService({ database, runs, runReader, expressions, box, now });
  const diagrams = new DiagramService({ workflows, runs: runReader, catalogue });
  return {
    ...{ signals, approvals, catalogue, secrets, workflows, engine, changes, runReader, runs },
    ...{ schedules, webhooks, deliveries, diagrams },
  };
}

function buildEngine(
  { config, databaseUrl, logger, now }: RuntimeOptions,
  { engineDatabase, expressions, metrics }: Foundation,
  parts: {
    readonly catalogue: Catalogue;
    readonly secrets: SecretService;
    readonly findDocument: Parameters<typeof createRunLoader>[1];
  },
): Engine {
  const { catalogue, secrets, findDocument } = parts;
  return createEngine({
    database: engineDatabase,
    listenUrl: databaseUrl,
    loadRun: createRunLoader(engineDatabase, findDocument),
    readSecrets: (organizationId, names) => secrets.reveal(engineDatabase.db, organizationId, names),
    expressions,
    catalogue,
    onAttempt: (type, record) =>
      metrics.timeAttempt(catalogue.get(type) === undefined ? "unknown" : type, record),
    concurrency: config.workerConcurrency,
    shutdownGraceMs: config.shutdownGraceMs,
    logger,
    now,
  });
}

/** Start and stop, in an order in which nothing loses what it stands on. */
function createLifecycle(
  { config, logger, now }: RuntimeOptions,
  { database, engineDatabase, metrics, expressions, box, processId }: Foundation,
  { engine, runs, runReader, changes, workflows, schedules, secrets, webhooks }: Domain,
  identity: Identity,
): Pick<Runtime, "start" | "endStreams" | "stop"> {
  const failureRuns = new FailureRuns({
    database: engineDatabase,
    runs,
    engine,
    workflows,
    listenOn: database.sql,
    logger,
  });
  let scheduler: Scheduler | null = null;
  let rotation: Promise<void> | null = null;
  let isStopping = false;
  return {
    async start() {
      rotation = rotateKeys({ box, values: { secrets, webhooks }, logger, isOver: () => isStopping }).catch(
        (error: unknown) => logger.error({ err: error }, "Sealing secrets anew failed."),
      );
      await changes.start();
      await reportRuns({ sql: database.sql, origin: processId, logger, onMilestone: metrics.countRun });
      if (hasWorker(config)) {
        await engine.start();
        await failureRuns.start();
      }
      if (hasScheduler(config)) {
        const holdRuns = (milliseconds: number) => engine.holdClaims(milliseconds);
        scheduler = await startScheduler({ schedules, runs, sql: database.sql, holdRuns, now, logger });
      }
    },
    endStreams: () => runReader.close(),
    async stop() {
      isStopping = true;
      runReader.close();
      await rotation;
      changes.stop();
      await scheduler?.stop();
      await failureRuns.stop();
      await engine.stop();
      await expressions.close();
      await identity.close();
      await Promise.all([database.close(), engineDatabase.close()]);
    },
  };
}
