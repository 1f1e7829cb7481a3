import { randomUUID } from "node:crypto";
import type { Backend, StepAttempt, WorkflowRun } from "openworkflow/internal";
import type { BackendPostgres } from "openworkflow/postgres";
import type { Sql } from "../../db/client.js";
import { isConnectionLoss } from "../../errors/error-body.js";
import { ENGINE_NAMESPACE } from "../database/install-sql.js";
import { Parked } from "../steps/run-steps.js";
import { type ActiveRuns, RUN_ABANDONED } from "./active-runs.js";
import { ClaimGate, type Claims } from "./claim-gate.js";
import { retryConnectionLoss } from "./connection-retry.js";
import { releaseSlot, type WorkerNumber, workerPrefix } from "./leases.js";

/** openworkflow extends leases by this much twice per lease, in milliseconds. */
const LEASE_MS = 30_000;
/** A heartbeat gives up before the next one is due, in milliseconds. */
const HEARTBEAT_PATIENCE_MS = 14_000;

export interface WorkerBackendOptions {
  readonly backend: BackendPostgres;
  /** The pool behind `backend`. */
  readonly sql: Sql;
  readonly number: WorkerNumber;
  readonly activeRuns: ActiveRuns;
  /** Whether a run may be claimed now. */
  readonly canClaim: () => boolean;
  /** Called with why a claim failed. */
  readonly onClaimFailed: (error: unknown) => void;
  /** Called soon after a slot has become free. */
  readonly onSlotFree: () => void;
  /** Whether the process gives up on the database, at the end of a shutdown. */
  readonly isOver: () => boolean;
}

/**
 * The backend that openworkflow's worker sees. It differs from the plain one so: statements outlast a lost database
 * connection, `worker_id` names the process, claims go in waves and never fail, a run whose workflow returns `Parked`
 * sleeps instead of completing, and runs that were abandoned take no more records. A repeated statement is safe: each is
 * fenced by run, status and worker, and an attempt that was begun unheard is found again.
 */
export function createWorkerBackend(options: WorkerBackendOptions): Backend {
  const { backend, number, activeRuns } = options;
  const prefix = workerPrefix(number);
  const tag = <Params extends { readonly workerId: string }>(params: Params): Params => ({
    ...params,
    workerId: prefix + params.workerId,
  });
  const retry = <T>(work: () => Promise<T>) => retryConnectionLoss(work, options.isOver);
  const gate = new ClaimGate(createClaims(options, prefix));

  const overrides: Partial<Backend> = {
    claimWorkflowRun: ({ workerId }) => gate.request(workerId),
    extendWorkflowRunLease: (params) => extendLease(options, tag(params)),
    async getWorkflowRun(params) {
      const run = await retry(() => backend.getWorkflowRun(params));
      const { workerId } = run ?? {};
      return run === null
        ? null
        : {
            ...run,
            workerId: workerId?.startsWith(prefix) ? workerId.slice(prefix.length) : (workerId ?? null),
          };
    },
    async listStepAttempts(params) {
      // Nobody has walked a run that is claimed for the first time.
      if (activeRuns.isNew(params.workflowRunId)) return noAttempts;
      const page = await retry(() => backend.listStepAttempts(params));
      activeRuns.readHistory(params.workflowRunId, page.data);
      return page;
    },
    async createStepAttempt(params) {
      const refusal = activeRuns.refusalToStart(params.workflowRunId);
      if (refusal !== null) throw refusal;
      const mark = randomUUID();
      const marked = tag({ ...params, config: { mark } });
      let isRepeated = false;
      return retry(async () => {
        const begun = isRepeated ? await findMarked(options.sql, params.workflowRunId, mark) : null;
        isRepeated = true;
        return begun ?? backend.createStepAttempt(marked);
      });
    },
    async completeWorkflowRun({ output, ...params }) {
      const result: unknown = output;
      try {
        if (!(result instanceof Parked)) {
          return await retry(() => backend.completeWorkflowRun(tag({ ...params, output })));
        }
        const availableAt = result.until;
        return await retry(() => backend.sleepWorkflowRun(tag({ ...params, availableAt })));
      } finally {
        setImmediate(options.onSlotFree);
      }
    },
    async failWorkflowRun(params) {
      activeRuns.forget(params.workflowRunId, params.workerId);
      try {
        if (params.error.name === RUN_ABANDONED) return await letGo(options, tag(params));
        return await retry(() => backend.failWorkflowRun(tag(params)));
      } finally {
        setImmediate(options.onSlotFree);
      }
    },
    async failStepAttempt(params) {
      const refusal = activeRuns.refusalToRecord(params.workflowRunId);
      if (refusal !== null) throw refusal;
      return retry(() => backend.failStepAttempt(tag(params)));
    },
  };

  return new Proxy<Backend>(backend, {
    get(target, key) {
      const override: unknown = Reflect.get(overrides, key);
      if (override !== undefined) return override;
      const method: unknown = Reflect.get(target, key);
      if (typeof method !== "function") return method;
      return (params: unknown) =>
        retry(() => Reflect.apply(method, target, [hasWorkerId(params) ? tag(params) : params]));
    },
  });
}

const noAttempts: Awaited<ReturnType<Backend["listStepAttempts"]>> = {
  data: [],
  pagination: { next: null, prev: null },
};

function hasWorkerId(params: unknown): params is { readonly workerId: string } {
  return typeof params === "object" && params !== null && "workerId" in params;
}

/**
 * The attempt that was begun under a mark, or null: a wait that is written twice stays open on one of its rows and makes
 * its run due again and again.
 */
async function findMarked(sql: Sql, runId: string, mark: string): Promise<StepAttempt | null> {
  const [attempt] = await sql<StepAttempt[]>`
    select * from openworkflow.step_attempts
    where namespace_id = ${ENGINE_NAMESPACE} and workflow_run_id = ${runId} and config->>'mark' = ${mark}`;
  return attempt ?? null;
}

/** Claims that answer null instead of failing. */
function createClaims(
  { backend, sql, activeRuns, canClaim, onClaimFailed }: WorkerBackendOptions,
  prefix: string,
): Claims {
  /** Workers whose last claim may have been granted without our hearing of it; they hold no other run. */
  const doubtful = new Set<string>();
  return {
    async prepare() {
      if (!canClaim()) return false;
      try {
        for (const workerId of doubtful) {
          await releaseSlot(sql, workerId);
          doubtful.delete(workerId);
        }
        return true;
      } catch (error) {
        onClaimFailed(error);
        return false;
      }
    },
    async claim(slot) {
      const workerId = prefix + slot;
      try {
        const run = await backend.claimWorkflowRun({ workerId, leaseDurationMs: LEASE_MS });
        if (run !== null) activeRuns.claimed(run.id, slot, run.attempts === 1);
        return run;
      } catch (error) {
        doubtful.add(workerId);
        onClaimFailed(error);
        return null;
      }
    },
  };
}

/** Leaves a run that was abandoned to other workers, also where its lease still holds. */
async function letGo(
  { backend, sql, isOver }: WorkerBackendOptions,
  { workflowRunId, workerId }: Pick<Parameters<Backend["failWorkflowRun"]>[0], "workflowRunId" | "workerId">,
): Promise<WorkflowRun> {
  return retryConnectionLoss(async () => {
    await releaseSlot(sql, workerId);
    const run = await backend.getWorkflowRun({ workflowRunId });
    if (run === null) throw new Error(`The run ${workflowRunId} is gone.`);
    return run;
  }, isOver);
}

/** Extends a lease; a lease that is gone ends the pass over the run quietly. */
async function extendLease(
  { backend, activeRuns, isOver }: WorkerBackendOptions,
  params: Parameters<Backend["extendWorkflowRunLease"]>[0],
): ReturnType<Backend["extendWorkflowRunLease"]> {
  const startedAt = performance.now();
  try {
    return await retryConnectionLoss(
      () => backend.extendWorkflowRunLease(params),
      () => isOver() || performance.now() - startedAt > HEARTBEAT_PATIENCE_MS,
    );
  } catch (error) {
    if (!isConnectionLoss(error)) activeRuns.abandon(params.workflowRunId, "lease_lost");
    // openworkflow would print the error; nobody waits for this promise.
    return new Promise(() => {});
  }
}
