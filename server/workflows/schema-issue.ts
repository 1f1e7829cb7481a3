import type { z } from "zod";

type Issue = z.core.$ZodIssue;

/** A path as people write it: `headers.accept`, `items[0].id`. */
export function fieldName(path: readonly PropertyKey[]): string {
  return path
    .map((step, index) =>
      typeof step === "number" ? `[${step}]` : `${index === 0 ? "" : "."}${String(step)}`,
    )
    .join("");
}

/** What the schema expected, as a clause that can follow "url: "; never repeats the offending value. */
export function describeIssue(issue: Issue): string {
  if (issue.code === "invalid_union" && issue.errors.length > 0) {
    return `expected ${[...new Set(issue.errors.map(expectationOf))].join(" or ")}`;
  }
  return issue.message.replace(/^Invalid (input|option): /, "").replace(/\.$/, "");
}

/** How a value of another kind comes into a parameter that takes text; for messages. */
export const TEXT_REMEDY = "make it text inside longer text or with $string in a transform";

/** Whether a text is asked for where another kind of value is. */
export function asksForText(issue: Issue): boolean {
  return issue.code === "invalid_type" && issue.expected === "string";
}

/** What one option of a union asks for. */
function expectationOf(issues: readonly Issue[]): string {
  const [first] = issues;
  if (first === undefined) return "another value";
  const where = first.path.length === 0 ? "" : ` at ${fieldName(first.path)}`;
  return `${describeIssue(first)
    .replace(/^expected /, "")
    .replace(/, received .*$/, "")}${where}`;
}
