import type { StepAttempt } from "openworkflow/internal";

/** Why a worker stops working on a run that has not ended by itself. */
export type AbandonReason = "ended_elsewhere" | "lease_lost" | "handed_back";

/** Thrown through a pass over a run that is not to be recorded: the run was canceled, lost or given back. */
export class RunAbandonedError extends Error {
  override readonly name = "RunAbandonedError";
  readonly reason: AbandonReason;

  constructor(reason: AbandonReason) {
    super(`The run was abandoned: ${reason}.`);
    this.reason = reason;
  }
}

/** One pass over a run in this process. */
export interface RunPass {
  /** Aborts with a `RunAbandonedError`. */
  readonly signal: AbortSignal;
  /** How often a worker died in a step, by step name. */
  readonly crashes: ReadonlyMap<string, number>;
  leave(): void;
}

/** The runs that this process works on. */
export class ActiveRuns {
  private readonly controllers = new Map<string, AbortController>();
  private readonly crashes = new Map<string, ReadonlyMap<string, number>>();
  private draining = false;

  enter(runId: string): RunPass {
    // A run that came back while an old pass still unwinds: the old pass has lost its lease.
    this.abandon(runId, "lease_lost");
    const controller = new AbortController();
    this.controllers.set(runId, controller);
    const crashes = this.crashes.get(runId) ?? new Map<string, number>();
    this.crashes.delete(runId);
    return {
      signal: controller.signal,
      crashes,
      leave: () => {
        if (this.controllers.get(runId) === controller) this.controllers.delete(runId);
      },
    };
  }

  /** Aborts the steps of a run; nothing of them is recorded any more. Does nothing for a run of another process. */
  abandon(runId: string, reason: AbandonReason): void {
    this.controllers.get(runId)?.abort(new RunAbandonedError(reason));
  }

  /** From now on no step starts: passes give their runs back at the next step. */
  drain(): void {
    this.draining = true;
  }

  /** Aborts every step that runs; the runs are given back. */
  abandonAll(): void {
    for (const runId of this.controllers.keys()) this.abandon(runId, "handed_back");
  }

  /** Why a step of the run must not start, or null when it may. */
  refusalToStart(runId: string): RunAbandonedError | null {
    return this.refusalToRecord(runId) ?? (this.draining ? new RunAbandonedError("handed_back") : null);
  }

  /** Why a failure of the run must not be recorded, or null when it may. */
  refusalToRecord(runId: string): RunAbandonedError | null {
    const reason: unknown = this.controllers.get(runId)?.signal.reason;
    return reason instanceof RunAbandonedError ? reason : null;
  }

  /** Reads the attempts that a pass begins with: a step still `running` then is one that a worker died in. */
  readHistory(runId: string, attempts: readonly StepAttempt[]): void {
    const crashes = new Map<string, number>();
    for (const { kind, status, stepName } of attempts) {
      if (kind === "function" && status === "running")
        crashes.set(stepName, (crashes.get(stepName) ?? 0) + 1);
    }
    if (crashes.size > 0) this.crashes.set(runId, crashes);
  }
}
