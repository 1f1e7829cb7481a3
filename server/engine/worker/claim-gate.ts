import type { WorkflowRun } from "openworkflow/internal";

/** How runs are claimed; neither function rejects. */
export interface Claims {
  /** Called before the claims of a tick; false when none is to be made. */
  prepare(): Promise<boolean>;
  claim(workerId: string): Promise<WorkflowRun | null>;
}

interface Waiting {
  readonly workerId: string;
  readonly resolve: (run: WorkflowRun | null) => void;
}

/**
 * Lets the claims that one tick asks for at once through in waves of 1, 2, 4 … and answers the rest with null after
 * the first that finds nothing, so that an idle worker costs one statement and not one per slot.
 */
export class ClaimGate {
  private readonly claims: Claims;
  private waiting: Waiting[] = [];

  constructor(claims: Claims) {
    this.claims = claims;
  }

  request(workerId: string): Promise<WorkflowRun | null> {
    return new Promise((resolve) => {
      if (this.waiting.length === 0) queueMicrotask(() => void this.drain());
      this.waiting.push({ workerId, resolve });
    });
  }

  private async drain(): Promise<void> {
    const list = this.waiting;
    this.waiting = [];
    let start = 0;
    const isOpen = await this.claims.prepare();
    for (let size = 1; isOpen && start < list.length; size *= 2) {
      const wave = list.slice(start, start + size);
      start += size;
      const runs = await Promise.all(wave.map(({ workerId }) => this.claims.claim(workerId)));
      for (const [index, { resolve }] of wave.entries()) resolve(runs[index] ?? null);
      if (runs.includes(null)) break;
    }
    for (const { resolve } of list.slice(start)) resolve(null);
  }
}
