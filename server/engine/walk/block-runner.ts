import {
  type BlockFailure,
  type BlockPhase,
  type BlockRecord,
  toBlockFailure,
  waitMsOf,
} from "../blocks/execute-block.js";
import { backoffMs, isTriedAgain, retryPolicyOf } from "../blocks/retry-policy.js";
import { timedOut } from "../blocks/within-time.js";
import type { RunError } from "../run-error.js";
import type { WaitRequest } from "../steps/run-steps.js";
import { type StepKind, stepNameOf } from "../steps/step-names.js";
import type { Activity } from "./activity.js";
import type { PlannedBlock } from "./plan.js";
import { isCaught, outputOf, StepWork } from "./step-work.js";
import { type Outputs, scopeOf, type WalkOptions } from "./walk-options.js";

/** How a block ended. A skipped block passes nothing on. */
export type BlockResult =
  | { readonly state: "skipped" }
  | { readonly state: "ended"; readonly taken: ReadonlySet<number> }
  | { readonly state: "failed"; readonly error: RunError };

/** Runs blocks of one walk, each attempt as one durable step, and keeps their outputs. */
export class BlockRunner {
  /** Outputs of the blocks of this walk; `__proto__` is a possible id. */
  readonly outputs: Outputs = Object.create(null);
  private readonly options: WalkOptions;
  private readonly activity: Activity;
  private readonly isMoot: (blockId: string) => boolean;
  private readonly visible: Outputs;
  private readonly work: StepWork;
  /** First attempts that ran in the step of an upstream block. */
  private readonly folded = new Map<string, BlockRecord>();

  constructor(options: WalkOptions, activity: Activity, isMoot: (blockId: string) => boolean) {
    this.options = options;
    this.activity = activity;
    this.isMoot = isMoot;
    this.visible = Object.assign(Object.create(null), options.around);
    this.work = new StepWork(options, this.visible);
  }

  /** Whether the block began before this pass or ran in the step of another: replay never decides again about it. */
  hasBegun(blockId: string): boolean {
    const { steps, item } = this.options;
    return this.folded.has(blockId) || steps.history.hasStarted(blockId, item);
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
        return this.end(planned, isTold ? record : await this.work.conclude(planned, record));
      }
      const { retryAfterMs } = record.error;
      const milliseconds = async () => backoffMs(policy, attempt, retryAfterMs);
      await this.wait(planned, attempt, "backoff", { milliseconds });
    }
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
    return { state: "ended", taken: new Set(record.taken) };
  }

  private async attempt(planned: PlannedBlock, attempt: number): Promise<BlockRecord> {
    const { block, connector } = planned;
    const folded = attempt === 1 ? this.folded.get(block.id) : undefined;
    if (folded !== undefined) return folded;
    const isDone = this.options.steps.history.resultOf(this.name(planned, attempt)) !== null;
    if (connector?.kind === "wait" && !isDone) {
      const failed =
        "waitMs" in connector ? await this.pause(planned, attempt) : await this.waitOutside(planned, attempt);
      if (failed !== null) return failed;
    }
    return this.step(planned, attempt, "end");
  }

  /** Waits as long as the block's parameters say; gives the record of one whose parameters do not. */
  private async pause(planned: PlannedBlock, attempt: number): Promise<BlockRecord | null> {
    const { organizationId, readSecrets, now, signal } = this.options;
    const context = { organizationId, scope: scopeOf(this.options, this.visible), readSecrets };
    try {
      return await this.waitWithin(planned, attempt, {
        milliseconds: () => waitMsOf(planned, context, now()),
      });
    } catch (error) {
      signal.throwIfAborted();
      return this.step(planned, attempt, "end", toBlockFailure(error));
    }
  }

  /** Waits for what the block begins outside of its run; gives the record of one that fails before its end. */
  private async waitOutside(planned: PlannedBlock, attempt: number): Promise<BlockRecord | null> {
    const opened = await this.step(planned, attempt, "open");
    if (!opened.ok) return opened;
    const { waitMs } = opened.output as { waitMs: number | null };
    if (waitMs === 0) return null;
    return this.waitWithin(planned, attempt, { milliseconds: async () => waitMs, isWakeable: true });
  }

  /** Waits no longer than the block's `timeoutMs`; gives the record of a block that this fails. */
  private async waitWithin(
    planned: PlannedBlock,
    attempt: number,
    request: Pick<WaitRequest, "milliseconds" | "isWakeable">,
  ): Promise<BlockRecord | null> {
    const { timeoutMs } = planned.block;
    const isOver = await this.wait(planned, attempt, "wait", { ...request, limitMs: timeoutMs });
    if (isOver || timeoutMs === undefined) return null;
    return this.step(planned, attempt, "end", toBlockFailure(timedOut(timeoutMs)));
  }

  private wait(
    planned: PlannedBlock,
    attempt: number,
    kind: "wait" | "backoff",
    request: Pick<WaitRequest, "milliseconds" | "isWakeable" | "limitMs">,
  ): Promise<boolean> {
    const isMoot = () => this.isMoot(planned.block.id);
    const { activity } = this;
    return this.options.steps.wait(this.name(planned, attempt, kind), { ...request, isMoot, activity });
  }

  /** One durable step: makes the attempt, or keeps the failure of one that cannot be made. */
  private async step(
    planned: PlannedBlock,
    attempt: number,
    phase: BlockPhase,
    failure: BlockFailure | null = null,
  ): Promise<BlockRecord> {
    const { steps } = this.options;
    const name = this.name(planned, attempt, phase === "open" ? "open" : "block");
    const records = await this.activity.during(() =>
      steps.run(name, async () =>
        failure === null
          ? this.work.perform(planned, attempt, phase, steps.history.crashesOf(name))
          : [await this.work.fail(planned, attempt, failure)],
      ),
    );
    const isReplayed = steps.history.resultOf(name) !== null;
    if (isReplayed && phase === "end") {
      for (const record of records) if (record.ok) this.options.room.takeRecorded(record.bytes);
    }
    const [first, ...rest] = records;
    if (first === undefined) throw new Error(`The step ${name} holds no record.`);
    for (const record of rest) this.folded.set(record.id, record);
    return first;
  }

  private name({ block }: PlannedBlock, attempt: number, kind: StepKind = "block"): string {
    return stepNameOf(block.id, attempt, kind, this.options.item);
  }
}
