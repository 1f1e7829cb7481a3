import { isCredentialName } from "./credential-names.js";
import { isForm, REDACTED } from "./delivery-request.js";

/** JSON, or text like it, part by part; the last string may lack its end. */
const PARTS = /"(?:[^"\\]|\\.)*"?|[{}[\]:,]|\s+|[^\s"{}[\]:,]+/gs;

/**
 * The text of a body with the values of fields replaced whose names tell of a credential: in JSON, also in one that is
 * the value of a form's field, and in the form itself. The rest stays as it was sent, and the beginning of a body is
 * treated as the body itself would be.
 */
export function redactBody(text: string, contentType: string | null): string {
  return isForm(contentType) ? text.split("&").map(redactField).join("&") : redactJson(text);
}

/** The same for parameters that have been read. */
export function redactParameters(
  parameters: Readonly<Record<string, string | string[]>>,
): Record<string, string | string[]> {
  return Object.fromEntries(
    Object.entries(parameters).map(([name, value]) => [name, isCredentialName(name) ? REDACTED : value]),
  );
}

function redactField(field: string): string {
  const [name = ""] = field.split("=", 1);
  if (name.length === field.length) return field;
  // A form writes `card[cvc]` as `card%5Bcvc%5D`.
  const [[decodedName, value] = [name, ""]] = new URLSearchParams(field);
  if (isCredentialName(decodedName)) return `${name}=${REDACTED}`;
  const redacted = redactJson(value);
  return redacted === value ? field : `${name}=${encodeURIComponent(redacted)}`;
}

function redactJson(text: string): string {
  const kept: string[] = [];
  /** What would be the name of a field if a colon followed. */
  let name: string | null = null;
  let isSecret = false;
  /** How many brackets are open inside of what is replaced. */
  let depth = 0;
  for (const [part] of text.matchAll(PARTS)) {
    if (depth > 0) {
      depth += nestingOf(part);
    } else if (part.trim() === "") {
      kept.push(part);
    } else if (isSecret && nestingOf(part) >= 0 && part !== "," && part !== "null") {
      kept.push(JSON.stringify(REDACTED));
      depth = nestingOf(part);
      isSecret = false;
    } else {
      kept.push(part);
      isSecret = part === ":" && name !== null && isCredentialName(readName(name));
      name = part.startsWith('"') ? part : null;
    }
  }
  return kept.join("");
}

function nestingOf(part: string): number {
  if (part === "{" || part === "[") return 1;
  return part === "}" || part === "]" ? -1 : 0;
}

function readName(part: string): string {
  try {
    return JSON.parse(part);
  } catch {
    return part;
  }
}
