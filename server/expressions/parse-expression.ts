import jsonata from "jsonata";
import { parseTemplate, type Reference } from "../workflows/references.js";
import { type DataRead, findReads, type Node } from "./find-reads.js";
import { operandName, withOperands } from "./operands.js";

/** Most dots and parent operators in one expression: the parser's time grows with their square. */
const MAX_STEPS = 200;

/** An expression taken apart: JSONata in which each `{{reference}}` is a variable, and what it reads. */
export interface ParsedExpression {
  /** One sentence that says why it is no expression; null when it is one. */
  readonly problem: string | null;
  /** JSONata; the reference at index i is the variable `operandName(i)`. */
  readonly source: string;
  readonly operands: readonly Reference[];
  /** What it reads by bare paths, such as `trigger.customer.name`. */
  readonly reads: readonly DataRead[];
}

/**
 * Reads an expression without evaluating anything; never throws. `{{reference}}` stands for a value wherever JSONata
 * takes one; outside of predicates, path steps and other places with a context of their own, a bare name reads the
 * data, and so does `$$.name` everywhere.
 */
export function parseExpression(text: string): ParsedExpression {
  const parts = parseTemplate(text);
  const operands = parts.filter((part) => part.kind === "reference");
  const broken = parts.find((part) => part.kind === "text" && part.problem !== null);
  const failed = (problem: string) => ({ problem, source: "", operands, reads: [] });
  if (broken?.kind === "text" && broken.problem !== null) return failed(broken.problem);

  let count = 0;
  const source = parts
    .map((part) => (part.kind === "text" ? part.text : `$${operandName(count++)}`.padEnd(part.text.length)))
    .join("");
  if ((source.match(/[.%]/g) ?? []).length > MAX_STEPS) {
    return failed(`It has more than ${MAX_STEPS} steps; take it apart.`);
  }
  const labels = operands.map((operand) => operand.text);
  try {
    // The types of the library leave out half of what its tree holds.
    const { reads, variables, problem } = findReads(jsonata(source).ast() as unknown as Node);
    if (problem !== null) return failed(problem);
    const quoted = labels.find((_, index) => !variables.has(operandName(index)));
    if (quoted === undefined) return { problem: null, source, operands, reads };
    return failed(
      `${quoted} stands inside quotes or a comment, where nothing is filled in; end the text and join with &.`,
    );
  } catch (error) {
    return failed(withOperands(describeParseError(error), labels));
  }
}

function describeParseError(error: unknown): string {
  if (error instanceof RangeError) return "It is nested too deeply; take it apart.";
  const { message, position } = error as { readonly message?: unknown; readonly position?: unknown };
  const what = typeof message === "string" && message !== "" ? message.replace(/\.$/, "") : "Syntax error";
  return typeof position === "number" ? `${what}, near character ${position}.` : `${what}.`;
}
