/**
 * Says when nothing is going on any more: neither work that was entered here nor what follows from its end at once.
 * Work counts for the outer activity too.
 */
export class Activity {
  private readonly onIdle: () => void;
  private readonly outer: Activity | null;
  private count = 0;
  private resting: NodeJS.Immediate | null = null;

  constructor(onIdle: () => void, outer: Activity | null = null) {
    this.onIdle = onIdle;
    this.outer = outer;
  }

  /** Runs `work` as part of the activity. */
  async during<T>(work: () => Promise<T>): Promise<T> {
    this.enter();
    try {
      return await work();
    } finally {
      this.leave();
    }
  }

  private enter(): void {
    this.count += 1;
    this.outer?.enter();
  }

  private leave(): void {
    this.count -= 1;
    if (this.count === 0) {
      // What awaits the work goes on before the callback, and inner activities are asked before the outer one: it asks
      // anew after each of them.
      if (this.resting !== null) clearImmediate(this.resting);
      this.resting = setImmediate(() => this.rest());
    }
    this.outer?.leave();
  }

  private rest(): void {
    if (this.count === 0) this.onIdle();
  }
}
