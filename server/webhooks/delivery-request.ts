import type { ValueScope } from "../engine/blocks/resolve-values.js";
import { isCredentialName } from "./credential-names.js";
import { credentialHeaders, type Verification } from "./verification.js";
import type { DeliveryHeaders } from "./verify-delivery.js";

/** A delivery as filter, input mapping and delivery key see it, under the name `request`. */
export interface DeliveryRequest {
  /** In lower case, without credentials and signatures. */
  readonly headers: Readonly<Record<string, string>>;
  /** Decoded; a repeated parameter is an array. */
  readonly query: Readonly<Record<string, string | string[]>>;
  /** JSON, the fields of a form, or text; null when nothing was sent. */
  readonly body: unknown;
}

/** What stands for a header that carries a credential. */
export const REDACTED = "[redacted]";

const JSON_TYPE = /^application\/(?:[\w.!#$&^-]+\+)?json\s*(?:;|$)/i;
const FORM_TYPE = /^application\/x-www-form-urlencoded\s*(?:;|$)/i;
const CHARSET = /;\s*charset\s*=\s*"?([^\s";]+)/i;

/** Whether the value of a header is kept and read as replaced; its name is in lower case. */
export function isSecretHeader(name: string, verification: Verification): boolean {
  return isCredentialName(name) || credentialHeaders(verification).includes(name);
}

/** One text per header, credentials and signatures replaced. */
export function openHeaders(headers: DeliveryHeaders, verification: Verification): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, values = []]) => [
      name,
      isSecretHeader(name, verification) ? REDACTED : values.join(", "),
    ]),
  );
}

/** The parameters of a query or a form. */
export function readParameters(parameters: URLSearchParams): Record<string, string | string[]> {
  return Object.fromEntries(
    [...new Set(parameters.keys())].map((name) => {
      const values = parameters.getAll(name);
      return [name, values.length > 1 ? values : (values[0] ?? "")];
    }),
  );
}

/**
 * Reads a body by its content type: JSON, also where no type is sent; a form as its fields, where a sole field
 * `payload` holds JSON, as GitHub and Slack send it; anything else as text. `parse` reads what is JSON. A `problem` is
 * the end of a sentence about the body.
 */
export function readBody(
  bytes: Uint8Array,
  contentType: string | null,
  parse: (json: string) => unknown = JSON.parse,
): { readonly value: unknown } | { readonly problem: string } {
  if (bytes.length === 0) return { value: null };
  const type = contentType ?? "application/json";
  const text = readText(bytes, type);
  if (text === null) return { problem: "must be text in the charset of its content type, UTF-8 by default" };
  const parseOr = (json: string, problem: string) => {
    try {
      return { value: parse(json) };
    } catch {
      return { problem };
    }
  };
  if (JSON_TYPE.test(type)) return parseOr(text, "must be JSON");
  if (!isForm(type)) return { value: text };
  const fields = readParameters(new URLSearchParams(text));
  const { payload, ...others } = fields;
  return typeof payload === "string" && Object.keys(others).length === 0
    ? parseOr(payload, "must hold JSON in its field payload")
    : { value: fields };
}

/** The run's input where nothing is mapped: an object as it is, anything else under `body`. */
export function toInput(value: unknown): Record<string, unknown> {
  if (value === null || value === undefined) return {};
  return typeof value === "object" && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : { body: value };
}

/** Lets references find the delivery as `request`. */
export function scopeOf(request: DeliveryRequest): ValueScope {
  return { trigger: null, vars: {}, outputs: { request }, nameToId: {} };
}

/** Whether a body of the content type is the fields of a form. */
export function isForm(contentType: string | null): boolean {
  return contentType !== null && FORM_TYPE.test(contentType);
}

/** The text of a body in the charset of its content type, UTF-8 by default; null when it is none. */
function readText(bytes: Uint8Array, contentType: string, isStrict = true): string | null {
  try {
    return new TextDecoder(CHARSET.exec(contentType)?.[1] ?? "utf-8", { fatal: isStrict }).decode(bytes);
  } catch {
    return null;
  }
}

/** The same for people: what can be read of it, in UTF-8 where there is no such charset. */
export function readTextAnyhow(bytes: Uint8Array, contentType: string | null): string {
  return readText(bytes, contentType ?? "", false) ?? new TextDecoder().decode(bytes);
}

const STRING_OR_NUMBER = /"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*/g;
/** More digits than every number keeps (https://en.cppreference.com/w/cpp/types/numeric_limits/digits10). */
const MANY_DIGITS = /\d[\d.]{15}/;

/** JSON, its long numbers as texts, so that two of them stay two: a number holds no more than 15 digits for certain. */
export function parseExactly(json: string): unknown {
  const isExact = (part: string) => part.startsWith('"') || !MANY_DIGITS.test(part);
  return JSON.parse(json.replace(STRING_OR_NUMBER, (part) => (isExact(part) ? part : `"${part}"`)));
}
