import type { Evaluation, EvaluationResult } from "./evaluate-expression.js";
import { Evaluator } from "./evaluator.js";

/** Hands evaluations to a few processes, one at a time to each; the others wait in line. */
export class EvaluatorPool {
  readonly #evaluators: readonly Evaluator[];
  readonly #free: Evaluator[];
  readonly #waiting: ((evaluator: Evaluator) => void)[] = [];

  constructor(size: number) {
    this.#evaluators = Array.from({ length: size }, () => new Evaluator());
    this.#free = [...this.#evaluators];
  }

  /** @throws BlockError `expression_failed` that another attempt can help, when the process ends by itself. */
  async evaluate(evaluation: Evaluation): Promise<EvaluationResult> {
    // The one that was used last is running already.
    const evaluator = this.#free.pop() ?? (await this.#next());
    try {
      return await evaluator.evaluate(evaluation);
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free.push(evaluator);
      else next(evaluator);
    }
  }

  /** Ends every process; evaluations that run or wait fail. */
  async close(): Promise<void> {
    await Promise.all(this.#evaluators.map((evaluator) => evaluator.close()));
  }

  #next(): Promise<Evaluator> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}
