import type { BlockLogger } from "../../connectors/define-connector.js";
import type { BlockRecord, Evaluate, LoopPhases } from "../blocks/execute-block.js";
import type { OutputRoom } from "../blocks/output-room.js";
import type { ReadSecrets } from "../blocks/resolve-params.js";
import type { ValueScope } from "../blocks/resolve-values.js";
import type { RunSteps } from "../steps/run-steps.js";
import type { ItemPath } from "../steps/step-names.js";
import type { Plan, PlannedBlock } from "./plan.js";

/** Outputs by block id, without a prototype. */
export type Outputs = Record<string, unknown>;

/** Called for every attempt that was made here, with the type of its block, before it is recorded. */
export type AttemptObserver = (type: string, record: BlockRecord) => void;

/** One attempt of a loop: what wakes it and what its body may reference. */
export interface LoopPlace {
  readonly wakeKey: string;
  readonly item: ItemPath;
  readonly visible: Readonly<Outputs>;
}

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
  /** For the outputs of all walks of one pass together. */
  readonly room: OutputRoom;
  /** Aborts the steps that run; its reason is thrown on. */
  readonly signal: AbortSignal;
  readonly logFor: (blockId: string, attempt: number) => BlockLogger;
  readonly readSecrets: ReadSecrets;
  readonly evaluate: Evaluate;
  readonly loopOf: (planned: PlannedBlock, at: LoopPlace) => LoopPhases;
  /** Runs work on our own database again while that cannot be reached. */
  readonly retry: <T>(work: () => Promise<T>) => Promise<T>;
  readonly onAttempt?: AttemptObserver | undefined;
  readonly now: () => Date;
}

/** What expressions and parameters of a walk may reference once these outputs are there. */
export function scopeOf({ plan, input }: WalkOptions, outputs: Readonly<Outputs>): ValueScope {
  const { variables: vars, nameToId } = plan;
  return { trigger: input ?? {}, vars, outputs, nameToId };
}
