import { REDACTED, type Steps, WrittenSecrets } from "./find-secrets.js";
import { formsOf, MIN_LENGTH, variantsOf } from "./secret-forms.js";

export { REDACTED } from "./find-secrets.js";

/**
 * Steps of the search that each character may take on average, and steps that a value may take besides. Beyond, only
 * secrets that repeat themselves are looked for in texts that do so too.
 */
const STEPS_PER_CHARACTER = 32;
const FREE_STEPS = 1_000_000;

/** Replaces every occurrence of some secrets in a JSON value, object keys included, and gives a new value. */
export type Scrub = <T>(value: T) => T;

/** The scrub of an attempt that uses no secret. */
export const scrubNothing: Scrub = (value) => value;

/**
 * A scrub for these secrets: as they are and without blank ends, as text inside JSON, URL-encoded, as an address holds
 * them and in Base64, also as a part of a longer Base64 text such as a basic credential; upper and lower case are the
 * same. Of a secret that is an address, its password counts as a secret too. A number that reads like a secret is
 * replaced as well. Secrets of fewer than 4 characters are left alone. Takes a time that grows with the value: a text
 * that would take more is replaced as a whole.
 */
export function createScrub(secrets: Iterable<string>): Scrub {
  const plain = new Set([...secrets].flatMap(variantsOf).filter(({ length }) => length >= MIN_LENGTH));
  if (plain.size === 0) return scrubNothing;
  const written = new WrittenSecrets([...plain].flatMap(formsOf));

  const scrub = (value: unknown, steps: Steps): unknown => {
    const scrubText = (text: string): string => {
      steps.left += STEPS_PER_CHARACTER * text.length;
      return written.redact(text, steps);
    };
    if (typeof value === "string") return scrubText(value);
    if (typeof value === "number") return plain.has(String(value)) ? REDACTED : value;
    if (typeof value !== "object" || value === null) return value;
    if (Array.isArray(value)) return value.map((item) => scrub(item, steps));
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => [scrubText(key), scrub(item, steps)]),
    );
  };
  return <T>(value: T) => scrub(value, { left: FREE_STEPS }) as T;
}
