import { LRUCache } from "lru-cache";
import { BlockError } from "../connectors/define-connector.js";
import { resolveValue, type ValueScope } from "../engine/blocks/resolve-values.js";
import { parseTemplate, soleReference } from "../workflows/references.js";
import { EvaluatorPool } from "./evaluator-pool.js";
import { type ParsedExpression, parseExpression } from "./parse-expression.js";
import { selectInput } from "./select-input.js";

/** Largest value that an expression may give, in bytes of JSON. */
const MAX_RESULT_BYTES = 1_048_576;
const MAX_PARSED = 1_000;

/** Evaluates expressions in other processes, bounded in time and memory. */
export interface Expressions {
  /**
   * The plain JSON value of an organization's expression over what it references; nothing is null. Only what it references leaves
   * this process, and an expression that is one `{{reference}}` needs no other one.
   * @throws BlockError `expression_failed`, `expression_timeout`, `expression_too_large`, `value_too_large`.
   */
  evaluate(organizationId: string, text: string, scope: ValueScope): Promise<unknown>;
  /** Ends the processes; what is being evaluated fails. */
  close(): Promise<void>;
}

export interface ExpressionsOptions {
  /** Longest time one evaluation may take; waiting for a process does not count. Absent: one second. */
  readonly timeoutMs?: number;
  /** Most evaluations at once. Absent: two. */
  readonly maxProcesses?: number;
}

/** Makes an evaluator of expressions; processes start with the first use and end when they are idle. */
export function createExpressions({
  timeoutMs = 1_000,
  maxProcesses = 2,
}: ExpressionsOptions = {}): Expressions {
  const parsed = new LRUCache<string, ParsedExpression>({ max: MAX_PARSED });
  const pool = new EvaluatorPool(maxProcesses);

  const parse = (text: string): ParsedExpression => {
    const known = parsed.get(text) ?? parseExpression(text);
    parsed.set(text, known);
    return known;
  };

  return {
    async evaluate(organizationId, text, scope) {
      if (soleReference(parseTemplate(text)) !== null) return resolveValue(text, scope);
      const { problem, source, operands, reads } = parse(text);
      if (problem !== null)
        throw new BlockError("expression_failed", `The expression cannot be read: ${problem}`);
      const result = await pool.evaluate(organizationId, {
        source,
        operands: operands.map((operand) => resolveValue(operand.text, scope)),
        labels: operands.map((operand) => operand.text),
        input: selectInput(reads, scope),
        timeoutMs,
        maxBytes: MAX_RESULT_BYTES,
      });
      if ("json" in result) return JSON.parse(result.json) as unknown;
      throw new BlockError(result.code, `The expression gives no value: ${result.reason}.`);
    },
    close: () => pool.close(),
  };
}
