import { isDeepStrictEqual } from "node:util";
import { LRUCache } from "lru-cache";
import type { Principal } from "../auth/principal.js";
import type { Catalogue } from "../connectors/catalogue.js";
import type { Database, Db, Sql, Transaction } from "../db/client.js";
import { type Page, type PageRequest, pageWindow } from "../db/page.js";
import { isUuid } from "../db/uuid.js";
import { MAX_OUTPUT_BYTES } from "../engine/blocks/json-output.js";
import { DONE_CHANNEL, parseDone } from "../engine/database/install-sql.js";
import { type Engine, EngineRefusedError } from "../engine/engine.js";
import { AppError } from "../errors/app-error.js";
import type { SecretService } from "../secrets/service.js";
import type { Settings } from "../workflows/document.js";
import { type NeededSecret, neededSecrets } from "../workflows/secret-use.js";
import type { WorkflowService } from "../workflows/service.js";
import type { ValidationError } from "../workflows/validation-error.js";
import type { RunState, RunTrigger } from "./run-kinds.js";
import * as store from "./store.js";

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
  /** The user who asked for it; absent: nobody known beside `createdBy`. */
  readonly requestedBy?: string | null;
}

/** A request that was checked and may be written: the version it is pinned to. */
export interface CheckedRun extends RunRequest {
  readonly organizationId: string;
  readonly versionId: string;
  readonly workflowVersion: number;
  readonly settings: Settings;
}

/** The run that a new run ends the wait of. */
export interface ParentRun {
  readonly wakeKey: string;
  readonly runId: string;
  /** How many runs started each other to come to the new one. */
  readonly depth: number;
}

export interface RunServiceOptions {
  readonly database: Database;
  readonly catalogue: Catalogue;
  readonly engine: Engine;
  readonly workflows: WorkflowService;
  readonly secrets: Pick<SecretService, "findMissing">;
  readonly now: () => Date;
}

/** Rolls a dispatch back whose idempotency key, or whose parent's wait, has a run already. */
export class KeyTaken extends Error {}

/** Runs of an organization: durable dispatch, list and cancel. */
export class RunService {
  readonly #options: RunServiceOptions;
  /** Why a version cannot run; versions and the catalogue never change, so the verdict is kept. */
  readonly #verdicts = new LRUCache<
    string,
    {
      readonly isEmpty: boolean;
      readonly errors: ValidationError[];
      readonly secrets: readonly NeededSecret[];
      readonly settings: Settings;
    }
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
      const cannotRun =
        refusal instanceof AppError && ["workflow_invalid", "dispatch_failed"].includes(refusal.errorCode);
      const first = cannotRun ? await this.#findFirst(organizationId, request) : null;
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

  async #verdictOf(db: Db, organizationId: string, versionId: string) {
    const known = this.#verdicts.get(versionId);
    if (known !== undefined) return known;
    const document = await this.#options.workflows.findDocument(db, organizationId, versionId);
    if (document === null) throw new AppError("not_found");
    const verdict = {
      isEmpty: !document.blocks.some((block) => block.enabled),
      errors: this.#options.workflows.validate(document),
      secrets: neededSecrets(document, this.#options.catalogue),
      settings: document.settings ?? {},
    };
    this.#verdicts.set(versionId, verdict);
    return verdict;
  }

  /**
   * Decides whether a run may start; writes nothing.
   * @throws AppError `not_found` (workflow or version), `workflow_invalid`, `dispatch_failed` (a secret is missing),
   * `payload_too_large` (the input is larger than the output of the trigger may be).
   */
  async check(db: Db, organizationId: string, request: RunRequest): Promise<CheckedRun> {
    requireStorable(request.input);
    const found = await this.#options.workflows.findVersion(
      db,
      organizationId,
      request.workflowId,
      request.version,
    );
    if (found === null) throw absenceOf(request);
    const { isEmpty, errors, secrets, settings } = await this.#verdictOf(db, organizationId, found.versionId);
    if (isEmpty || errors.length > 0) {
      throw new AppError("workflow_invalid", {
        message: isEmpty
          ? "The workflow has no enabled block, so there is nothing to run."
          : `The workflow has ${errors.length} validation ${errors.length === 1 ? "error" : "errors"}: ${errors[0]?.error}`,
        details: { validation_errors: errors },
      });
    }
    await this.#requireSecrets(db, organizationId, secrets);
    const { versionId, version: workflowVersion } = found;
    return { ...request, organizationId, versionId, workflowVersion, settings };
  }

  /** Asks the database only when a block needs a secret. */
  async #requireSecrets(db: Db, organizationId: string, needed: readonly NeededSecret[]): Promise<void> {
    if (needed.length === 0) return;
    const names = [...new Set(needed.map(({ name }) => name))];
    const missing = await this.#options.secrets.findMissing(db, organizationId, names);
    const first = needed.find(({ name }) => missing.includes(name));
    if (first === undefined) return;
    throw new AppError("dispatch_failed", {
      message:
        `Block "${first.blockId}" (${first.blockType}) needs the secret ${first.name}, which this organization does ` +
        `not have; set it with PUT /api/secrets/${first.name}. No run exists.`,
    });
  }

  /**
   * Writes the engine's run and ours in the caller's transaction; returns the id. Throws `KeyTaken`, also when the
   * parent's wait has a run already.
   */
  async dispatch(tx: Transaction, run: CheckedRun, parent: ParentRun | null = null): Promise<string> {
    const now = this.#options.now();
    const id = await this.#options.engine.enqueue(tx, run, {
      parent: parent === null ? null : { wakeKey: parent.wakeKey, rootRunId: parent.runId },
      deadlineMs: run.settings.deadlineMs ?? null,
    });
    const isWritten = await store.insertRun(tx.db, run.organizationId, {
      ...newRun(run, id, now),
      ...(parent === null ? {} : { parentWait: parent.wakeKey, depth: parent.depth }),
    });
    if (!isWritten) throw new KeyTaken();
    return id;
  }

  /** As `dispatch` for any number of runs without keys, under ids of the caller's, with two statements. */
  async dispatchMany(
    tx: Transaction,
    runs: readonly (CheckedRun & { readonly id: string })[],
  ): Promise<void> {
    const now = this.#options.now();
    await this.#options.engine.enqueueMany(
      tx,
      runs.map((run) => ({ ...run, deadlineMs: run.settings.deadlineMs ?? null })),
    );
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

  /** Calls `onEnd` for every run that ends, in whatever process; a lost connection may lose some. */
  async listenForEnds(sql: Sql, onEnd: (runId: string, state: RunState) => void): Promise<void> {
    await sql.listen(DONE_CHANNEL, (payload) => {
      const { runId, status } = parseDone(payload);
      onEnd(runId, status);
    });
  }

  /** Cancels a run that has not ended, also when the caller's transaction fails; one that has ended stays as it is. */
  async end(db: Db, organizationId: string, runId: string): Promise<void> {
    const run = await store.findRun(db, organizationId, runId);
    if (run === null || run.finishedAt !== null) return;
    try {
      await this.#options.engine.cancel(runId);
    } catch (error) {
      if (!(error instanceof EngineRefusedError)) throw error;
    }
  }

  /** The run that already has the request's key, or null. @throws AppError `idempotency_key_reused`: another input. */
  async #findFirst(organizationId: string, request: RunRequest): Promise<string | null> {
    const { workflowId, idempotencyKey, input } = request;
    if (idempotencyKey === null) return null;
    const first = await this.findByKey(organizationId, workflowId, idempotencyKey);
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

/** The same for a workflow of another organization. */
function absenceOf({ version }: RunRequest): AppError {
  if (version === null) return new AppError("not_found");
  return new AppError("not_found", {
    message: `There is no such workflow with a version ${version}; GET /api/workflows/{id}/versions lists its versions.`,
  });
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
    failureWorkflowId,
    now,
  };
}

/** The trigger's output is the input, so a larger one could only fail there. Numbers may grow when they are written. */
function requireStorable(input: unknown): void {
  const bytes = Buffer.byteLength(JSON.stringify(input ?? {}));
  if (bytes <= MAX_OUTPUT_BYTES) return;
  throw new AppError("payload_too_large", {
    message: `The input of the run has ${bytes} bytes as JSON; ${MAX_OUTPUT_BYTES} are allowed. Send less of it.`,
    details: { limitBytes: MAX_OUTPUT_BYTES },
  });
}
