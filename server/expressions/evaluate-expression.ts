import jsonata from "jsonata";
import { LRUCache } from "lru-cache";
import { operandName, withOperands } from "./operands.js";

/** Deepest nesting of calls; below what the stack takes. */
const MAX_DEPTH = 500;
/** Most elements of a list on the way to the result. */
const MAX_ELEMENTS = 1_000_000;
const MAX_COMPILED = 500;
const MAX_MESSAGE_LENGTH = 500;

/** One expression with everything that it may look at. */
export interface Evaluation {
  /** JSONata, with a variable for each operand. */
  readonly source: string;
  readonly operands: readonly unknown[];
  /** The operands as they were written, for messages. */
  readonly labels: readonly string[];
  /** What its bare paths read. */
  readonly input: unknown;
  readonly timeoutMs: number;
  readonly maxBytes: number;
}

/** The value as JSON, or why there is none. */
export type EvaluationResult =
  | { readonly json: string }
  | {
      readonly code: "expression_failed" | "expression_timeout" | "expression_too_large";
      readonly reason: string;
    };

const compiled = new LRUCache<string, jsonata.Expression>({ max: MAX_COMPILED });

/** Evaluates at once, in this process; never throws for what an expression does. */
export async function evaluateExpression(evaluation: Evaluation): Promise<EvaluationResult> {
  const { source, operands, labels, input, timeoutMs, maxBytes } = evaluation;
  try {
    const expression = compiled.get(source) ?? compile(source, timeoutMs);
    compiled.set(source, expression);
    const bindings = Object.fromEntries(operands.map((value, index) => [operandName(index), value]));
    const value: unknown = await expression.evaluate(input, bindings);
    const json = JSON.stringify(value, refuseFunctions) ?? "null";
    if (Buffer.byteLength(json) <= maxBytes) return { json };
    return { code: "expression_too_large", reason: `Its value is larger than ${maxBytes} bytes of JSON` };
  } catch (error) {
    const { code, reason } = explain(error, timeoutMs);
    return { code, reason: withOperands(reason, labels).slice(0, MAX_MESSAGE_LENGTH) };
  }
}

function compile(source: string, timeout: number): jsonata.Expression {
  const expression = jsonata(source, { timeout, stack: MAX_DEPTH, sequence: MAX_ELEMENTS });
  // What a computed text would read cannot be told beforehand.
  expression.assign("eval", undefined);
  return expression;
}

/** Why an expression was stopped, and what helps. */
export function tookTooLong(timeoutMs: number): string {
  return `It took longer than ${timeoutMs} ms; make it simpler or give it less data`;
}

const FUNCTION = Symbol("function");

function refuseFunctions(_key: string, value: unknown): unknown {
  if (typeof value === "function") throw FUNCTION;
  if (typeof value !== "object" || value === null) return value;
  if ("_jsonata_lambda" in value || "_jsonata_function" in value) throw FUNCTION;
  return value;
}

function explain(error: unknown, timeoutMs: number): Exclude<EvaluationResult, { json: string }> {
  if (error === FUNCTION) return { code: "expression_failed", reason: "Its value holds a function; call it" };
  const { code, message, position } = error as Partial<jsonata.JsonataError>;
  if (code === "D1012") return { code: "expression_timeout", reason: tookTooLong(timeoutMs) };
  if (code === "D1011" || (error instanceof RangeError && /call stack/.test(error.message))) {
    return { code: "expression_failed", reason: "It calls itself too deeply" };
  }
  if (code === "D2014" || code === "D2015") {
    return { code: "expression_too_large", reason: `It makes a list of more than ${MAX_ELEMENTS} elements` };
  }
  if (error instanceof RangeError) return { code: "expression_too_large", reason: error.message };
  const where = typeof position === "number" ? `, near character ${position}` : "";
  return {
    code: "expression_failed",
    reason: `${String(message ?? "It failed").replace(/\.$/, "")}${where}`,
  };
}
