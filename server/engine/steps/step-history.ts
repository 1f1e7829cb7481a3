import type { StepAttempt } from "openworkflow/internal";
import { type ItemPath, parseStepName, stepNameOf } from "./step-names.js";

/** How a wait ended: woken or after its own time, cut by a limit from outside, or as one that nothing depends on. */
export type WaitEnd = "over" | "cut" | "moot";

/** What earlier passes over a run have left of its steps. */
export class StepHistory {
  private readonly completed = new Map<string, StepAttempt>();
  private readonly open = new Map<string, StepAttempt>();
  private readonly crashes = new Map<string, number>();
  private readonly started = new Set<string>();

  constructor(attempts: readonly StepAttempt[]) {
    for (const attempt of attempts) {
      const { stepName, status, kind } = attempt;
      const { blockId, item } = parseStepName(stepName);
      this.started.add(stepNameOf(blockId, 1, "block", item));
      if (status === "completed" || status === "succeeded") this.completed.set(stepName, attempt);
      else if (status === "running" && kind === "signal-wait") this.open.set(stepName, attempt);
      // A step still running when a pass begins is one that a worker died in.
      else if (status === "running") this.crashes.set(stepName, this.crashesOf(stepName) + 1);
    }
  }

  /** The attempt that has recorded the step's result, or null. */
  resultOf(name: string): StepAttempt | null {
    return this.completed.get(name) ?? null;
  }

  /** How the wait ended, or null when it has not. */
  waitEndOf(name: string): WaitEnd | null {
    const kept = this.completed.get(name);
    return kept === undefined ? null : waitEndFrom(kept);
  }

  /** The wait that has begun and not ended, or null. */
  openWaitOf(name: string): StepAttempt | null {
    return this.open.get(name) ?? null;
  }

  /** Names of all waits that have begun and not ended. */
  openWaits(): string[] {
    return [...this.open.keys()];
  }

  /** How often a worker died in the step. */
  crashesOf(name: string): number {
    return this.crashes.get(name) ?? 0;
  }

  /** Whether the block had begun before this pass. */
  hasStarted(blockId: string, item: ItemPath): boolean {
    return this.started.has(stepNameOf(blockId, 1, "block", item));
  }
}

/** How a wait ended, by its completed attempt. */
export function waitEndFrom({ output }: Pick<StepAttempt, "output">): WaitEnd {
  if (typeof output !== "object" || output === null) return "over";
  return "isMoot" in output ? "moot" : "isCut" in output ? "cut" : "over";
}
