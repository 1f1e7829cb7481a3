import type { InputIssue } from "../errors/invalid-body.js";
import { parseExpression } from "../expressions/parse-expression.js";
import { parseTemplate, type Reference } from "../workflows/references.js";
import { isSecretHeader } from "./delivery-request.js";
import type { Verification } from "./verification.js";

type Path = readonly (string | number)[];

const PARTS = ["body", "headers", "query"];

/** What is wrong with the templates of a JSON value: they may name the delivery only. */
export function findTemplateIssues(value: unknown, path: Path): InputIssue[] {
  if (typeof value === "string") {
    return parseTemplate(value).flatMap((part) => {
      const problem = part.kind === "text" ? part.problem : referenceProblem(part);
      return problem === null ? [] : issue(path, "invalid_template", problem);
    });
  }
  if (typeof value !== "object" || value === null) return [];
  const entries: Iterable<[string | number, unknown]> = Array.isArray(value)
    ? value.entries()
    : Object.entries(value);
  return [...entries].flatMap(([key, item]) => findTemplateIssues(item, [...path, key]));
}

/**
 * What is wrong with the key of a delivery. One that no delivery can change is refused: the first delivery would have
 * the only run. Credentials are such, because the key reads them as replaced.
 */
export function findKeyIssues(deliveryKey: string, verification: Verification, path: Path): InputIssue[] {
  const issues = findTemplateIssues(deliveryKey, path);
  const isConstant = parseTemplate(deliveryKey).every(
    (part) =>
      part.kind === "text" ||
      (part.path[0] === "headers" && isSecretHeader(String(part.path[1]), verification)),
  );
  if (issues.length > 0 || !isConstant) return issues;
  const problem = "is the same for every delivery; name the sender's own id, such as {{request.body.id}}";
  return [issue(path, "constant_key", problem)];
}

/** What is wrong with an expression over the delivery. */
export function findExpressionIssues(text: string, path: Path): InputIssue[] {
  const { problem, operands, reads } = parseExpression(text);
  const problems = [
    problem,
    ...operands.map(referenceProblem),
    ...reads.map((read) => partProblem(read.root, read.path[0], read.path[1])),
  ];
  return problems.flatMap((each) => (each === null ? [] : issue(path, "invalid_expression", each)));
}

function referenceProblem({ source, name, path }: Reference): string | null {
  const root = source === "block" || source === name ? name : `${source}.${name}`;
  return partProblem(root, path[0], path[1]);
}

function partProblem(root: string, part: unknown, name: unknown): string | null {
  if (root !== "request" || !PARTS.includes(String(part))) {
    return `${[root, ...(part === undefined ? [] : [part])].join(".")} is not there; a delivery has request.body, request.headers and request.query`;
  }
  const isLowered = part !== "headers" || typeof name !== "string" || name === name.toLowerCase();
  return isLowered
    ? null
    : `request.headers has its names in lower case: write ${String(name).toLowerCase()}`;
}

function issue(path: Path, code: string, message: string): InputIssue {
  return { path, code, message: message.replace(/\.$/, "") };
}
