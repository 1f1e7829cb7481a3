import type { Logger } from "pino";
import type { Database, Sql, Transaction } from "../db/client.js";
import type { Engine } from "../engine/engine.js";
import { coalesceWork } from "../engine/worker/coalesced-work.js";
import { AppError } from "../errors/app-error.js";
import type { WorkflowService } from "../workflows/service.js";
import type { CheckedRun, RunRequest } from "./run-checks.js";
import { MAX_RUN_DEPTH } from "./run-kinds.js";
import type { RunService } from "./service.js";
import * as store from "./store.js";

/** Longest pause between two looks, in milliseconds; covers lost notifications. */
const LOOK_INTERVAL_MS = 10_000;

export interface FailureRunsOptions {
  readonly database: Database;
  readonly runs: RunService;
  readonly engine: Engine;
  readonly workflows: WorkflowService;
  /** Pool whose connection listens for failed runs. */
  readonly listenOn: Sql;
  readonly logger: Logger;
}

/**
 * Starts the workflow that `settings.onFailure` names for every run that fails, exactly once however it failed: the
 * run is written in the transaction that marks the failed one as done.
 */
export class FailureRuns {
  readonly #options: FailureRunsOptions;
  readonly #looks = coalesceWork(() => this.#look());
  #timer: NodeJS.Timeout | null = null;
  #isStopped = false;

  constructor(options: FailureRunsOptions) {
    this.#options = options;
  }

  /** Looks now, whenever a run has failed, and every 10 s. */
  async start(): Promise<void> {
    const { runs, listenOn } = this.#options;
    await runs.listenForEnds(listenOn, (_runId, state) => {
      if (state === "failed") this.#looks.request();
    });
    this.#timer = setInterval(() => this.#looks.request(), LOOK_INTERVAL_MS);
    this.#looks.request();
  }

  /** Resolves once what is being started is written. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    if (this.#timer !== null) clearInterval(this.#timer);
    await this.#looks.settle();
  }

  async #look(): Promise<void> {
    const { database, logger } = this.#options;
    try {
      while (!this.#isStopped && (await database.transaction((tx) => this.#startNext(tx))));
    } catch (error) {
      logger.warn({ err: error }, "Starting what failed runs ask for failed; it is tried again.");
    }
  }

  /** False when no failed run asks for anything. */
  async #startNext(tx: Transaction): Promise<boolean> {
    const { runs, logger } = this.#options;
    const failed = await store.takeFailedRun(tx.db);
    if (failed === null) return false;
    const { id, organizationId, failureWorkflowId } = failed;
    try {
      const run = await this.#check(tx, failed);
      await store.closeFailedRun(tx.db, organizationId, id, await runs.dispatch(tx, run));
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      logger.warn(
        { runId: id, workflowId: failureWorkflowId, code: error.errorCode },
        "The workflow for failed runs cannot run.",
      );
      await store.closeFailedRun(tx.db, organizationId, id, null);
    }
    return true;
  }

  /** @throws AppError when the workflow cannot run, `limit_exceeded` when runs would start each other without end. */
  async #check(tx: Transaction, failed: store.FailedRun): Promise<CheckedRun> {
    const { id, organizationId, failureWorkflowId, workflowId, startedBy } = failed;
    const depth = failed.depth + 1;
    if (depth > MAX_RUN_DEPTH) throw new AppError("limit_exceeded", { details: { limit: MAX_RUN_DEPTH } });
    const description = await this.#describe(tx, failed);
    const request = (input: unknown): RunRequest => ({
      workflowId: failureWorkflowId,
      version: null,
      input,
      trigger: { kind: "failure", failedRunId: id, failedWorkflowId: workflowId },
      idempotencyKey: null,
      createdBy: startedBy,
      depth,
    });
    try {
      return await this.#options.runs.check(tx.db, organizationId, request(description));
    } catch (error) {
      if (!(error instanceof AppError && error.errorCode === "payload_too_large")) throw error;
      // An input that fits by itself may not fit beside the error; it stays with the failed run.
      const withoutInput = { ...description, input: null, isInputLeftOut: true };
      return this.#options.runs.check(tx.db, organizationId, request(withoutInput));
    }
  }

  async #describe(tx: Transaction, { id, organizationId, workflowId, versionId, input }: store.FailedRun) {
    const [{ error }, document] = await Promise.all([
      this.#options.engine.readOutcome(id),
      this.#options.workflows.findDocument(tx.db, organizationId, versionId),
    ]);
    return { runId: id, workflowId, workflowName: document?.metadata.name ?? null, error, input };
  }
}
