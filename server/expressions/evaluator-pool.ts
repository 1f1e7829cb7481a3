import type { Evaluation, EvaluationResult } from "./evaluate-expression.js";
import { Evaluator } from "./evaluator.js";

/**
 * Hands evaluations to a few processes, one at a time to each. The others wait, each organization in a line of its own,
 * and the organizations take turns, so that none waits for all that another has asked.
 */
export class EvaluatorPool {
  readonly #evaluators: readonly Evaluator[];
  readonly #free: Evaluator[];
  /** By organization, the one whose turn it is first. */
  readonly #waiting = new Map<string, ((evaluator: Evaluator) => void)[]>();

  constructor(size: number) {
    this.#evaluators = Array.from({ length: size }, () => new Evaluator());
    this.#free = [...this.#evaluators];
  }

  /** @throws BlockError `expression_failed` that another attempt can help, when the process ends by itself. */
  async evaluate(organizationId: string, evaluation: Evaluation): Promise<EvaluationResult> {
    // The one that was used last is running already.
    const evaluator = this.#free.pop() ?? (await this.#wait(organizationId));
    try {
      return await evaluator.evaluate(evaluation);
    } finally {
      const next = this.#next();
      if (next === undefined) this.#free.push(evaluator);
      else next(evaluator);
    }
  }

  /** Ends every process; evaluations that run or wait fail. */
  async close(): Promise<void> {
    await Promise.all(this.#evaluators.map((evaluator) => evaluator.close()));
  }

  #wait(organizationId: string): Promise<Evaluator> {
    const line = this.#waiting.get(organizationId) ?? [];
    this.#waiting.set(organizationId, line);
    return new Promise((resolve) => line.push(resolve));
  }

  /** The first in line of the organization whose turn it is, which then goes behind the others. */
  #next(): ((evaluator: Evaluator) => void) | undefined {
    for (const [organizationId, line] of this.#waiting) {
      const next = line.shift();
      this.#waiting.delete(organizationId);
      if (line.length > 0) this.#waiting.set(organizationId, line);
      return next;
    }
    return undefined;
  }
}
