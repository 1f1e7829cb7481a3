/** Bytes that the outputs of all blocks of one pass may take as JSON. */
export const MAX_RUN_BYTES = 16_777_216;

/**
 * What the outputs of one pass over a run may still take. Asking and taking are one call, because branches end at the
 * same time.
 */
export class OutputRoom {
  private free = MAX_RUN_BYTES;

  /** Bytes that are left, never negative. */
  get bytes(): number {
    return Math.max(0, this.free);
  }

  /** Takes the bytes and says true, or says false because they do not fit. */
  take(bytes: number): boolean {
    if (bytes > this.free) return false;
    this.free -= bytes;
    return true;
  }

  /** Takes what an earlier pass has recorded, whether it fits or not. */
  takeRecorded(bytes: number): void {
    this.free -= bytes;
  }
}
