import { BackendPostgres } from "openworkflow/postgres";
import type { Database, Transaction } from "../db/client.js";
import { cancelRuns, type RunKey } from "./database/cancel-runs.js";
import { holdParent, linkChild, type ParentLink } from "./database/children.js";
import { insertWakes } from "./database/wakes.js";
import { type AttemptPage, type AttemptPageRequest, listAttempts } from "./steps/attempts.js";
import { type RunOutcome, type RunProgress, readOutcome, readProgress } from "./steps/progress.js";
import { retryConnectionLoss } from "./worker/connection-retry.js";
import { type RunningWorker, startWorker, type WorkerOptions } from "./worker/worker.js";

export type { RunKey } from "./database/cancel-runs.js";
export type { RunError } from "./run-error.js";
export type { AttemptPage, AttemptPageRequest } from "./steps/attempts.js";
export type { RunOutcome } from "./steps/progress.js";
export type { LoadedRun } from "./walk/run-workflow.js";

/** How long a cancel is tried again while the database gives up on it, in milliseconds. */
const CANCEL_PATIENCE_MS = 5_000;

export interface EngineOptions extends WorkerOptions {
  /** Pool of the engine; the worker needs about ten connections for fifty runs at once. */
  readonly database: Database;
}

/** The engine refuses to cancel a run that has completed or failed. */
export class EngineRefusedError extends Error {
  override readonly name = "EngineRefusedError";
}

/**
 * The durable runtime. Without `start` it only changes and reads runs, which `enqueueSql` writes; workers may be other
 * processes.
 */
export interface Engine {
  /**
   * Ends the waits of these keys when the caller's transaction commits: those that have begun and those that will.
   * Waking twice, or after the wait has ended, does nothing.
   */
  wake(tx: Transaction, wakeKeys: readonly string[]): Promise<void>;
  /**
   * Keeps the run that a wait belongs to from ending until the transaction does, so that its end closes the wait.
   * @throws RunAbandonedError when it has ended.
   */
  hold(tx: Transaction, wakeKey: string): Promise<void>;
  /**
   * Binds a run to the one that waits for it, which the caller holds, in the transaction that writes it: the end of
   * either counts for the other.
   */
  link(tx: Transaction, runId: string, parent: ParentLink): Promise<void>;
  /**
   * Cancels a run and aborts its running steps; canceling a canceled run does nothing.
   * @throws EngineRefusedError when it has completed or failed.
   */
  cancel(runId: string): Promise<void>;
  /** Cancels those of the runs that have not ended, with one statement, when the caller's transaction commits. */
  cancelMany(tx: Transaction, runs: readonly RunKey[]): Promise<void>;
  /** Attempts of a run, oldest first. @throws AppError `invalid_body` for a bad cursor. */
  listAttempts(runId: string, request: AttemptPageRequest): Promise<AttemptPage>;
  readOutcome(runId: string): Promise<RunOutcome>;
  /** What the run came to and where each of its blocks stands, of one moment; null for a run that is gone. */
  readProgress(runId: string): Promise<RunProgress | null>;
  /** Starts working on runs. */
  start(): Promise<void>;
  /**
   * Leaves the machine to what is more urgent: a started worker claims no run for so many milliseconds from now, 0 ends
   * it; runs that it works on go on.
   */
  holdClaims(milliseconds: number): void;
  /** Claims nothing more, lets running steps finish within the grace time and gives unfinished runs back. */
  stop(): Promise<void>;
  /** Whether a started worker is able to claim runs; true without one. */
  isHealthy(): boolean;
}

/** Makes an engine; nothing runs before `start`. */
export function createEngine(options: EngineOptions): Engine {
  const { sql } = options.database;
  const backend = BackendPostgres.fromPool(sql);
  let worker: RunningWorker | null = null;
  return {
    wake: (tx, wakeKeys) => insertWakes(tx.sql, wakeKeys),

    hold: (tx, wakeKey) => holdParent(tx.sql, wakeKey),

    link: (tx, runId, parent) => linkChild(tx.sql, runId, parent),

    async cancel(runId) {
      try {
        // Ends of runs and of their children may wait for each other in a circle, which the database breaks.
        const giveUpAt = performance.now() + CANCEL_PATIENCE_MS;
        await retryConnectionLoss(
          () => backend.cancelWorkflowRun({ workflowRunId: runId }),
          () => performance.now() > giveUpAt,
        );
      } catch (error) {
        const run = await backend.getWorkflowRun({ workflowRunId: runId });
        if (run?.status !== "completed" && run?.status !== "failed") throw error;
        throw new EngineRefusedError(`The run ${runId} is ${run.status}; it cannot be canceled.`);
      }
    },

    cancelMany: (tx, runs) => cancelRuns(tx.sql, runs),

    listAttempts: (runId, request) => listAttempts(sql, runId, request),

    readProgress: (runId) => readProgress(sql, runId),

    readOutcome: (runId) => readOutcome(sql, runId),

    async start() {
      worker ??= await startWorker(options);
    },

    async stop() {
      await worker?.stop();
      worker = null;
    },

    holdClaims: (milliseconds) => worker?.holdClaims(milliseconds),

    isHealthy: () => worker === null || worker.isHealthy(),
  };
}
