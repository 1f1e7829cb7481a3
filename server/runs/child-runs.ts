import { type AwaitContext, BlockError } from "../connectors/define-connector.js";
import type { Database } from "../db/client.js";
import { isUuid } from "../db/uuid.js";
import type { Engine, RunError } from "../engine/engine.js";
import { AppError } from "../errors/app-error.js";
import type { CheckedRun } from "./run-checks.js";
import { MAX_RUN_DEPTH, type RunState } from "./run-kinds.js";
import { KeyTaken, type RunService } from "./service.js";
import * as store from "./store.js";

/** What a block starts. */
export interface ChildRequest {
  readonly workflowId: string;
  /** Absent: the newest version. */
  readonly version: number | null;
  readonly input: unknown;
}

/** What a child run has come to so far. */
export interface ChildRun {
  readonly runId: string;
  readonly state: RunState;
  /** Outputs by block id of a completed child. */
  readonly outputs: Readonly<Record<string, unknown>> | null;
  /** The error of a failed one, with the block where one is to blame. */
  readonly error: RunError | null;
}

export interface ChildRunsOptions {
  readonly database: Database;
  readonly runs: RunService;
  readonly engine: Engine;
}

/** Runs that blocks of other runs start and wait for. */
export class ChildRuns {
  readonly #options: ChildRunsOptions;

  constructor(options: ChildRunsOptions) {
    this.#options = options;
  }

  /**
   * Starts a run of the block's organization whose end wakes the block, once however often it is called.
   * @throws BlockError `workflow_not_found`, `workflow_invalid`, `dispatch_failed`, `recursion_limit`.
   */
  async start(context: AwaitContext, request: ChildRequest): Promise<void> {
    const { database, runs } = this.#options;
    const { organizationId, runId, blockId, wakeKey } = context;
    if ((await store.findChild(database.db, organizationId, wakeKey)) !== null) return;
    const depth = (await store.findDepth(database.db, organizationId, runId)) + 1;
    if (depth > MAX_RUN_DEPTH) {
      throw new BlockError(
        "recursion_limit",
        `workflowId: this would be the run ${depth} levels below the first; runs may start each other ${MAX_RUN_DEPTH} levels deep.`,
      );
    }
    const child = await this.#check(context, {
      ...request,
      depth,
      trigger: { kind: "workflow", parentRunId: runId, parentBlockId: blockId },
    });
    try {
      await database.transaction((tx) => runs.dispatch(tx, child, { wakeKey, runId }));
    } catch (error) {
      if (!(error instanceof KeyTaken)) throw error;
    }
  }

  /** The run that the block has started, or null. */
  async find({ organizationId, wakeKey }: AwaitContext): Promise<ChildRun | null> {
    const child = await store.findChild(this.#options.database.db, organizationId, wakeKey);
    if (child === null) return null;
    const { output, error } = await this.#options.engine.readOutcome(child.id);
    return { runId: child.id, state: child.state, outputs: output?.outputs ?? null, error };
  }

  async #check(
    { organizationId, startedBy: createdBy }: AwaitContext,
    request: ChildRequest & Pick<CheckedRun, "trigger" | "depth">,
  ): Promise<CheckedRun> {
    const { workflowId, version } = request;
    try {
      if (!isUuid(workflowId)) throw new AppError("not_found");
      const run = { ...request, idempotencyKey: null, createdBy };
      return await this.#options.runs.check(this.#options.database.db, organizationId, run);
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      if (error.errorCode !== "not_found") {
        throw new BlockError(error.errorCode, `workflowId: ${workflowId} cannot run. ${error.message}`);
      }
      const what = version === null ? "" : ` with a version ${version}`;
      throw new BlockError(
        "workflow_not_found",
        `workflowId: this organization has no workflow ${workflowId}${what}; use the id of one of its workflows.`,
      );
    }
  }
}
