import type { Reporter, TestModule, Vitest } from "vitest/node";

/**
 * Writes `N passed, N failed, N skipped` as the last line of a run. A file that could not be loaded and an error
 * outside of any test count as failed.
 */
export default class CountReporter implements Reporter {
  #vitest: Vitest | null = null;

  onInit(vitest: Vitest): void {
    this.#vitest = vitest;
  }

  /** Waits for the turn after the other reporters, which write their summary in this one. */
  async onTestRunEnd(modules: readonly TestModule[], errors: readonly unknown[]): Promise<void> {
    const counts = { passed: 0, failed: errors.length, skipped: 0 };
    for (const module of modules) {
      counts.failed += module.errors().length;
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        counts[state === "pending" ? "skipped" : state] += 1;
      }
    }
    await new Promise((resolve) => setImmediate(resolve));
    this.#vitest?.logger.log(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
  }
}
