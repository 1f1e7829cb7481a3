import type { InputIssue } from "./invalid-body.js";

/** Deepest nesting of arrays and objects in an input. */
const MAX_INPUT_DEPTH = 100;

/**
 * The first part of an input that PostgreSQL could not store or that would exhaust the stack: a NUL character or half
 * a surrogate pair in a string or key, or nesting beyond `MAX_INPUT_DEPTH`. Null when the input is safe.
 */
export function findUnsafeInput(value: unknown, depth = 0): InputIssue | null {
  if (typeof value === "string") return findUnsafeText(value);
  if (typeof value !== "object" || value === null) return null;
  if (depth === MAX_INPUT_DEPTH) {
    return {
      path: [],
      code: "too_deep",
      message: `must not be nested deeper than ${MAX_INPUT_DEPTH} levels`,
    };
  }
  const entries: Iterable<[string | number, unknown]> = Array.isArray(value)
    ? value.entries()
    : Object.entries(value);
  for (const [key, item] of entries) {
    const issue = (typeof key === "string" ? findUnsafeText(key) : null) ?? findUnsafeInput(item, depth + 1);
    if (issue !== null) return { ...issue, path: [key, ...issue.path] };
  }
  return null;
}

const HALF_SURROGATE_PAIR = /\p{Surrogate}/u;

function findUnsafeText(text: string): InputIssue | null {
  if (text.includes("\u0000")) {
    return { path: [], code: "invalid_string", message: "must not contain the NUL character" };
  }
  if (HALF_SURROGATE_PAIR.test(text)) {
    return { path: [], code: "invalid_string", message: "must be well-formed Unicode" };
  }
  return null;
}
