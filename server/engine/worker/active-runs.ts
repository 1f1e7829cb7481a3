import { setMaxListeners } from "node:events";
import type { StepAttempt } from "openworkflow/internal";

/** Why a worker stops working on a run that has not ended by itself. */
export type AbandonReason = "ended_elsewhere" | "lease_lost" | "handed_back";

/** Name of the error below, by which it is known once openworkflow has serialized it. */
export const RUN_ABANDONED = "RunAbandonedError";

/** Thrown through a pass over a run that is not to be recorded: the run was canceled, lost or given back. */
export class RunAbandonedError extends Error {
  override readonly name = RUN_ABANDONED;
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
  /** The slot that holds the run. */
  readonly workerId: string;
  /** The attempts that the pass begins with, oldest first. */
  readonly history: readonly StepAttempt[];
  /** Calls `listener` with the key of each wake that arrives, and with null when some may have been missed. */
  onWake(listener: (wakeKey: string | null) => void): void;
  leave(): void;
}

interface Claim {
  readonly workerId: string;
  readonly isNew: boolean;
  /** By their id: a page that was read twice counts once. */
  readonly history: Map<string, StepAttempt>;
}

interface OpenPass {
  readonly controller: AbortController;
  listener: (wakeKey: string | null) => void;
}

/** The runs that this process works on. */
export class ActiveRuns {
  private readonly passes = new Map<string, OpenPass>();
  /** Runs that were claimed and whose pass has not begun. */
  private readonly claims = new Map<string, Claim>();
  private draining = false;

  /** Remembers which slot has claimed the run, and whether it is the first to do so. */
  claimed(runId: string, workerId: string, isNew: boolean): void {
    this.claims.set(runId, { workerId, isNew, history: new Map() });
  }

  /** Whether the run was claimed for the first time and its pass has not begun. */
  isNew(runId: string): boolean {
    return this.claims.get(runId)?.isNew === true;
  }

  /** Remembers the attempts that the next pass begins with, page by page. */
  readHistory(runId: string, attempts: readonly StepAttempt[]): void {
    const history = this.claims.get(runId)?.history;
    for (const attempt of attempts) history?.set(attempt.id, attempt);
  }

  /** Forgets what the slot has claimed, if its pass has not begun. */
  forget(runId: string, workerId: string): void {
    if (this.claims.get(runId)?.workerId === workerId) this.claims.delete(runId);
  }

  /**
   * Begins a pass over a run that was claimed.
   * @throws RunAbandonedError when another slot of this process has claimed and entered it meanwhile.
   */
  enter(runId: string): RunPass {
    const claim = this.claims.get(runId);
    if (claim === undefined) throw new RunAbandonedError("lease_lost");
    // A run that came back while an old pass still unwinds: the old pass has lost its lease.
    this.abandon(runId, "lease_lost");
    const pass: OpenPass = { controller: new AbortController(), listener: () => {} };
    // Every step that runs listens.
    setMaxListeners(0, pass.controller.signal);
    this.passes.set(runId, pass);
    this.claims.delete(runId);
    return {
      signal: pass.controller.signal,
      workerId: claim.workerId,
      history: [...claim.history.values()],
      onWake(listener) {
        pass.listener = listener;
      },
      leave: () => {
        if (this.passes.get(runId) === pass) this.passes.delete(runId);
      },
    };
  }

  /** Aborts the steps of a run; nothing of them is recorded any more. Does nothing for a run of another process. */
  abandon(runId: string, reason: AbandonReason): void {
    this.passes.get(runId)?.controller.abort(new RunAbandonedError(reason));
  }

  /** Tells the pass over a run, if this process has one, that a wait of the run was woken. */
  wake(runId: string, wakeKey: string): void {
    this.passes.get(runId)?.listener(wakeKey);
  }

  /** Tells every pass that wakes may have been missed. */
  missWakes(): void {
    for (const pass of this.passes.values()) pass.listener(null);
  }

  /** From now on no step starts: passes give their runs back at the next step. */
  drain(): void {
    this.draining = true;
  }

  /** Aborts every step that runs; the runs are given back. */
  abandonAll(): void {
    for (const runId of this.passes.keys()) this.abandon(runId, "handed_back");
  }

  /** Why a step of the run must not start, or null when it may. */
  refusalToStart(runId: string): RunAbandonedError | null {
    return this.refusalToRecord(runId) ?? (this.draining ? new RunAbandonedError("handed_back") : null);
  }

  /** Why a failure of the run must not be recorded, or null when it may. */
  refusalToRecord(runId: string): RunAbandonedError | null {
    const reason: unknown = this.passes.get(runId)?.controller.signal.reason;
    return reason instanceof RunAbandonedError ? reason : null;
  }
}
