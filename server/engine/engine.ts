import { BackendPostgres } from "openworkflow/postgres";
import type { Database, Transaction } from "../db/client.js";
import { type AttemptPage, type AttemptPageRequest, listAttempts } from "./attempts.js";
import { ENGINE_NAMESPACE } from "./install-sql.js";
import { type RunError, toRunError } from "./run-error.js";
import { RUN_WORKFLOW, type RunPointer } from "./run-workflow.js";
import type { RunOutput } from "./walk-document.js";
import { type RunningWorker, startWorker, type WorkerOptions } from "./worker.js";

export type { AttemptPage, AttemptPageRequest } from "./attempts.js";
export type { RunError } from "./run-error.js";
export type { LoadedRun } from "./run-workflow.js";
export type { RunOutput } from "./walk-document.js";

export interface EngineOptions extends WorkerOptions {
  /** Pool of the engine; the worker needs about ten connections for fifty runs at once. */
  readonly database: Database;
}

/** What a run came to: the output of a completed run, the error of a failed one, nulls for any other. */
export interface RunOutcome {
  readonly output: RunOutput | null;
  readonly error: RunError | null;
}

/** The engine refuses to cancel a run that has completed or failed. */
export class EngineRefusedError extends Error {
  override readonly name = "EngineRefusedError";
}

/** The durable runtime. Without `start` it only writes and reads runs; workers may be other processes. */
export interface Engine {
  /** Writes the engine's run in the caller's transaction and returns its id; it starts when that commits. */
  enqueue(tx: Transaction, run: RunPointer): Promise<string>;
  /**
   * Cancels a run and aborts its running steps; canceling a canceled run does nothing.
   * @throws EngineRefusedError when it has completed or failed.
   */
  cancel(runId: string): Promise<void>;
  /** Attempts of a run, oldest first. @throws AppError `invalid_body` for a bad cursor. */
  listAttempts(runId: string, request: AttemptPageRequest): Promise<AttemptPage>;
  readOutcome(runId: string): Promise<RunOutcome>;
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
    async enqueue(tx, { organizationId, workflowId, versionId }) {
      const run = await BackendPostgres.fromPool(tx.sql).createWorkflowRun({
        workflowName: RUN_WORKFLOW.name,
        version: RUN_WORKFLOW.version,
        idempotencyKey: null,
        config: {},
        context: null,
        input: { organizationId, workflowId, versionId },
        parentStepAttemptNamespaceId: null,
        parentStepAttemptId: null,
        availableAt: null,
        deadlineAt: null,
      });
      return run.id;
    },

    async cancel(runId) {
      try {
        await backend.cancelWorkflowRun({ workflowRunId: runId });
      } catch (error) {
        const run = await backend.getWorkflowRun({ workflowRunId: runId });
        if (run?.status !== "completed" && run?.status !== "failed") throw error;
        throw new EngineRefusedError(`The run ${runId} is ${run.status}; it cannot be canceled.`);
      }
    },

    listAttempts: (runId, request) => listAttempts(sql, runId, request),

    async readOutcome(runId) {
      const [row] = await sql<{ status: string; output: RunOutput | null; error: unknown }[]>`
        select status, output, error from openworkflow.workflow_runs
        where namespace_id = ${ENGINE_NAMESPACE} and id = ${runId}`;
      return {
        output: row?.status === "completed" ? row.output : null,
        error: row?.status === "failed" ? toRunError(row.error) : null,
      };
    },

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
