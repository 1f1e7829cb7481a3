/** Longest pause between two looks for due runs, in milliseconds; notifications make it shorter. */
const MAX_IDLE_MS = 1_000;
/** Pause when runs are due but other workers hold them, in milliseconds. */
const CONTENDED_PAUSE_MS = 20;

/** What one look for due runs came to. */
export interface TickResult {
  readonly claimed: number;
  /** No slot was free, or the database could not be asked: only a wake-up or time helps. */
  readonly isBlocked: boolean;
}

export interface WorkerLoopOptions {
  /** Claims due runs for the free slots. Never called again before it has answered, and never rejects. */
  readonly tick: () => Promise<TickResult>;
  /** Milliseconds until the next run is due, null when none is known. Never rejects. */
  readonly untilDue: () => Promise<number | null>;
}

/** Calls `tick` whenever runs become due or slots become free, and at least once a second; one call at a time. */
export class WorkerLoop {
  private readonly options: WorkerLoopOptions;
  private isRunning = false;
  private isWoken = false;
  private running: Promise<void> = Promise.resolve();
  private pause: { readonly end: () => void; timer: NodeJS.Timeout; until: number } | null = null;
  private lastTickAt = 0;

  constructor(options: WorkerLoopOptions) {
    this.options = options;
  }

  start(): void {
    this.isRunning = true;
    this.running = this.run();
  }

  /** Resolves once no tick runs any more. */
  async stop(): Promise<void> {
    this.isRunning = false;
    this.wake();
    await this.running;
  }

  wake(): void {
    this.isWoken = true;
    this.pause?.end();
  }

  /** Looks for due runs at the instant, in milliseconds since 1970. */
  wakeAt(instant: number): void {
    const now = Date.now();
    if (instant - now > MAX_IDLE_MS) return;
    if (instant <= now || this.pause === null) {
      this.wake();
    } else if (instant < this.pause.until) {
      clearTimeout(this.pause.timer);
      this.pause.until = instant;
      this.pause.timer = setTimeout(this.pause.end, instant - now);
    }
  }

  /** Milliseconds since the last tick has answered. */
  idleMs(): number {
    return performance.now() - this.lastTickAt;
  }

  private async run(): Promise<void> {
    while (this.isRunning) {
      this.isWoken = false;
      const { claimed, isBlocked } = await this.options.tick();
      this.lastTickAt = performance.now();
      if (claimed > 0) continue;
      const untilDue = isBlocked || this.isWoken ? null : await this.options.untilDue();
      await this.sleep(pauseBefore(untilDue));
    }
  }

  private async sleep(milliseconds: number): Promise<void> {
    if (this.isWoken || !this.isRunning) return;
    await new Promise<void>((resolve) => {
      const pauseMs = Math.min(milliseconds, MAX_IDLE_MS);
      this.pause = { end: resolve, timer: setTimeout(resolve, pauseMs), until: Date.now() + pauseMs };
    });
    if (this.pause !== null) clearTimeout(this.pause.timer);
    this.pause = null;
  }
}

function pauseBefore(untilDue: number | null): number {
  if (untilDue === null) return MAX_IDLE_MS;
  // Timers may fire a millisecond early.
  return untilDue <= 0 ? CONTENDED_PAUSE_MS : Math.ceil(untilDue) + 1;
}
