import type { Backend, StepAttempt } from "openworkflow/internal";
import type { BlockRecord } from "../blocks/execute-block.js";
import { MAX_STEP_ATTEMPTS, RunFailedError, stepLimitExceeded } from "../run-error.js";
import { Activity } from "../walk/activity.js";
import { RunAbandonedError, type RunPass } from "../worker/active-runs.js";
import { StepHistory, type WaitEnd, waitEndFrom } from "./step-history.js";

/** A pass stays for a wait that ends this soon, because parking and claiming again take longer, in milliseconds. */
const WORTH_STAYING_MS = 20;
/** Longest delay of Node's timers, in milliseconds. */
const MAX_TIMER_MS = 2_147_483_647;

/** How long a wait without an end of its own lasts at most, in milliseconds: 365 days. */
const ENDLESS_WAIT_MS = 31_536_000_000;

/** What a pass over a run returns when it only waits: the run parks until then. */
export class Parked {
  readonly until: Date;

  constructor(until: Date) {
    this.until = until;
  }
}

/** How long a block waits and what it is part of. */
export interface WaitRequest {
  /** Asked for when the wait begins, in milliseconds; not on replay. Null: it has no end of its own. */
  readonly milliseconds: () => Promise<number | null>;
  /** Whether something outside may end the wait by its wake key. */
  readonly isWakeable?: boolean;
  /** Whether nothing depends on the wait any more; it then never ends. */
  readonly isMoot: () => boolean;
  /** A limit from outside, in milliseconds: when it passes before the wait is over, what the wait is for is closed. */
  readonly limitMs?: number | undefined;
  /** What goes on because the wait ends counts here. */
  readonly activity: Activity;
}

export interface RunStepsOptions {
  readonly backend: Pick<Backend, "createStepAttempt" | "completeStepAttempt" | "failStepAttempt">;
  readonly runId: string;
  readonly pass: RunPass;
  /** Which of these wake keys were woken. */
  readonly readWakes: (wakeKeys: readonly string[]) => Promise<ReadonlySet<string>>;
}

interface OpenWait {
  readonly attempt: StepAttempt;
  readonly dueAt: number;
  readonly request: WaitRequest;
  readonly resolve: (isOver: boolean) => void;
  readonly reject: (error: unknown) => void;
  readonly timer: NodeJS.Timeout | null;
}

/**
 * The durable primitives of one pass over a run, on openworkflow's tables: what was recorded under a name is given
 * back, everything else is done and recorded. Waits end within the pass while other steps of it still run; once only
 * waits are left the pass parks. Each name is used once per run.
 */
export class RunSteps {
  /** Everything that the pass does. */
  readonly activity: Activity;
  /** What was recorded before this pass. */
  readonly history: StepHistory;
  private readonly options: RunStepsOptions;
  private readonly waits = new Map<string, OpenWait>();
  private knownWakes: Promise<ReadonlySet<string>> | null = null;
  private attempts: number;
  private fault: { readonly error: unknown } | null = null;
  private endedBy: { resolve: (parked: Parked) => void; reject: (error: unknown) => void } | null = null;
  private beforeParking: () => boolean = () => false;

  constructor(options: RunStepsOptions) {
    this.options = options;
    this.activity = new Activity(() => this.rest());
    this.history = new StepHistory(options.pass.history);
    this.attempts = options.pass.history.length;
    options.pass.onWake((wakeKey) => this.hear(wakeKey));
  }

  /** Wakes the wait of this name. */
  wakeKeyOf(name: string): string {
    return `${this.options.runId}:${name}`;
  }

  /** Runs `work` and keeps what it returns; on replay returns what was kept. */
  async run(name: string, work: () => Promise<BlockRecord[]>): Promise<BlockRecord[]> {
    const kept = this.history.resultOf(name);
    if (kept !== null) return recordsOf(kept);
    const attempt = await this.begin(name, "function", null);
    try {
      return recordsOf(await this.complete(attempt, { blocks: await work() }));
    } catch (error) {
      // Work never fails by itself: it records its failures. What it throws is a fault of ours or ends the pass.
      if (!(error instanceof RunAbandonedError)) await this.discard(attempt, error);
      throw error;
    }
  }

  /** True once the wait was woken or its own time has passed, false once a limit has; never while it is moot. */
  async wait(name: string, request: WaitRequest): Promise<boolean> {
    const end = this.history.waitEndOf(name);
    if (end === "moot") return new Promise(() => {});
    if (end !== null) return end === "over";
    const open = this.history.openWaitOf(name);
    const signal = this.wakeKeyOf(name);
    const attempt =
      open ??
      (await request.activity.during(async () => {
        return this.begin(name, "signal-wait", waitContext(signal, await request.milliseconds(), request));
      }));
    return new Promise((resolve, reject) => {
      const dueAt = dueAtOf(attempt);
      const delayMs = Math.max(0, dueAt - Date.now());
      const timer = delayMs > MAX_TIMER_MS ? null : setTimeout(() => this.end(signal, true), delayMs);
      this.waits.set(signal, { attempt, dueAt, request, resolve, reject, timer });
      if (request.isMoot()) this.end(signal);
      else if (open !== null) this.look(signal, () => this.wakesOfHistory());
      else if (request.isWakeable) this.look(signal, () => this.options.readWakes([signal]));
    });
  }

  /** Ends the waits that have become moot, so that nothing outside counts on them any more. */
  endMootWaits(): void {
    for (const [wakeKey, { request }] of this.waits) if (request.isMoot()) this.end(wakeKey);
  }

  /** Whether the pass ends without a result: the run was abandoned or something went wrong with the engine. */
  isInterrupted(): boolean {
    return this.options.pass.signal.aborted || this.fault !== null;
  }

  /** Ends the pass with the error once everything that runs has unwound. */
  fail(error: unknown): void {
    this.fault ??= { error };
  }

  /**
   * What `result` comes to, or that the run parks because only waits are left. `beforeParking` may settle `result`
   * instead and says so.
   */
  async conclude<T>(result: Promise<T>, beforeParking: () => boolean = () => false): Promise<T | Parked> {
    this.beforeParking = beforeParking;
    try {
      return await Promise.race([
        result,
        new Promise<Parked>((resolve, reject) => {
          this.endedBy = { resolve, reject };
          this.options.pass.signal.addEventListener("abort", () => void this.activity.during(async () => {}));
        }),
      ]);
    } finally {
      for (const { timer } of this.waits.values()) if (timer !== null) clearTimeout(timer);
      this.waits.clear();
    }
  }

  private rest(): void {
    if (this.isInterrupted()) {
      const { signal } = this.options.pass;
      this.endedBy?.reject(signal.aborted ? signal.reason : this.fault?.error);
    } else if (!this.beforeParking()) {
      this.park();
    }
  }

  private park(): void {
    const waits = [...this.waits.values()].filter(({ request }) => !request.isMoot());
    if (waits.length === 0) {
      this.endedBy?.reject(new Error("The walk neither ended nor waits."));
      return;
    }
    const dueAt = Math.min(...waits.map((wait) => wait.dueAt));
    if (dueAt - Date.now() > WORTH_STAYING_MS) this.endedBy?.resolve(new Parked(new Date(dueAt)));
  }

  private hear(wakeKey: string | null): void {
    const keys = [...this.waits.keys()];
    if (wakeKey !== null) this.end(wakeKey);
    else if (keys.length > 0) {
      const wakes = this.options.readWakes(keys);
      for (const key of keys) this.look(key, () => wakes);
    }
  }

  /** Ends the wait if it was woken already. */
  private look(wakeKey: string, readWakes: () => Promise<ReadonlySet<string>>): void {
    const wait = this.waits.get(wakeKey);
    void wait?.request.activity.during(async () => {
      try {
        if ((await readWakes()).has(wakeKey)) this.end(wakeKey);
      } catch (error) {
        wait.reject(error);
      }
    });
  }

  /** One query for all waits that the pass begins with. */
  private wakesOfHistory(): Promise<ReadonlySet<string>> {
    this.knownWakes ??= this.options.readWakes(this.history.openWaits().map((name) => this.wakeKeyOf(name)));
    return this.knownWakes;
  }

  private end(wakeKey: string, isElapsed = false): void {
    const wait = this.waits.get(wakeKey);
    if (wait === undefined) return;
    this.waits.delete(wakeKey);
    if (wait.timer !== null) clearTimeout(wait.timer);
    const { request, attempt, resolve, reject } = wait;
    void request.activity.during(async () => {
      try {
        const end = request.isMoot() ? "moot" : isElapsed && isLimited(attempt) ? "cut" : "over";
        // The database spares a wait that was woken before it is cut: who was told that it was woken goes first.
        const kept = waitEndFrom(await this.complete(attempt, waitOutputs[end]));
        if (kept !== "moot") resolve(kept === "over");
      } catch (error) {
        reject(error);
      }
    });
  }

  private async begin(
    stepName: string,
    kind: "function" | "signal-wait",
    context: StepAttempt["context"],
  ): Promise<StepAttempt> {
    if (this.attempts >= MAX_STEP_ATTEMPTS) {
      throw new RunFailedError(stepLimitExceeded);
    }
    this.attempts += 1;
    return this.options.backend.createStepAttempt({ ...this.owner(), stepName, kind, config: {}, context });
  }

  private complete(attempt: StepAttempt, output: object | null): Promise<StepAttempt> {
    // Records hold JSON only; the driver's type does not know that of `unknown`.
    const json = output as StepAttempt["output"];
    return this.options.backend.completeStepAttempt({
      ...this.owner(),
      stepAttemptId: attempt.id,
      output: json,
    });
  }

  private async discard(attempt: StepAttempt, error: unknown): Promise<void> {
    const message = error instanceof Error ? error.message : String(error);
    await this.options.backend
      .failStepAttempt({ ...this.owner(), stepAttemptId: attempt.id, error: { message } })
      .catch(() => {});
  }

  private owner() {
    return { workflowRunId: this.options.runId, workerId: this.options.pass.workerId };
  }
}

/** What the attempt of a wait keeps of its beginning. `endsBy` tells whose time `timeoutAt` is; "wake": nobody's. */
type WaitContext = Extract<StepAttempt["context"], { kind: "signal-wait" }> & {
  readonly endsBy?: "itself" | "limit" | "wake";
};

function waitContext(
  signal: string,
  ownMs: number | null,
  { limitMs = ENDLESS_WAIT_MS }: Pick<WaitRequest, "limitMs">,
): WaitContext {
  const milliseconds = Math.min(ownMs ?? ENDLESS_WAIT_MS, limitMs);
  const timeoutAt = new Date(Date.now() + milliseconds).toISOString();
  const endsBy = milliseconds === ownMs ? "itself" : milliseconds < ENDLESS_WAIT_MS ? "limit" : "wake";
  return { kind: "signal-wait", signal, timeoutAt, endsBy };
}

/** Whether the wait's time is that of a limit from outside. */
function isLimited({ context }: StepAttempt): boolean {
  return (context as WaitContext | null)?.endsBy === "limit";
}

function recordsOf({ output }: StepAttempt): BlockRecord[] {
  return (output as unknown as { blocks: BlockRecord[] }).blocks;
}

/** What the attempt of a wait keeps of its end; the installed triggers read it. */
const waitOutputs: Record<WaitEnd, object | null> = {
  over: null,
  cut: { isCut: true },
  moot: { isMoot: true },
};

function dueAtOf({ context }: StepAttempt): number {
  return context?.kind === "signal-wait" ? Date.parse(context.timeoutAt) : Number.POSITIVE_INFINITY;
}
