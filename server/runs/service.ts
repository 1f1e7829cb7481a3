import { isDeepStrictEqual } from "node:util";
import { LRUCache } from "lru-cache";
import type { Principal } from "../auth/principal.js";
import type { Catalogue } from "../connectors/catalogue.js";
import type { Database, Db, Transaction } from "../db/client.js";
import { type Page, type PageRequest, pageWindow } from "../db/page.js";
import { isUuid } from "../db/uuid.js";
import { type AttemptPage, type Engine, EngineRefusedError, type RunOutcome } from "../engine/engine.js";
import { AppError } from "../errors/app-error.js";
import type { WorkflowService } from "../workflows/service.js";
import { type ValidationError, validateDocument } from "../workflows/validate-document.js";
import type { RunTrigger } from "./run-kinds.js";
import * as store from "./store.js";

/** A run as clients read it. */
export type Run = store.StoredRun & RunOutcome;

/** What a new run is started with, whoever starts it. */
export interface RunRequest {
  readonly workflowId: string;
  /** Absent: the newest version. */
  readonly version: number | null;
  readonly input: unknown;
  readonly trigger: RunTrigger;
  readonly idempotencyKey: string | null;
  /** User, key or schedule id. */
  readonly createdBy: string;
}

/** A request that was checked and may be written: the version it is pinned to. */
export interface CheckedRun extends RunRequest {
  readonly organizationId: string;
  readonly versionId: string;
  readonly workflowVersion: number;
}

export interface RunServiceOptions {
  readonly database: Database;
  readonly catalogue: Catalogue;
  readonly engine: Engine;
  readonly workflows: WorkflowService;
  readonly now: () => Date;
}

/** Rolls a dispatch back whose idempotency key is taken. */
class KeyTaken extends Error {}

/** Runs of an organization: durable dispatch, reading, cancel and logs. */
export class RunService {
  readonly #options: RunServiceOptions;
  /** Why a version cannot run; versions and the catalogue never change, so the verdict is kept. */
  readonly #verdicts = new LRUCache<
    string,
    { readonly isEmpty: boolean; readonly errors: ValidationError[] }
  >({
    max: 1_000,
  });

  constructor(options: RunServiceOptions) {
    this.#options = options;
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
      const isInvalid = refusal instanceof AppError && refusal.errorCode === "workflow_invalid";
      const first = isInvalid ? await this.#findFirst(organizationId, request) : null;
      if (first === null) throw refusal;
      return { runId: first };
    }
    try {
      return { runId: await this.#options.database.transaction((tx) => this.dispatch(tx, run)) };
    } catch (cause) {
      const first = cause instanceof KeyTaken ? await this.#findFirst(organizationId, run) : null;
      if (first === null) throw new AppError("dispatch_failed", { cause });
      return { runId: first };
    }
  }

  /** @throws AppError `not_found`. */
  async get(principal: Principal, runId: string): Promise<Run> {
    if (!isUuid(runId)) throw new AppError("not_found");
    const [run, outcome] = await Promise.all([
      this.#requireRun(principal, runId),
      this.#options.engine.readOutcome(runId),
    ]);
    if (run.state !== "completed" && run.state !== "failed") return { ...run, output: null, error: null };
    // The run may have ended between the two reads; what it came to does not change any more.
    const isSeen = outcome.output !== null || outcome.error !== null;
    return { ...run, ...(isSeen ? outcome : await this.#options.engine.readOutcome(runId)) };
  }

  /** @throws AppError `invalid_body` for a bad cursor. */
  async list(principal: Principal, request: PageRequest & store.RunFilter): Promise<Page<store.RunSummary>> {
    const window = pageWindow(request);
    if (request.workflowId !== undefined && !isUuid(request.workflowId)) {
      return { data: [], pagination: { next: null, prev: null } };
    }
    return store.listRuns(this.#options.database.db, principal.organizationId, window, request);
  }

  /** Step attempts in order. @throws AppError `not_found`, `logs_failed`; `invalid_body` for a bad cursor. */
  async logs(
    principal: Principal,
    request: { readonly runId: string; readonly limit: number; readonly after?: string | undefined },
  ): Promise<AttemptPage> {
    const { id } = await this.#requireRun(principal, request.runId);
    try {
      return await this.#options.engine.listAttempts(id, request);
    } catch (cause) {
      if (cause instanceof AppError) throw cause;
      throw new AppError("logs_failed", { cause });
    }
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

  async #verdictOf(db: Db, organizationId: string, versionId: string) {
    const known = this.#verdicts.get(versionId);
    if (known !== undefined) return known;
    const document = await this.#options.workflows.findDocument(db, organizationId, versionId);
    if (document === null) throw new AppError("not_found");
    const verdict = {
      isEmpty: !document.blocks.some((block) => block.enabled),
      errors: validateDocument(document, this.#options.catalogue),
    };
    this.#verdicts.set(versionId, verdict);
    return verdict;
  }

  /**
   * Decides whether a run may start; writes nothing.
   * @throws AppError `not_found` (workflow or version), `workflow_invalid`.
   */
  async check(db: Db, organizationId: string, request: RunRequest): Promise<CheckedRun> {
    const found = await this.#options.workflows.findVersion(
      db,
      organizationId,
      request.workflowId,
      request.version,
    );
    if (found === null) throw new AppError("not_found");
    const { isEmpty, errors } = await this.#verdictOf(db, organizationId, found.versionId);
    if (isEmpty || errors.length > 0) {
      throw new AppError("workflow_invalid", {
        message: isEmpty
          ? "The workflow has no enabled block, so there is nothing to run."
          : `The workflow has ${errors.length} validation ${errors.length === 1 ? "error" : "errors"}: ${errors[0]?.error}`,
        details: { validation_errors: errors },
      });
    }
    return { ...request, organizationId, versionId: found.versionId, workflowVersion: found.version };
  }

  /** Writes the engine's run and ours in the caller's transaction; returns the id. Throws `KeyTaken`. */
  async dispatch(tx: Transaction, run: CheckedRun): Promise<string> {
    const { organizationId, workflowId, versionId } = run;
    const id = await this.#options.engine.enqueue(tx, { organizationId, workflowId, versionId });
    const { workflowVersion, input, trigger, idempotencyKey, createdBy } = run;
    const isWritten = await store.insertRun(tx.db, organizationId, {
      id,
      workflowId,
      workflowVersion,
      versionId,
      input,
      trigger,
      idempotencyKey,
      createdBy,
      now: this.#options.now(),
    });
    if (!isWritten) throw new KeyTaken();
    return id;
  }

  /** The run that already has the request's key, or null. @throws AppError `idempotency_key_reused`: another input. */
  async #findFirst(organizationId: string, request: RunRequest): Promise<string | null> {
    const { workflowId, idempotencyKey, input } = request;
    if (idempotencyKey === null) return null;
    const { db } = this.#options.database;
    const first = await store.findRunByKey(db, organizationId, workflowId, idempotencyKey);
    if (first === null) return null;
    // The stored input has been through JSON, which knows no negative zero.
    if (!isDeepStrictEqual(first.input, JSON.parse(JSON.stringify(input)))) {
      throw new AppError("idempotency_key_reused", { details: { runId: first.id } });
    }
    return first.id;
  }

  async #requireRun(principal: Principal, runId: string): Promise<store.StoredRun> {
    const run = await store.findRun(this.#options.database.db, principal.organizationId, runId);
    if (run === null) throw new AppError("not_found");
    return run;
  }
}
