import { Turns } from "../processes/turns.js";
import type { Evaluation, EvaluationResult } from "./evaluate-expression.js";
import { Evaluator } from "./evaluator.js";

/** Hands evaluations to a few processes, one at a time to each; organizations that wait take turns. */
export class EvaluatorPool {
  readonly #evaluators: readonly Evaluator[];
  readonly #free: Evaluator[];
  readonly #turns: Turns;

  constructor(size: number) {
    this.#evaluators = Array.from({ length: size }, () => new Evaluator());
    this.#free = [...this.#evaluators];
    this.#turns = new Turns(size);
  }

  /** @throws BlockError `expression_failed` that another attempt can help, when the process ends by itself. */
  async evaluate(organizationId: string, evaluation: Evaluation): Promise<EvaluationResult> {
    const endTurn = await this.#turns.take(organizationId);
    // The one that was used last is running already.
    const evaluator = this.#free.pop();
    if (evaluator === undefined) throw new Error("There are more turns than evaluators.");
    try {
      return await evaluator.evaluate(evaluation);
    } finally {
      this.#free.push(evaluator);
      endTurn();
    }
  }

  /** Ends every process; evaluations that run or wait fail. */
  async close(): Promise<void> {
    await Promise.all(this.#evaluators.map((evaluator) => evaluator.close()));
  }
}
