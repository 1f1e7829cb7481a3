import type { OverlapPolicy } from "./policies.js";

/** What stands in the way of an instant's run. */
export interface Previous {
  /** Runs of the schedule that have not ended. */
  readonly activeRunIds: readonly string[];
  /** An instant waits for a run to end already. */
  readonly hasWaiting: boolean;
}

/** What an overlap policy makes of an instant. */
export type OverlapDecision =
  | { readonly action: "start"; readonly cancels: readonly string[] }
  | { readonly action: "wait"; readonly awaitsRunId: string }
  | { readonly action: "skip"; readonly reason: string };

/** Decides whether an instant's run starts beside, instead of or after the runs before it, or not at all. */
export function decideOverlap(
  policy: OverlapPolicy,
  { activeRunIds, hasWaiting }: Previous,
): OverlapDecision {
  const newest = activeRunIds.at(-1);
  if (newest === undefined || policy === "allow") return { action: "start", cancels: [] };
  if (policy === "cancel_previous") return { action: "start", cancels: activeRunIds };
  if (policy === "skip") return { action: "skip", reason: `The run ${newest} had not ended.` };
  if (hasWaiting) {
    return {
      action: "skip",
      reason: `The run ${newest} had not ended, and an earlier instant waits for its end.`,
    };
  }
  return { action: "wait", awaitsRunId: newest };
}
