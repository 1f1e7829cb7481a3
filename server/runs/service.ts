import { randomUUID } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import type { Principal } from "../auth/principal.js";
import type { Database, Db, Sql, Transaction } from "../db/client.js";
import { type Page, type PageRequest, pageWindow } from "../db/page.js";
import { isUuid } from "../db/uuid.js";
import { DONE_CHANNEL, parseDone } from "../engine/database/install-sql.js";
import { type Engine, EngineRefusedError, type RunKey } from "../engine/engine.js";
import { AppError } from "../errors/app-error.js";
import type { WorkflowKey } from "../workflows/version-store.js";
import {
  type CheckedRun,
  RunChecks,
  type RunChecksOptions,
  type Runnable,
  type RunRequest,
} from "./run-checks.js";
import type { RunState } from "./run-kinds.js";
import * as store from "./store.js";

/** The run that a new run ends the wait of. */
export interface ParentRun {
  readonly wakeKey: string;
  readonly runId: string;
}

export interface RunServiceOptions extends RunChecksOptions {
  readonly database: Database;
  readonly engine: Engine;
  readonly now: () => Date;
}

/** Thrown by a dispatch whose idempotency key, or whose parent's wait, has a run already. */
export class KeyTaken extends Error {}

/** Runs of an organization: durable dispatch, list and cancel. */
export class RunService {
  readonly #options: RunServiceOptions;
  readonly #checks: RunChecks;

  constructor(options: RunServiceOptions) {
    this.#options = options;
    this.#checks = new RunChecks(options);
  }

  /**
   * Starts a run; when this returns, the run is durable and will be executed once. A key that has a run already gives
   * that run, also when the workflow could not run any more.
   * @throws AppError `not_found`, `workflow_invalid`, `idempotency_key_reused`, `dispatch_failed`.
   */
  async start(organizationId: string, request: RunRequest): Promise<{ readonly runId: string }> {
    let run: CheckedRun;
    try {
      run = await this.check(this.#options.database.db, organizationId, request);
    } catch (refusal) {
      const cannotRun =
        refusal instanceof AppError && ["workflow_invalid", "dispatch_failed"].includes(refusal.errorCode);
      const first = cannotRun ? await this.#findFirst(organizationId, request) : null;
      if (first === null) throw refusal;
      return { runId: first };
    }
    try {
      return { runId: await this.dispatch(this.#options.database, run) };
    } catch (cause) {
      const first = cause instanceof KeyTaken ? await this.#findFirst(organizationId, run) : null;
      if (first === null) throw new AppError("dispatch_failed", { cause });
      return { runId: first };
    }
  }

  /** @throws AppError `invalid_body` for a bad cursor. */
  async list(principal: Principal, request: PageRequest & store.RunFilter): Promise<Page<store.RunSummary>> {
    const window = pageWindow(request);
    if (request.workflowId !== undefined && !isUuid(request.workflowId)) {
      return { data: [], pagination: { next: null, prev: null } };
    }
    return store.listRuns(this.#options.database.db, principal.organizationId, window, request);
  }

  /** Cancels; canceling a canceled run is fine. @throws AppError `not_found`, `cancel_failed`. */
  async cancel(principal: Principal, runId: string): Promise<void> {
    const { id, state } = await this.#requireRun(principal, runId);
    try {
      await this.#options.engine.cancel(id);
    } catch (cause) {
      const message =
        cause instanceof EngineRefusedError
          ? `The run has ended (${state}) and cannot be canceled any more.`
          : undefined;
      throw new AppError("cancel_failed", { cause, ...(message === undefined ? {} : { message }) });
    }
  }

  /** As `RunChecks.check`: whether a run may start, and what it is pinned to. */
  check(db: Db, organizationId: string, request: RunRequest): Promise<CheckedRun> {
    return this.#checks.check(db, organizationId, request);
  }

  /** As `RunChecks.checkNewest`. */
  checkNewest(db: Db, keys: readonly WorkflowKey[]): Promise<(Runnable | AppError)[]> {
    return this.#checks.checkNewest(db, keys);
  }

  /**
   * Writes the engine's run and ours with one statement, in the caller's transaction if there is one; returns the id. A
   * run with a parent needs one. Throws `KeyTaken`, also when the parent's wait has a run already.
   */
  async dispatch(tx: Transaction, run: CheckedRun, parent: ParentRun | null = null): Promise<string> {
    const { engine, now } = this.#options;
    const id = randomUUID();
    if (parent !== null) await engine.hold(tx, parent.wakeKey);
    const isWritten = await store.insertRun(tx.db, run.organizationId, {
      ...newRun(run, id, now()),
      parentWait: parent?.wakeKey ?? null,
    });
    if (!isWritten) throw new KeyTaken();
    if (parent !== null) await engine.link(tx, id, { wakeKey: parent.wakeKey, rootRunId: parent.runId });
    return id;
  }

  /**
   * As `dispatch` for any number of runs of schedules without keys, under ids of the caller's, with one statement. One
   * whose input is null gets the payload of its schedule.
   */
  async dispatchMany(
    tx: Transaction,
    runs: readonly (CheckedRun & { readonly id: string })[],
  ): Promise<void> {
    const now = this.#options.now();
    await store.insertRuns(
      tx.db,
      runs.map((run) => ({ ...newRun(run, run.id, now), organizationId: run.organizationId })),
    );
  }

  /** The run that an idempotency key of the workflow belongs to, or null. */
  findByKey(organizationId: string, workflowId: string, idempotencyKey: string) {
    return store.findRunByKey(this.#options.database.db, organizationId, workflowId, idempotencyKey);
  }

  /** Runs that the schedules have started and that have not ended, oldest first. */
  listActiveOfSchedules(db: Db, schedules: readonly store.ScheduleKey[]): Promise<store.RunOfSchedule[]> {
    return store.listActiveOfSchedules(db, schedules);
  }

  /** Those of the runs that have ended or are gone. */
  async listEnded(db: Db, runIds: readonly string[]): Promise<string[]> {
    const active = new Set(await store.listActive(db, runIds));
    return runIds.filter((runId) => !active.has(runId));
  }

  /** Lets a repeated request with an idempotency key pass. @throws AppError `idempotency_key_reused`: another input. */
  async requireInput(db: Db, organizationId: string, runId: string, input: unknown): Promise<void> {
    const run = await store.findRun(db, organizationId, runId);
    if (run !== null) requireSameInput(run, input);
  }

  /** Calls `onEnd` for every run that ends, in whatever process; a lost connection may lose some. */
  async listenForEnds(sql: Sql, onEnd: (runId: string, state: RunState) => void): Promise<void> {
    await sql.listen(DONE_CHANNEL, (payload) => {
      const { runId, status } = parseDone(payload);
      onEnd(runId, status);
    });
  }

  /** Cancels runs, each of its organization, when the caller's transaction commits; those that have ended stay so. */
  endMany(tx: Transaction, runs: readonly RunKey[]): Promise<void> {
    return this.#options.engine.cancelMany(tx, runs);
  }

  /** The run that already has the request's key, or null. @throws AppError `idempotency_key_reused`: another input. */
  async #findFirst(organizationId: string, request: RunRequest): Promise<string | null> {
    const { workflowId, idempotencyKey, input } = request;
    if (idempotencyKey === null) return null;
    const first = await this.findByKey(organizationId, workflowId, idempotencyKey);
    if (first === null) return null;
    requireSameInput(first, input);
    return first.id;
  }

  async #requireRun(principal: Principal, runId: string): Promise<store.StoredRun> {
    const run = await store.findRun(this.#options.database.db, principal.organizationId, runId);
    if (run === null) throw new AppError("not_found");
    return run;
  }
}

function newRun(run: CheckedRun, id: string, now: Date): store.NewRun {
  const { workflowId, workflowVersion, versionId, input, trigger, idempotencyKey, createdBy, settings } = run;
  // What a failure starts starts nothing further when it fails itself.
  const failureWorkflowId = trigger.kind === "failure" ? null : (settings.onFailure?.workflowId ?? null);
  return {
    id,
    workflowId,
    workflowVersion,
    versionId,
    input,
    trigger,
    idempotencyKey,
    createdBy,
    requestedBy: run.requestedBy ?? null,
    depth: run.depth ?? 0,
    deadlineMs: settings.deadlineMs ?? null,
    failureWorkflowId,
    now,
  };
}

/** @throws AppError `idempotency_key_reused` when the run that the key belongs to has another input. */
function requireSameInput(first: { readonly id: string; readonly input: unknown }, input: unknown): void {
  // The stored input has been through JSON, which knows no negative zero.
  if (isDeepStrictEqual(first.input, JSON.parse(JSON.stringify(input)))) return;
  throw new AppError("idempotency_key_reused", { details: { runId: first.id } });
}
