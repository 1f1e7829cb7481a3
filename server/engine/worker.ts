import { randomInt } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { Worker } from "openworkflow";
import { BackendPostgres } from "openworkflow/postgres";
import type { Logger } from "pino";
import type { Database, Sql } from "../db/client.js";
import { ActiveRuns } from "./active-runs.js";
import { retryConnectionLoss } from "./connection-retry.js";
import { DONE_CHANNEL, ENGINE_NAMESPACE, WAKE_CHANNEL } from "./install-sql.js";
import { handBackRun } from "./leases.js";
import type { ConnectorLookup } from "./plan.js";
import { createRunWorkflow, type LoadedRun } from "./run-workflow.js";
import { openSession, type Session } from "./session.js";
import { startSweeper } from "./sweeper.js";
import { createWorkerBackend } from "./worker-backend.js";
import { type TickResult, WorkerLoop } from "./worker-loop.js";

/** Time that aborted steps get to unwind, in milliseconds. */
const UNWIND_MS = 5_000;
/** A loop that has not ticked for this long is stuck, in milliseconds. */
const STUCK_MS = 10_000;

export interface WorkerOptions {
  readonly database: Database;
  /** The same database, for one connection that listens: not through a pooler that shares sessions. */
  readonly listenUrl: string;
  /** The run with its pinned document, or null when it is gone. */
  readonly loadRun: (organizationId: string, runId: string) => Promise<LoadedRun | null>;
  readonly catalogue: ConnectorLookup;
  /** Most runs worked on at the same time. */
  readonly concurrency: number;
  /** Time running steps get to finish on `stop`, in milliseconds. */
  readonly shutdownGraceMs: number;
  readonly logger: Logger;
  readonly now: () => Date;
}

/** A worker of this process. */
export interface RunningWorker {
  isHealthy(): boolean;
  stop(): Promise<void>;
}

/** Starts working on runs; resolves once other processes can see that this one lives. */
export async function startWorker(options: WorkerOptions): Promise<RunningWorker> {
  const { logger, now } = options;
  const { sql } = options.database;
  const number = randomInt(1, 2 ** 31 - 1);
  const activeRuns = new ActiveRuns();
  const claims = { isAsked: false, isFailing: false };
  let isOver = false;
  let session: Session | null = null;
  const retry = <T>(work: () => Promise<T>) => retryConnectionLoss(work, () => isOver);

  const worker = new Worker({
    concurrency: options.concurrency,
    workflows: [
      createRunWorkflow({
        loadRun: (organizationId, runId) => retry(() => options.loadRun(organizationId, runId)),
        connectors: options.catalogue,
        activeRuns,
        handBack: (runId) => retry(() => handBackRun(sql, runId, number)),
        logger,
        now,
      }),
    ],
    backend: createWorkerBackend({
      backend: BackendPostgres.fromPool(sql),
      sql,
      number,
      activeRuns,
      canClaim() {
        claims.isAsked = session?.isConnected() ?? false;
        return claims.isAsked;
      },
      onClaimFailed(error) {
        if (!claims.isFailing) logger.warn({ err: error }, "Claiming runs failed; it is tried again.");
        claims.isFailing = true;
      },
      onSlotFree: () => loop.wake(),
      isOver: () => isOver,
    }),
  });

  const loop = new WorkerLoop({
    async tick(): Promise<TickResult> {
      claims.isAsked = false;
      claims.isFailing = false;
      const claimed = await worker.tick().catch((error: unknown) => {
        logger.error({ err: error }, "Looking for due runs failed.");
        return 0;
      });
      return { claimed, isBlocked: !claims.isAsked || claims.isFailing };
    },
    untilDue: () => readUntilDue(sql).catch(() => null),
  });

  session = await openSession({
    url: options.listenUrl,
    number,
    logger,
    onConnected: () => loop.wake(),
    onNotification(channel, payload) {
      if (channel === WAKE_CHANNEL) loop.wakeAt(Number(payload));
      // A run that has ended while this process works on it was ended by somebody else.
      if (channel === DONE_CHANNEL) activeRuns.abandon(payload.split(":")[0] ?? "", "ended_elsewhere");
    },
  });
  const sweeper = startSweeper(sql, logger);
  loop.start();

  return {
    isHealthy: () => session.isConnected() && loop.idleMs() < STUCK_MS,
    async stop() {
      await loop.stop();
      await drain(worker, activeRuns, options.shutdownGraceMs);
      isOver = true;
      await sweeper.stop();
      await session.close();
    },
  };
}

/** Lets running steps finish within the grace time, then aborts them; every run that has not ended is given back. */
async function drain(worker: Worker, activeRuns: ActiveRuns, graceMs: number): Promise<void> {
  activeRuns.drain();
  const drained = worker.stop();
  if (await settlesWithin(drained, graceMs)) return;
  activeRuns.abandonAll();
  await settlesWithin(drained, UNWIND_MS);
}

/** Milliseconds until the next run is due by the database's clock; null when no run is. */
async function readUntilDue(sql: Sql): Promise<number | null> {
  const [row] = await sql<{ ms: number | null }[]>`
    select (extract(epoch from min(available_at) - now()) * 1000)::float8 as ms from openworkflow.workflow_runs
    where namespace_id = ${ENGINE_NAMESPACE} and status in ('pending', 'running', 'sleeping')
      and available_at is not null`;
  return row?.ms ?? null;
}

async function settlesWithin(promise: Promise<void>, milliseconds: number): Promise<boolean> {
  const timer = new AbortController();
  const isSettled = await Promise.race([
    promise.then(() => true),
    delay(milliseconds, false, { signal: timer.signal }).catch(() => false),
  ]);
  timer.abort();
  return isSettled;
}
