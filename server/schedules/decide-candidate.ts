import { randomUUID } from "node:crypto";
import { AppError } from "../errors/app-error.js";
import type { Runnable } from "../runs/run-checks.js";
import type { StoredOccurrence } from "./occurrence-store.js";
import { decideOverlap } from "./overlap.js";
import type { OccurrenceKind, Outcome, OverlapPolicy, RunOutcome } from "./policies.js";
import type { FiringSchedule } from "./store.js";

/** An instant that may start a run. The caller holds the row lock of its schedule, and of its pending row. */
export interface Candidate {
  readonly schedule: FiringSchedule;
  readonly scheduledFor: Date;
  readonly kind: OccurrenceKind;
  /** What it becomes with its run. */
  readonly intent: RunOutcome;
  readonly overlap: OverlapPolicy;
  /** Input of its run; null: the schedule's payload as it is when the run is written. */
  readonly input: Record<string, unknown> | null;
  /** The user who asked for it; null for what the calendar brings. */
  readonly requestedBy: string | null;
  /** Of that request; absent: none. */
  readonly idempotencyKey?: string | null;
  /** The pending row it comes from, or null when it has none yet. */
  readonly occurrence: StoredOccurrence | null;
}

/** Whether the schedule's workflow can run: what its run is pinned to, or why not. */
export type Verdict = Runnable | AppError;

/** What becomes of a candidate; `run` and `runId` are set when it starts one. */
export interface Decision {
  readonly candidate: Candidate;
  readonly id: string;
  outcome: Outcome;
  reason: string | null;
  run: Runnable | null;
  runId: string | null;
  awaitsRunId: string | null;
  cancels: readonly string[];
}

/** What the instants of one schedule that are decided together know of each other. */
export interface Progress {
  activeRunIds: string[];
  hasWaiting: boolean;
  /** Runs that its calendar may still start. */
  remaining: number;
  /** Those that start a run now. */
  starting: Decision[];
}

/**
 * Decides what becomes of a candidate; the candidates of one schedule are decided one after another and know of each
 * other through `progress`.
 */
export function decide(candidate: Candidate, verdict: Verdict, progress: Progress): Decision {
  const decision: Decision = {
    candidate,
    id: candidate.occurrence?.id ?? randomUUID(),
    outcome: "failed",
    reason: null,
    run: null,
    runId: null,
    awaitsRunId: null,
    cancels: [],
  };
  if (verdict instanceof AppError) return Object.assign(decision, { reason: verdict.message });
  const refusal = refusalOf(candidate, progress);
  if (refusal !== null) return Object.assign(decision, { outcome: "missed", reason: refusal });
  // A row that waits already is not in its own way.
  const hasWaiting = progress.hasWaiting && candidate.occurrence === null;
  const overlap = decideOverlap(candidate.overlap, { ...progress, hasWaiting });
  if (overlap.action === "skip") {
    return Object.assign(decision, { outcome: "skipped_overlap", reason: overlap.reason });
  }
  if (overlap.action === "wait") {
    progress.hasWaiting = true;
    const reason = `Waits for the run ${overlap.awaitsRunId} to end.`;
    return Object.assign(decision, { outcome: "pending", awaitsRunId: overlap.awaitsRunId, reason });
  }
  const runId = randomUUID();
  const cancels = overlap.cancels.filter((id) => progress.starting.every((each) => each.runId !== id));
  if (candidate.overlap === "cancel_previous") giveWay(progress);
  if (isCounted(candidate)) progress.remaining -= 1;
  progress.activeRunIds.push(runId);
  Object.assign(decision, { outcome: candidate.intent, run: verdict, runId, cancels });
  progress.starting.push(decision);
  return decision;
}

/** Those whose run would be canceled as it starts. */
function giveWay(progress: Progress): void {
  for (const decision of progress.starting) {
    if (isCounted(decision.candidate)) progress.remaining += 1;
    progress.activeRunIds = progress.activeRunIds.filter((id) => id !== decision.runId);
    Object.assign(decision, {
      outcome: "skipped_overlap",
      reason: "A later instant was due before its run could start.",
      run: null,
      runId: null,
    });
  }
  progress.starting = [];
}

/** Whether a candidate's run counts towards `maxRuns`. */
export function isCounted({ kind, intent }: Pick<Candidate, "kind" | "intent">): boolean {
  return kind === "calendar" && intent !== "backfilled";
}

function refusalOf(candidate: Candidate, { remaining }: Progress): string | null {
  if (!isCounted(candidate)) return null;
  if (!candidate.schedule.isEnabled) return "The schedule was switched off before the run could start.";
  return remaining > 0 ? null : spentReason(candidate.schedule.maxRuns);
}

/** Why a schedule starts no more runs that has started `maxRuns`. */
export function spentReason(maxRuns: number | null): string {
  return `The schedule has started its ${maxRuns} ${maxRuns === 1 ? "run" : "runs"} (maxRuns).`;
}
