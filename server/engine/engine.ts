import { randomUUID } from "node:crypto";
import { BackendPostgres } from "openworkflow/postgres";
import type { Database, Transaction } from "../db/client.js";
import { cancelRuns, type RunKey } from "./database/cancel-runs.js";
import { holdParent, linkChild, type ParentLink } from "./database/children.js";
import { enqueueRuns, type QueuedRun } from "./database/enqueue-runs.js";
import { insertWakes } from "./database/wakes.js";
import type { RunPointer } from "./run-pointer.js";
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

/** What a run may be bound to. */
export interface EnqueueOptions {
  /** The run that waits for this one: its end cancels this one, and this one's end wakes it. */
  readonly parent?: ParentLink | null;
  /** The run fails with `deadline_exceeded` when it has not ended by then, in milliseconds from now. */
  readonly deadlineMs?: number | null;
}

/** The durable runtime. Without `start` it only writes and reads runs; workers may be other processes. */
export interface Engine {
  /** Writes the engine's run in the caller's transaction and returns its id; it starts when that commits. */
  enqueue(tx: Transaction, run: RunPointer, more?: EnqueueOptions): Promise<string>;
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
  /** As `enqueue` for any number of runs under ids of the caller's, with one statement. */
  enqueueMany(tx: Transaction, runs: readonly QueuedRun[]): Promise<void>;
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
    async enqueue(tx, run, { parent = null, deadlineMs = null } = {}) {
      if (parent !== null) await holdParent(tx.sql, parent.wakeKey);
      const id = randomUUID();
      await enqueueRuns(tx.sql, [{ ...run, id, deadlineMs }]);
      if (parent !== null) await linkChild(tx.sql, id, parent);
      return id;
    },

    wake: (tx, wakeKeys) => insertWakes(tx.sql, wakeKeys),

    hold: (tx, wakeKey) => holdParent(tx.sql, wakeKey),

    enqueueMany: (tx, runs) => enqueueRuns(tx.sql, runs),

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

    isHealthy: () => worker === null || worker.isHealthy(),
  };
}
