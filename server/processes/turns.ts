/**
 * Lets a few at a time have a turn. The others wait, each organization in a line of its own, and the organizations
 * take turns, so that none waits for all that another has asked.
 */
export class Turns {
  readonly #maxPerOrganization: number;
  #free: number;
  readonly #taken = new Map<string, number>();
  /** By organization, the one whose turn it is first. */
  readonly #waiting = new Map<string, (() => void)[]>();

  /** `max` turns at the same time, of which one organization has `maxPerOrganization` at most. */
  constructor(max: number, maxPerOrganization = max) {
    this.#free = max;
    this.#maxPerOrganization = maxPerOrganization;
  }

  /** Waits for a turn and gives what ends it, to be called once. Rejects with the reason of the signal. */
  async take(organizationId: string, signal?: AbortSignal): Promise<() => void> {
    signal?.throwIfAborted();
    if (!this.#begin(organizationId)) await this.#wait(organizationId, signal);
    return () => this.#end(organizationId);
  }

  #begin(organizationId: string): boolean {
    const taken = this.#taken.get(organizationId) ?? 0;
    if (this.#free === 0 || taken >= this.#maxPerOrganization) return false;
    this.#free -= 1;
    this.#taken.set(organizationId, taken + 1);
    return true;
  }

  #wait(organizationId: string, signal: AbortSignal | undefined): Promise<void> {
    const line = this.#waiting.get(organizationId) ?? [];
    this.#waiting.set(organizationId, line);
    return new Promise((resolve, reject) => {
      const begin = () => {
        signal?.removeEventListener("abort", leave);
        resolve();
      };
      const leave = () => {
        line.splice(line.indexOf(begin), 1);
        if (line.length === 0) this.#waiting.delete(organizationId);
        reject(signal?.reason);
      };
      line.push(begin);
      signal?.addEventListener("abort", leave, { once: true });
    });
  }

  /** Hands the turn to the first in line of the next organization that may have one, which then goes behind the others. */
  #end(organizationId: string): void {
    this.#free += 1;
    const taken = (this.#taken.get(organizationId) ?? 0) - 1;
    if (taken > 0) this.#taken.set(organizationId, taken);
    else this.#taken.delete(organizationId);
    for (const [next, line] of this.#waiting) {
      if (!this.#begin(next)) continue;
      const begin = line.shift();
      this.#waiting.delete(next);
      if (line.length > 0) this.#waiting.set(next, line);
      begin?.();
      return;
    }
  }
}
