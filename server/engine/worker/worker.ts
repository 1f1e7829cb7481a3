import { randomInt } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { Worker } from "openworkflow";
import { BackendPostgres } from "openworkflow/postgres";
import type { Logger } from "pino";
import type { Database } from "../../db/client.js";
import type { EvaluateFor } from "../blocks/execute-block.js";
import type { ReadSecrets } from "../blocks/resolve-params.js";
import { DONE_CHANNEL, parseDone, WAKE_CHANNEL } from "../database/install-sql.js";
import { WAIT_CHANNEL } from "../database/link-sql.js";
import { nudgeRun, runOfWake } from "../database/wakes.js";
import type { ConnectorLookup } from "../walk/plan.js";
import { createRunWorkflows, type LoadedRun } from "../walk/run-workflow.js";
import type { AttemptObserver } from "../walk/walk-options.js";
import { ActiveRuns } from "./active-runs.js";
import { retryConnectionLoss } from "./connection-retry.js";
import { expireRuns, readUntilDue } from "./due-runs.js";
import { handBackRun, type WorkerNumber } from "./leases.js";
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
  readonly readSecrets: ReadSecrets;
  readonly expressions: { evaluate: EvaluateFor };
  readonly catalogue: ConnectorLookup;
  /** Most runs worked on at the same time. */
  readonly concurrency: number;
  /** Time running steps get to finish on `stop`, in milliseconds. */
  readonly shutdownGraceMs: number;
  readonly onAttempt?: AttemptObserver | undefined;
  readonly logger: Logger;
  readonly now: () => Date;
}

/** A worker of this process. */
export interface RunningWorker {
  isHealthy(): boolean;
  /** Claims no run for so many milliseconds from now; 0 ends it. */
  holdClaims(milliseconds: number): void;
  stop(): Promise<void>;
}

/** What the parts of a worker share. */
interface WorkerState {
  readonly number: WorkerNumber;
  readonly activeRuns: ActiveRuns;
  readonly claims: { isAsked: boolean; isFailing: boolean; heldUntil: number };
  session: Session | null;
  /** Whether the process gives up on the database, at the end of a shutdown. */
  isOver: boolean;
  readonly retry: <T>(work: () => Promise<T>) => Promise<T>;
}

/** Starts working on runs; resolves once other processes can see that this one lives. */
export async function startWorker(options: WorkerOptions): Promise<RunningWorker> {
  const { logger } = options;
  const { sql } = options.database;
  const state: WorkerState = {
    number: randomInt(1, 2 ** 31 - 1),
    activeRuns: new ActiveRuns(),
    claims: { isAsked: false, isFailing: false, heldUntil: 0 },
    session: null,
    isOver: false,
    retry: (work) => retryConnectionLoss(work, () => state.isOver),
  };
  const worker = createWorker(options, state, () => loop.wake());
  const loop = createLoop(options, state, worker);
  const sweeper = startSweeper(sql, logger);
  const opening = openSession({
    url: options.listenUrl,
    number: state.number,
    logger,
    onConnected() {
      loop.wake();
      // Notifications may have been lost with the connection.
      state.activeRuns.missWakes();
      sweeper.sweep();
    },
    onNotification(channel, payload) {
      if (channel === WAKE_CHANNEL) loop.wakeAt(Number(payload));
      if (channel === WAIT_CHANNEL) wakeRun(options, state, payload);
      // A run that has ended while this process works on it was ended by somebody else.
      if (channel === DONE_CHANNEL) state.activeRuns.abandon(parseDone(payload).runId, "ended_elsewhere");
    },
  });
  // A worker that does not start leaves nothing running.
  const session = await opening.catch(async (error: unknown) => {
    await sweeper.stop();
    throw error;
  });
  state.session = session;
  loop.start();

  return {
    isHealthy: () => session.isConnected() && loop.idleMs() < STUCK_MS,
    holdClaims(milliseconds) {
      state.claims.heldUntil = Date.now() + milliseconds;
      loop.wakeAt(state.claims.heldUntil);
    },
    async stop() {
      await loop.stop();
      await drain(worker, state.activeRuns, options.shutdownGraceMs);
      state.isOver = true;
      await sweeper.stop();
      await session.close();
    },
  };
}

function createWorker(options: WorkerOptions, state: WorkerState, onSlotFree: () => void): Worker {
  const { logger, now } = options;
  const { sql } = options.database;
  const { activeRuns, claims, number, retry } = state;
  const backend = createWorkerBackend({
    backend: BackendPostgres.fromPool(sql),
    sql,
    number,
    activeRuns,
    canClaim() {
      claims.isAsked = state.session?.isConnected() === true && Date.now() >= claims.heldUntil;
      return claims.isAsked;
    },
    onClaimFailed(error) {
      if (!claims.isFailing) logger.warn({ err: error }, "Claiming runs failed; it is tried again.");
      claims.isFailing = true;
    },
    onSlotFree,
    isOver: () => state.isOver,
  });
  const workflows = createRunWorkflows({
    backend,
    database: options.database,
    loadRun: options.loadRun,
    readSecrets: options.readSecrets,
    evaluate: (...asked) => options.expressions.evaluate(...asked),
    connectors: options.catalogue,
    activeRuns,
    handBack: (runId) => retry(() => handBackRun(sql, runId, number)),
    retry,
    onAttempt: options.onAttempt,
    logger,
    now,
  });
  return new Worker({ concurrency: options.concurrency, workflows, backend });
}

function createLoop({ database, logger }: WorkerOptions, state: WorkerState, worker: Worker): WorkerLoop {
  const { claims } = state;
  return new WorkerLoop({
    async tick(): Promise<TickResult> {
      claims.isAsked = false;
      claims.isFailing = false;
      const claimed = await worker.tick().catch((error: unknown) => {
        logger.error({ err: error }, "Looking for due runs failed.");
        return 0;
      });
      // Claims enforce deadlines; without a free slot none is made.
      const isFull = !claims.isAsked && state.session?.isConnected() === true;
      if (isFull) await expireRuns(database.sql).catch(() => {});
      return { claimed, isBlocked: !claims.isAsked || claims.isFailing };
    },
    untilDue: () => readUntilDue(database.sql).catch(() => null),
  });
}

/** Ends a wait here and now if this process walks its run, and wakes the run if it is parked. */
function wakeRun({ database, logger }: WorkerOptions, state: WorkerState, wakeKey: string): void {
  const runId = runOfWake(wakeKey);
  state.activeRuns.wake(runId, wakeKey);
  state
    .retry(() => nudgeRun(database.sql, runId))
    .catch((error: unknown) =>
      logger.warn({ err: error, runId }, "Waking a run failed; the sweeper wakes it."),
    );
}

/** Lets running steps finish within the grace time, then aborts them; every run that has not ended is given back. */
async function drain(worker: Worker, activeRuns: ActiveRuns, graceMs: number): Promise<void> {
  activeRuns.drain();
  const drained = worker.stop();
  if (await settlesWithin(drained, graceMs)) return;
  activeRuns.abandonAll();
  await settlesWithin(drained, UNWIND_MS);
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
