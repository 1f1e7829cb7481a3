import { parseTemplate, soleReference } from "./references.js";

/**
 * Null when the text can be a connection's condition, otherwise one sentence that says why not. A condition is
 * exactly one reference, and it holds when the value is truthy.
 */
export function parseCondition(text: string): string | null {
  const parts = parseTemplate(text);
  if (soleReference(parts) !== null) return null;
  const broken = parts.find((part) => part.kind === "text" && part.problem !== null);
  return broken?.kind === "text" && broken.problem !== null
    ? broken.problem
    : "A condition must be exactly one reference, such as {{check.isReady}}, without any other text.";
}
