import {
  type AttemptContext,
  type BlockFailure,
  type BlockPhase,
  type BlockRecord,
  executeBlock,
  toBlockFailure,
} from "../blocks/execute-block.js";
import { isTriedAgain, retryPolicyOf } from "../blocks/retry-policy.js";
import { stepNameOf } from "../steps/step-names.js";
import type { PlannedBlock } from "./plan.js";
import { takenConnections } from "./taken-connections.js";
import { type Outputs, scopeOf, type WalkOptions } from "./walk-options.js";

/** Times a step may take its worker down before its block fails instead of running again. */
const MAX_CRASHES = 3;
/** Bytes and milliseconds after which pure blocks go on in a step of their own. */
const MAX_STEP_BYTES = 262_144;
const MAX_STEP_MS = 250;

/** What happens inside of the durable steps of one walk: attempts are made, and what is taken after them is decided. */
export class StepWork {
  private readonly options: WalkOptions;
  private readonly visible: Readonly<Outputs>;

  /** `visible` holds the outputs that blocks may reference; it grows while the walk goes on. */
  constructor(options: WalkOptions, visible: Readonly<Outputs>) {
    this.options = options;
    this.visible = visible;
  }

  /** The block, then the pure blocks that need nothing else: a durable step costs more than most of them. */
  async perform(
    planned: PlannedBlock,
    attempt: number,
    phase: BlockPhase,
    crashes: number,
  ): Promise<BlockRecord[]> {
    if (crashes >= MAX_CRASHES) {
      const message = `The server stopped ${crashes} times while this block ran, so it is not tried again.`;
      const failure = { code: "worker_crashed", message, isRetryable: false, retryAfterMs: null };
      return [await this.fail(planned, attempt, failure)];
    }
    const startedAt = performance.now();
    const record = await executeBlock(planned, this.contextOf(planned, attempt, this.visible), phase);
    if (phase === "open" && record.ok) return [record];
    const first = await this.conclude(planned, record);
    // After a crash every block gets its own step, so that the guilty one is known.
    if (!first.ok || first.conditionFailure !== undefined || crashes > 0) return [first];
    return [first, ...(await this.follow(planned, first, startedAt))];
  }

  /** The record of an attempt that fails without having been made. */
  fail(planned: PlannedBlock, attempt: number, error: BlockFailure): Promise<BlockRecord> {
    const instant = this.options.now().toISOString();
    const facts = { id: planned.block.id, attempt, startedAt: instant, finishedAt: instant };
    return this.conclude(planned, { ...facts, ok: false, error });
  }

  /** Decides what is taken after a block that goes no further, so that replay never decides again. */
  async conclude(
    planned: PlannedBlock,
    record: BlockRecord,
    visible: Readonly<Outputs> = this.visible,
  ): Promise<BlockRecord> {
    const { block, connector, outgoing } = planned;
    this.options.onAttempt?.(block.type, record);
    if (!record.ok) {
      const goesOn = isTriedAgain(retryPolicyOf(block, connector), record.attempt, record.error);
      if (goesOn || !isCaught(block)) return record;
    }
    const output = outputOf(record);
    const hasConditions = outgoing.some(({ condition }) => condition !== undefined);
    const scope = scopeOf(this.options, hasConditions ? { ...visible, [block.id]: output } : visible);
    try {
      const end = { isCaught: !record.ok, output };
      const taken = await takenConnections(planned, end, (text) => this.options.evaluate(text, scope));
      return { ...record, taken };
    } catch (error) {
      this.options.signal.throwIfAborted();
      return { ...record, conditionFailure: toBlockFailure(error) };
    }
  }

  /** Runs what may share the step of a block that has completed, while bytes and time allow. */
  private async follow(
    planned: PlannedBlock,
    first: BlockRecord & { readonly ok: true },
    startedAt: number,
  ): Promise<BlockRecord[]> {
    const followers = this.options.plan.followers(planned.block.id);
    if (followers.length === 0) return [];
    const records: BlockRecord[] = [];
    const outputs: Outputs = Object.assign(Object.create(null), this.visible);
    const done = new Set([first.id]);
    outputs[first.id] = first.output;
    let { bytes } = first;
    for (const follower of followers) {
      if (bytes > MAX_STEP_BYTES || performance.now() - startedAt > MAX_STEP_MS) break;
      if (!follower.incoming.every(({ source }) => done.has(source))) continue;
      const record = await executeBlock(follower, this.contextOf(follower, 1, outputs));
      const next = await this.conclude(follower, record, outputs);
      records.push(next);
      if (!next.ok || next.conditionFailure !== undefined) continue;
      done.add(next.id);
      outputs[next.id] = next.output;
      bytes += next.bytes;
    }
    return records;
  }

  private contextOf(planned: PlannedBlock, attempt: number, outputs: Readonly<Outputs>): AttemptContext {
    const { options } = this;
    const { organizationId, workflowId, runId, startedBy, item, room } = options;
    const { signal, readSecrets, evaluate, retry, now } = options;
    const { id } = planned.block;
    const wakeKey = options.steps.wakeKeyOf(stepNameOf(id, attempt, "wait", item));
    return {
      organizationId,
      workflowId,
      runId,
      startedBy,
      attempt,
      item,
      wakeKey,
      scope: scopeOf(options, outputs),
      signal,
      room,
      log: options.logFor(id, attempt),
      readSecrets,
      evaluate,
      loop: options.loopOf(planned, { wakeKey, item, visible: outputs }),
      retry,
      now,
    };
  }
}

/** Whether the run goes on when the block has failed for good. */
export function isCaught({ onError }: PlannedBlock["block"]): boolean {
  return onError === "continue" || onError === "branch";
}

/** What later blocks see of a block; of a caught one its error. */
export function outputOf(record: BlockRecord): unknown {
  if (record.ok) return record.output;
  const { code, message } = record.error;
  return { error: { code, message } };
}
