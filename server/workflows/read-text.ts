import { parseExpression } from "../expressions/parse-expression.js";
import { excerpt } from "./excerpt.js";
import type { ReferenceScope, Viewpoint } from "./reference-scope.js";
import { parseTemplate, type Reference, soleReference, type TemplatePart } from "./references.js";
import type { ValidationCode } from "./validation-error.js";
import type { ValueKinds } from "./value-kind.js";

/** Most mistakes that are named of one text: each is looked up, and a text may hold any number of references. */
const MAX_MISTAKES = 100;

/** What is wrong with a text that gets its value only in a run, each mistake once, the first 100 of them. */
export interface TextReading {
  readonly errors: readonly (readonly [ValidationCode, string])[];
  /** Kinds of the value that takes the text's place; null when the text stands for itself. */
  readonly kinds: ValueKinds | null;
}

/** Looks every reference of a template up; nothing is said about the kind of a value that is wrong anyway. */
export function readTemplate(
  parts: readonly TemplatePart[],
  scope: ReferenceScope,
  viewpoint: Viewpoint,
): TextReading {
  const errors: (readonly [ValidationCode, string])[] = [];
  const seen = new Set<string>();
  const sole = soleReference(parts);
  let kinds: ValueKinds | null = null;
  for (const part of parts) {
    if (errors.length === MAX_MISTAKES) break;
    if ((part.kind === "text" && part.problem === null) || seen.has(part.text)) continue;
    seen.add(part.text);
    if (part.kind === "text") {
      errors.push(["malformed_reference", part.problem ?? ""]);
      continue;
    }
    const sight = scope.look(part, viewpoint);
    if ("code" in sight) errors.push([sight.code, `${excerpt(part.text)}: ${sight.error}.`]);
    kinds = "code" in sight || part !== sole ? ["string"] : sight.kinds;
  }
  return { errors, kinds: errors.length > 0 ? "any" : kinds };
}

/** Finds the references of a text in which none is filled. */
export function readLiteral(parts: readonly TemplatePart[]): TextReading {
  const reference = parts.find((part) => part.kind === "reference");
  if (reference === undefined) return { errors: [], kinds: null };
  const error = `no reference is filled in this parameter, so ${excerpt(reference.text)} would stand as it is; take it out.`;
  return { errors: [["reference_not_filled", error]], kinds: null };
}

/** Looks everything up that an expression reads; `code` is for what is no expression. */
export function readExpression(
  text: string,
  scope: ReferenceScope,
  viewpoint: Viewpoint,
  code: ValidationCode,
): TextReading {
  const parts = parseTemplate(text);
  if (soleReference(parts) !== null) return { ...readTemplate(parts, scope, viewpoint), kinds: null };
  const refusal = scope.refuseExpression(text);
  if (refusal !== null) return { errors: [[code, refusal]], kinds: null };
  const { problem, operands, reads } = parseExpression(text);
  if (problem !== null) return { errors: [[code, problem]], kinds: null };
  const errors = new Map<string, readonly [ValidationCode, string]>();
  for (const reference of [...operands, ...reads.flatMap(({ root, path }) => toReference(root, path))]) {
    if (errors.size === MAX_MISTAKES) break;
    if (errors.has(reference.text)) continue;
    const sight = scope.look(reference, viewpoint);
    if (!("code" in sight)) continue;
    const isBareName = sight.code === "reference_block_not_found" && !reference.text.startsWith("{{");
    const hint = isBareName ? "; text stands in quotes, and an id with a dash in {{…}}" : "";
    errors.set(reference.text, [sight.code, `${excerpt(reference.text)}: ${sight.error}${hint}.`]);
  }
  return { errors: [...errors.values()], kinds: null };
}

/**
 * A bare path as a reference, down to the variable or output that it names: what follows may go through lists, which
 * only the run can tell. None for what names nothing in particular.
 */
function toReference(root: string, [first, ...rest]: readonly string[]): Reference | [] {
  const text = [root, ...(first === undefined ? [] : [first]), ...rest].join(".");
  const path = first === undefined ? [] : [first];
  if (root === "trigger") return { kind: "reference", source: "trigger", name: root, path, text };
  if (root !== "vars" && root !== "secrets") {
    return { kind: "reference", source: "block", name: root, path, text };
  }
  if (root === "vars" && first === undefined) return [];
  return { kind: "reference", source: root, name: first ?? "", path: [], text };
}
