import type { BlockLogger } from "../connectors/define-connector.js";
import type { Activity } from "./activity.js";
import {
  type AttemptContext,
  type BlockFailure,
  type BlockPhase,
  type BlockRecord,
  type Evaluate,
  executeBlock,
  type LoopPhases,
  timedOut,
  toBlockFailure,
  waitMsOf,
} from "./execute-block.js";
import type { Plan, PlannedBlock } from "./plan.js";
import type { ReadSecrets } from "./resolve-params.js";
import type { ValueScope } from "./resolve-values.js";
import { backoffMs, isTriedAgain, retryPolicyOf } from "./retry-policy.js";
import type { RunError } from "./run-error.js";
import type { RunSteps } from "./run-steps.js";
import { type ItemPath, type StepKind, stepNameOf } from "./step-names.js";
import { takenConnections } from "./taken-connections.js";

/** Times a step may take its worker down before its block fails instead of running again. */
const MAX_CRASHES = 3;
/** Bytes and milliseconds after which pure blocks go on in a step of their own. */
const MAX_STEP_BYTES = 262_144;
const MAX_STEP_MS = 250;
/** Bytes that all outputs of a run may take as JSON. */
export const MAX_RUN_BYTES = 16_777_216;
/** How long a wait without a limit lasts, in milliseconds: 365 days. */
export const UNLIMITED_WAIT_MS = 31_536_000_000;

/** Outputs by block id, without a prototype. */
export type Outputs = Record<string, unknown>;

/** Called for every attempt that was made here, with the type of its block, before it is recorded. */
export type AttemptObserver = (type: string, record: BlockRecord) => void;

/** What a walk needs beside its document. */
export interface WalkOptions {
  readonly plan: Plan;
  readonly steps: RunSteps;
  readonly organizationId: string;
  readonly workflowId: string;
  /** The run that clients see. */
  readonly runId: string;
  readonly startedBy: string;
  /** The run's input; null and absent count as `{}`. */
  readonly input: unknown;
  /** What blocks of the walk may reference beside each other. */
  readonly around: Readonly<Outputs>;
  readonly item: ItemPath;
  /** Aborts the steps that run; its reason is thrown on. */
  readonly signal: AbortSignal;
  readonly logFor: (blockId: string, attempt: number) => BlockLogger;
  readonly readSecrets: ReadSecrets;
  readonly evaluate: Evaluate;
  readonly loopOf: (planned: PlannedBlock, at: LoopPlace) => LoopPhases;
  readonly onAttempt?: AttemptObserver | undefined;
  readonly now: () => Date;
}

/** One attempt of a loop: what wakes it and what its body may reference. */
export interface LoopPlace {
  readonly wakeKey: string;
  readonly item: ItemPath;
  readonly visible: Readonly<Outputs>;
}

/** How a block ended. A skipped block passes nothing on. */
export type BlockResult =
  | { readonly state: "skipped" }
  | { readonly state: "ended"; readonly taken: ReadonlySet<number> }
  | { readonly state: "failed"; readonly error: RunError };

/** Runs blocks of one walk, each attempt as one durable step, and keeps their outputs. */
export class BlockRunner {
  /** Outputs of the blocks of this walk; `__proto__` is a possible id. */
  readonly outputs: Outputs = Object.create(null);
  bytes = 0;
  private readonly options: WalkOptions;
  private readonly activity: Activity;
  private readonly isMoot: (blockId: string) => boolean;
  private readonly visible: Outputs;
  /** First attempts that ran in the step of an upstream block. */
  private readonly folded = new Map<string, BlockRecord>();

  constructor(options: WalkOptions, activity: Activity, isMoot: (blockId: string) => boolean) {
    this.options = options;
    this.activity = activity;
    this.isMoot = isMoot;
    this.visible = Object.assign(Object.create(null), options.around);
  }

  /** Runs the block until it has completed or failed for good. */
  async run(planned: PlannedBlock): Promise<BlockResult> {
    const policy = retryPolicyOf(planned.block, planned.connector);
    for (let attempt = 1; ; attempt += 1) {
      const record = await this.attempt(planned, attempt);
      if (record.ok || !isTriedAgain(policy, attempt, record.error)) {
        // Records of the first release do not tell what was taken.
        const goesOn = record.ok || isCaught(planned.block);
        const isTold = !goesOn || record.taken !== undefined || record.conditionFailure !== undefined;
        return this.end(planned, isTold ? record : await this.conclude(planned, record, this.visible));
      }
      const { retryAfterMs } = record.error;
      await this.wait(planned, attempt, "backoff", async () => backoffMs(policy, attempt, retryAfterMs));
    }
  }

  /** What expressions and parameters may reference now. */
  scope(outputs: Readonly<Outputs> = this.visible): ValueScope {
    const { variables, nameToId } = this.options.plan;
    return { trigger: this.options.input ?? {}, vars: variables, outputs, nameToId };
  }

  private end({ block }: PlannedBlock, record: BlockRecord): BlockResult {
    const failure = record.conditionFailure ?? (record.ok || isCaught(block) ? null : record.error);
    if (failure !== null) {
      const { code, message } = failure;
      return { state: "failed", error: { code, message, blockId: block.id, attempt: record.attempt } };
    }
    const output = outputOf(record);
    this.outputs[block.id] = output;
    this.visible[block.id] = output;
    if (record.ok) this.bytes += record.bytes;
    return { state: "ended", taken: new Set(record.taken) };
  }

  private async attempt(planned: PlannedBlock, attempt: number): Promise<BlockRecord> {
    const { block, connector } = planned;
    const folded = attempt === 1 ? this.folded.get(block.id) : undefined;
    if (folded !== undefined) return folded;
    const isWaiting =
      connector?.kind === "wait" && !this.options.steps.isRecorded(this.name(planned, attempt));
    const failed = isWaiting ? await this.waitOut(planned, attempt) : null;
    return failed ?? this.step(planned, attempt, "end");
  }

  /** Waits as long as the block wants; gives the record of one that could not begin to. */
  private async waitOut(planned: PlannedBlock, attempt: number): Promise<BlockRecord | null> {
    const { connector } = planned;
    if (connector?.kind === "wait" && "waitMs" in connector) {
      try {
        const { organizationId, readSecrets, now } = this.options;
        const context = { organizationId, scope: this.scope(), readSecrets };
        await this.wait(planned, attempt, "wait", () => waitMsOf(planned, context, now()));
        return null;
      } catch (error) {
        this.options.signal.throwIfAborted();
        const failure = toBlockFailure(error);
        return this.step(planned, attempt, "end", failure);
      }
    }
    const opened = await this.step(planned, attempt, "open");
    if (!opened.ok) return opened;
    const { waitMs } = opened.output as { waitMs: number | null };
    if (waitMs === 0) return null;
    const { timeoutMs = UNLIMITED_WAIT_MS } = planned.block;
    const ownMs = waitMs ?? UNLIMITED_WAIT_MS;
    const isLimited = timeoutMs < ownMs;
    const limit = async () => Math.min(timeoutMs, ownMs);
    if (await this.wait(planned, attempt, "wait", limit, isLimited)) return null;
    return this.step(planned, attempt, "end", toBlockFailure(timedOut(timeoutMs)));
  }

  private wait(
    planned: PlannedBlock,
    attempt: number,
    kind: "wait" | "backoff",
    milliseconds: () => Promise<number>,
    isLimited = false,
  ): Promise<boolean> {
    const { id } = planned.block;
    const isWakeable = planned.connector?.kind === "wait" && !("waitMs" in planned.connector);
    return this.options.steps.wait(this.name(planned, attempt, kind), {
      milliseconds,
      isWakeable: kind === "wait" && isWakeable,
      isLimited,
      isMoot: () => this.isMoot(id),
      activity: this.activity,
    });
  }

  private async step(
    planned: PlannedBlock,
    attempt: number,
    phase: BlockPhase,
    failure: BlockFailure | null = null,
  ): Promise<BlockRecord> {
    const name = this.name(planned, attempt, phase === "open" ? "open" : "block");
    const [first, ...rest] = await this.activity.during(() =>
      this.options.steps.run(name, async () =>
        failure === null
          ? this.work(planned, attempt, phase, name)
          : [await this.conclude(planned, this.failed(planned, attempt, failure), this.visible)],
      ),
    );
    if (first === undefined) throw new Error(`The step ${name} holds no record.`);
    for (const record of rest) this.folded.set(record.id, record);
    return first;
  }

  /** The block, then the pure blocks that need nothing else: a durable step costs more than most of them. */
  private async work(
    planned: PlannedBlock,
    attempt: number,
    phase: BlockPhase,
    name: string,
  ): Promise<BlockRecord[]> {
    const crashes = this.options.steps.crashesOf(name);
    if (crashes >= MAX_CRASHES) {
      const message = `The server stopped ${crashes} times while this block ran, so it is not tried again.`;
      const failure = { code: "worker_crashed", message, isRetryable: false, retryAfterMs: null };
      return [await this.conclude(planned, this.failed(planned, attempt, failure), this.visible)];
    }
    const startedAt = performance.now();
    const context = this.contextOf(planned, attempt, this.visible, this.bytes);
    const record = await executeBlock(planned, context, phase);
    if (phase === "open" && record.ok) return [record];
    const first = await this.conclude(planned, record, this.visible);
    const records = [first];
    // After a crash every block gets its own step, so that the guilty one is known.
    const followers = crashes === 0 && first.ok ? this.options.plan.followers(planned.block.id) : [];
    if (!first.ok || first.conditionFailure !== undefined || followers.length === 0) return records;
    const outputs: Outputs = Object.assign(Object.create(null), this.visible);
    const done = new Set([first.id]);
    outputs[first.id] = first.output;
    let bytes = first.bytes;
    for (const follower of followers) {
      if (bytes > MAX_STEP_BYTES || performance.now() - startedAt > MAX_STEP_MS) break;
      if (!follower.incoming.every(({ source }) => done.has(source))) continue;
      const inner = this.contextOf(follower, 1, outputs, this.bytes + bytes);
      const next = await this.conclude(follower, await executeBlock(follower, inner), outputs);
      records.push(next);
      if (!next.ok || next.conditionFailure !== undefined) continue;
      done.add(next.id);
      outputs[next.id] = next.output;
      bytes += next.bytes;
    }
    return records;
  }

  /** Decides what is taken after a block that goes no further, so that replay never decides again. */
  private async conclude(
    planned: PlannedBlock,
    record: BlockRecord,
    visible: Readonly<Outputs>,
  ): Promise<BlockRecord> {
    const { block, connector, outgoing } = planned;
    this.options.onAttempt?.(block.type, record);
    if (!record.ok) {
      const goesOn = isTriedAgain(retryPolicyOf(block, connector), record.attempt, record.error);
      if (goesOn || !isCaught(block)) return record;
    }
    const output = outputOf(record);
    const hasConditions = outgoing.some(({ condition }) => condition !== undefined);
    const scope = this.scope(hasConditions ? { ...visible, [block.id]: output } : visible);
    try {
      const end = { isCaught: !record.ok, output };
      const taken = await takenConnections(planned, end, (text) => this.options.evaluate(text, scope));
      return { ...record, taken };
    } catch (error) {
      this.options.signal.throwIfAborted();
      return { ...record, conditionFailure: toBlockFailure(error) };
    }
  }

  private contextOf(
    planned: PlannedBlock,
    attempt: number,
    outputs: Readonly<Outputs>,
    usedBytes: number,
  ): AttemptContext {
    const { options } = this;
    const { organizationId, workflowId, runId, startedBy, item, signal, readSecrets, evaluate, now } =
      options;
    const wakeKey = options.steps.wakeKeyOf(this.name(planned, attempt, "wait"));
    return {
      organizationId,
      workflowId,
      runId,
      startedBy,
      attempt,
      item,
      wakeKey,
      scope: this.scope(outputs),
      signal,
      remainingBytes: MAX_RUN_BYTES - usedBytes,
      log: options.logFor(planned.block.id, attempt),
      readSecrets,
      evaluate,
      loop: options.loopOf(planned, { wakeKey, item, visible: outputs }),
      now,
    };
  }

  private name({ block }: PlannedBlock, attempt: number, kind: StepKind = "block"): string {
    return stepNameOf(block.id, attempt, kind, this.options.item);
  }

  private failed({ block }: PlannedBlock, attempt: number, error: BlockFailure): BlockRecord {
    const instant = this.options.now().toISOString();
    return { id: block.id, attempt, startedAt: instant, finishedAt: instant, ok: false, error };
  }
}

function isCaught({ onError }: PlannedBlock["block"]): boolean {
  return onError === "continue" || onError === "branch";
}

/** What later blocks see of a block; of a caught one its error. */
function outputOf(record: BlockRecord): unknown {
  if (record.ok) return record.output;
  const { code, message } = record.error;
  return { error: { code, message } };
}
