import type { BlockLogger } from "../connectors/define-connector.js";
import type { Connection } from "../workflows/document.js";
import {
  type AttemptContext,
  type BlockFailure,
  type BlockRecord,
  executeBlock,
  toBlockFailure,
  waitMsOf,
} from "./execute-block.js";
import { ERROR_HANDLE, type Plan, type PlannedBlock } from "./plan.js";
import { resolveValue, type ValueScope } from "./resolve-values.js";
import { backoffMs, retryPolicyOf } from "./retry-policy.js";
import { RunFailedError } from "./run-error.js";
import { backoffNameOf, stepNameOf, waitNameOf } from "./step-names.js";

/** Times a step may take its worker down before its block fails instead of running again. */
const MAX_CRASHES = 3;
/** Bytes and milliseconds after which pure blocks go on in a step of their own. */
const MAX_STEP_BYTES = 262_144;
const MAX_STEP_MS = 250;
/** Bytes that all outputs of a run may take as JSON. */
const MAX_RUN_BYTES = 16_777_216;

/** The durable primitives that the walk stands on; each name is used once per run. */
export interface DurableSteps {
  /** Runs `work` and keeps what it returns; on replay returns what was kept. */
  run(name: string, work: () => Promise<BlockRecord[]>): Promise<BlockRecord[]>;
  /** Returns once the time has passed; until then throws a park error, see `isPark`. */
  wait(name: string, milliseconds: number): Promise<void>;
  /** How often a worker died in the step. */
  crashesOf(name: string): number;
  /** Whether an error only says that the run waits. */
  isPark(error: unknown): error is Error & { readonly resumeAt: Date };
}

/** What a walk needs beside its document. */
export interface WalkOptions {
  readonly plan: Plan;
  readonly steps: DurableSteps;
  readonly organizationId: string;
  readonly runId: string;
  /** The run's input; null and absent count as `{}`. */
  readonly input: unknown;
  /** Aborts the steps that run; its reason is thrown on. */
  readonly signal: AbortSignal;
  readonly logFor: (blockId: string, attempt: number) => BlockLogger;
  readonly now: () => Date;
}

/** What a completed run leaves: the output of every block that ran. */
export interface RunOutput {
  readonly outputs: Readonly<Record<string, unknown>>;
}

/** How a block ended. A skipped block passes nothing on. */
type BlockResult =
  | { readonly state: "completed" }
  | { readonly state: "skipped" }
  /** Failed, but its `onError` lets the run go on; its output is `{error: {code, message}}`. */
  | { readonly state: "caught" }
  | { readonly state: "failed"; readonly error: BlockFailure; readonly attempt: number };

/**
 * Walks a document to its end, or to the point where it waits. Blocks without incoming connections all start;
 * another starts once everything upstream has settled and at least one taken path leads to it; branches run at the
 * same time. A connection is taken when its source has completed and its condition, if any, holds; after a failure
 * with `onError: continue` as well, and with `onError: branch` when it starts at the handle `error`, which a completed
 * block does not take. A disabled block is skipped, and so is what no taken path leads to. Replay-safe: the same
 * records give the same walk.
 * @throws the earliest park error while blocks wait, RunFailedError once nothing runs any more and a block has
 * failed, and any other error of the engine untouched.
 */
export async function walkDocument(options: WalkOptions): Promise<RunOutput> {
  const { plan, steps } = options;
  const walk = new Walk(options);
  const settled = await Promise.allSettled(plan.blocks.map((planned) => walk.settle(planned)));
  const reasons = settled.flatMap((outcome) => (outcome.status === "rejected" ? [outcome.reason] : []));
  for (const reason of reasons) {
    if (!steps.isPark(reason)) throw reason;
  }
  for (const [index, outcome] of settled.entries()) {
    const blockId = plan.blocks[index]?.block.id;
    if (outcome.status === "fulfilled" && outcome.value.state === "failed" && blockId !== undefined) {
      const { code, message } = outcome.value.error;
      throw new RunFailedError({ code, message, blockId, attempt: outcome.value.attempt });
    }
  }
  const parks = reasons.filter((reason) => steps.isPark(reason));
  if (parks.length > 0) {
    throw parks.reduce((first, park) => (park.resumeAt < first.resumeAt ? park : first));
  }
  return { outputs: walk.outputs };
}

class Walk {
  /** Outputs by block id, without a prototype: `__proto__` is a possible id. */
  readonly outputs: Record<string, unknown> = Object.create(null);
  private readonly options: WalkOptions;
  private readonly input: unknown;
  private readonly results = new Map<string, Promise<BlockResult>>();
  /** First attempts that ran in the step of an upstream block. */
  private readonly folded = new Map<string, BlockRecord>();
  private bytes = 0;

  constructor(options: WalkOptions) {
    this.options = options;
    this.input = options.input ?? {};
  }

  /** How the block ends; every call gives the same promise. */
  settle(planned: PlannedBlock): Promise<BlockResult> {
    const { id } = planned.block;
    const known = this.results.get(id);
    if (known !== undefined) return known;
    const result = this.settleOnce(planned);
    this.results.set(id, result);
    return result;
  }

  private async settleOnce(planned: PlannedBlock): Promise<BlockResult> {
    const { block, incoming } = planned;
    const taken = await Promise.all(incoming.map((connection) => this.isTaken(connection)));
    const isReached = incoming.length === 0 || taken.includes(true);
    return block.enabled && isReached ? this.runBlock(planned) : { state: "skipped" };
  }

  private async isTaken({ source, sourceHandle, condition }: Connection): Promise<boolean> {
    const planned = this.options.plan.get(source);
    const { state } = await this.settle(planned);
    const isErrorHandle = sourceHandle === ERROR_HANDLE;
    const leadsOn =
      state === "completed"
        ? !isErrorHandle
        : state === "caught" && (planned.block.onError === "continue" || isErrorHandle);
    return leadsOn && (condition === undefined || Boolean(resolveValue(condition, this.scope(this.outputs))));
  }

  private async runBlock(planned: PlannedBlock): Promise<BlockResult> {
    const { block, connector } = planned;
    const policy = retryPolicyOf(block, connector);
    for (let attempt = 1; ; attempt += 1) {
      const record = await this.attempt(planned, attempt);
      if (record.ok) {
        this.outputs[block.id] = record.output;
        this.bytes += record.bytes;
        return { state: "completed" };
      }
      const { error } = record;
      if (!error.isRetryable || attempt >= policy.maxAttempts) return this.fail(planned, error, attempt);
      await this.options.steps.wait(
        backoffNameOf(block.id, attempt),
        backoffMs(policy, attempt, error.retryAfterMs),
      );
    }
  }

  private fail({ block }: PlannedBlock, error: BlockFailure, attempt: number): BlockResult {
    if (block.onError === undefined || block.onError === "fail") return { state: "failed", error, attempt };
    const { code, message } = error;
    this.outputs[block.id] = { error: { code, message } };
    return { state: "caught" };
  }

  private async attempt(planned: PlannedBlock, attempt: number): Promise<BlockRecord> {
    const { id } = planned.block;
    const folded = attempt === 1 ? this.folded.get(id) : undefined;
    if (folded !== undefined) return folded;
    const name = stepNameOf(id, attempt);
    if (planned.connector?.kind === "wait") {
      const failure = await this.waitOut(planned);
      if (failure !== null) return this.keep(name, async () => [this.failed(planned, attempt, failure)]);
    }
    return this.keep(name, () => this.runStep(planned, attempt, name));
  }

  /** Parks until the time of a wait block has come; gives the failure of one that cannot tell its time. */
  private async waitOut(planned: PlannedBlock): Promise<BlockFailure | null> {
    let milliseconds: number;
    try {
      milliseconds = waitMsOf(planned, this.scope(this.outputs), this.options.now());
    } catch (error) {
      return toBlockFailure(error);
    }
    await this.options.steps.wait(waitNameOf(planned.block.id), milliseconds);
    return null;
  }

  private async keep(name: string, work: () => Promise<BlockRecord[]>): Promise<BlockRecord> {
    const [first, ...rest] = await this.options.steps.run(name, work);
    if (first === undefined) throw new Error(`The step ${name} holds no record.`);
    for (const record of rest) this.folded.set(record.id, record);
    return first;
  }

  /** The block, then the pure blocks that need nothing else: a durable step costs more than most of them. */
  private async runStep(planned: PlannedBlock, attempt: number, name: string): Promise<BlockRecord[]> {
    const crashes = this.options.steps.crashesOf(name);
    if (crashes >= MAX_CRASHES) {
      const message = `The server stopped ${crashes} times while this block ran, so it is not tried again.`;
      const failure = { code: "worker_crashed", message, isRetryable: false, retryAfterMs: null };
      return [this.failed(planned, attempt, failure)];
    }
    const startedAt = performance.now();
    const first = await executeBlock(planned, this.contextOf(planned, attempt, this.outputs, this.bytes));
    const records = [first];
    // After a crash every block gets its own step, so that the guilty one is known.
    const followers = crashes === 0 && first.ok ? this.options.plan.followers(planned.block.id) : [];
    if (!first.ok || followers.length === 0) return records;
    const outputs: Record<string, unknown> = Object.assign(Object.create(null), this.outputs);
    const done = new Set([first.id]);
    outputs[first.id] = first.output;
    let bytes = first.bytes;
    for (const follower of followers) {
      if (bytes > MAX_STEP_BYTES || performance.now() - startedAt > MAX_STEP_MS) break;
      if (!follower.incoming.every(({ source }) => done.has(source))) continue;
      const record = await executeBlock(follower, this.contextOf(follower, 1, outputs, this.bytes + bytes));
      records.push(record);
      if (!record.ok) continue;
      done.add(record.id);
      outputs[record.id] = record.output;
      bytes += record.bytes;
    }
    return records;
  }

  private contextOf(
    { block }: PlannedBlock,
    attempt: number,
    outputs: Readonly<Record<string, unknown>>,
    usedBytes: number,
  ): AttemptContext {
    const { organizationId, runId, signal, logFor, now } = this.options;
    return {
      organizationId,
      runId,
      attempt,
      scope: this.scope(outputs),
      signal,
      remainingBytes: MAX_RUN_BYTES - usedBytes,
      log: logFor(block.id, attempt),
      now,
    };
  }

  private scope(outputs: Readonly<Record<string, unknown>>): ValueScope {
    const { variables, nameToId } = this.options.plan;
    return { trigger: this.input, vars: variables, outputs, nameToId };
  }

  private failed({ block }: PlannedBlock, attempt: number, error: BlockFailure): BlockRecord {
    const instant = this.options.now().toISOString();
    return { id: block.id, attempt, startedAt: instant, finishedAt: instant, ok: false, error };
  }
}
