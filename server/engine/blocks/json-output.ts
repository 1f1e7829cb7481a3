import { BlockError } from "../../connectors/block-error.js";

/** Largest output of one block as JSON, in bytes. */
export const MAX_OUTPUT_BYTES = 1_048_576;
/** Deepest nesting of an output; far below what JSON and PostgreSQL can take. */
const MAX_OUTPUT_DEPTH = 200;

/** A value that the database takes as it is, and its size as JSON. */
export interface StorableJson {
  readonly value: unknown;
  readonly bytes: number;
}

/**
 * The value as it will be read back from the database: dates are text, BigInts are decimal text, NUL characters are
 * gone and lone surrogates are replaced, because `jsonb` refuses them.
 * @throws BlockError `invalid_output` for what JSON cannot carry, `output_too_large` beyond `maxBytes`, 1 MiB by default.
 */
export function toStorableJson(value: unknown, maxBytes = MAX_OUTPUT_BYTES): StorableJson {
  if (isDeeperThan(value, MAX_OUTPUT_DEPTH)) {
    throw new BlockError(
      "invalid_output",
      `The output is nested deeper than ${MAX_OUTPUT_DEPTH} levels or in a circle.`,
    );
  }
  const json = stringify(value);
  const text = toWellFormed(json.text);
  const bytes = Buffer.byteLength(text) + json.growth;
  if (bytes > maxBytes) {
    throw new BlockError(
      "output_too_large",
      `The output has ${bytes} bytes as JSON; ${maxBytes} are allowed. Return less of it.`,
    );
  }
  return { value: JSON.parse(text), bytes };
}

/** A text that the database takes inside JSON, cut to `maxLength` characters. */
export function toStorableText(text: string, maxLength: number): string {
  return JSON.parse(toWellFormed(JSON.stringify(text.slice(0, maxLength))));
}

/** Stands where `capJson` has cut something off. */
export const CUT_MARK = "… [cut]";

/**
 * A copy of a JSON value of about `maxBytes` bytes as JSON at most. What does not fit ends in a mark: a text in its
 * middle, an array or object after what fits of it.
 */
export function capJson(value: unknown, maxBytes: number): unknown {
  let remaining = maxBytes;

  const capText = (text: string): string => {
    const bytes = Buffer.byteLength(JSON.stringify(text)) + 1;
    const fits = bytes <= remaining;
    // A character takes six bytes as JSON at most, so a part of this length certainly fits.
    const kept = fits ? text : `${toStorableText(text, Math.floor(remaining / 6))}${CUT_MARK}`;
    remaining = fits ? remaining - bytes : 0;
    return kept;
  };

  const capEntries = (entries: [string, unknown][], depth: number): [string, unknown][] => {
    const kept: [string, unknown][] = [];
    for (const [key, item] of entries) {
      if (remaining <= 0) return [...kept, [CUT_MARK, CUT_MARK]];
      kept.push([capText(key), cap(item, depth)]);
    }
    return kept;
  };

  const cap = (item: unknown, depth: number): unknown => {
    if (remaining <= 0 || depth > MAX_OUTPUT_DEPTH) return CUT_MARK;
    if (typeof item === "string") return capText(item);
    remaining -= 2;
    if (Array.isArray(item)) {
      const entries = item.map((each): [string, unknown] => ["", each]);
      return capEntries(entries, depth + 1).map(([, each]) => each);
    }
    if (typeof item === "object" && item !== null) {
      return Object.fromEntries(capEntries(Object.entries(item), depth + 1));
    }
    remaining -= String(item).length;
    return item;
  };

  return cap(value, 0);
}

/** What the value takes as JSON once it was stored, in bytes: the database writes every digit of a number. */
export function jsonBytes(value: unknown): number {
  const { text, growth } = stringify(value);
  return Buffer.byteLength(text) + growth;
}

function stringify(value: unknown): { readonly text: string; readonly growth: number } {
  let growth = 0;
  const text = JSON.stringify(value, (_key, item: unknown) => {
    if (typeof item === "bigint") return item.toString();
    if (typeof item === "number") growth += growthOf(item);
    return item;
  });
  return { text: text ?? "null", growth };
}

/** How many more digits the database writes of a number than JSON.stringify, which uses exponents from here on. */
function growthOf(number: number): number {
  const size = Math.abs(number);
  const isPlain = (size >= 1e-6 && size < 1e21) || size === 0 || !Number.isFinite(size);
  return isPlain ? 0 : Math.abs(Math.floor(Math.log10(size)));
}

/** Escapes that JSON.stringify writes only for NUL and lone surrogates; `\\\\` is consumed so that it hides nothing. */
const REFUSED_ESCAPES = /\\\\|\\u0000|\\ud[89a-f][0-9a-f]{2}/g;

function toWellFormed(text: string): string {
  if (!text.includes("\\u")) return text;
  return text.replace(REFUSED_ESCAPES, (found) => {
    if (found === "\\\\") return found;
    return found === "\\u0000" ? "" : "\ufffd";
  });
}

function isDeeperThan(value: unknown, levels: number): boolean {
  if (typeof value !== "object" || value === null) return false;
  return levels === 0 || Object.values(value).some((item) => isDeeperThan(item, levels - 1));
}
