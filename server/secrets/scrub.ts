/** Stands where a secret was. */
export const REDACTED = "[secret]";

/** Shortest text that is looked for: shorter ones stand everywhere by chance. */
const MIN_LENGTH = 4;
/** Shortest piece of Base64 that counts as part of a secret. */
const MIN_BASE64_LENGTH = 8;

/** Replaces every occurrence of some secrets in a JSON value, object keys included, and gives a new value. */
export type Scrub = <T>(value: T) => T;

/** The scrub of an attempt that uses no secret. */
export const scrubNothing: Scrub = (value) => value;

/**
 * A scrub for these secrets: as they are, in lower case as host names come back, as text inside JSON, URL-encoded and in
 * Base64, also as a part of a longer Base64 text such as a basic credential. Of a secret that is an address, its password counts as a secret too. A number
 * that reads like a secret is replaced as well. Secrets of fewer than 4 characters are left alone.
 */
export function createScrub(secrets: Iterable<string>): Scrub {
  const plain = new Set([...secrets].flatMap(withPassword).filter((text) => text.length >= MIN_LENGTH));
  if (plain.size === 0) return scrubNothing;
  const needles = [...new Set([...plain].flatMap(encodingsOf))].sort((a, b) => b.length - a.length);

  const scrubText = (text: string): string =>
    needles.reduce(
      (rest, needle) => (rest.includes(needle) ? rest.replaceAll(needle, REDACTED) : rest),
      text,
    );

  const scrub = (value: unknown): unknown => {
    if (typeof value === "string") return scrubText(value);
    if (typeof value === "number") return plain.has(String(value)) ? REDACTED : value;
    if (typeof value !== "object" || value === null) return value;
    if (Array.isArray(value)) return value.map(scrub);
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [scrubText(key), scrub(item)]));
  };
  return <T>(value: T) => scrub(value) as T;
}

/** The secret, and the password when it is an address such as `smtps://user:password@host`. */
function withPassword(secret: string): string[] {
  const password = URL.canParse(secret) ? new URL(secret).password : "";
  return password === "" ? [secret] : [secret, password, decode(password)];
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Deepest that a secret is looked for as text in JSON inside of JSON. */
const MAX_JSON_LEVELS = 3;

function encodingsOf(secret: string): string[] {
  const inJson = Array.from({ length: MAX_JSON_LEVELS }).reduce<string[]>(
    (levels) => [...levels, JSON.stringify(levels.at(-1)).slice(1, -1)],
    [secret],
  );
  const [, once = secret] = inJson;
  const urlEncoded = [secret, once].flatMap((text) => [
    encodeURIComponent(text),
    new URLSearchParams({ "": text }).toString().slice(1),
  ]);
  return [
    ...inJson,
    ...urlEncoded,
    ...urlEncoded.map(lowerEscapes),
    ...[...inJson, ...urlEncoded].map((text) => text.toLowerCase()),
    ...[secret, once, ...urlEncoded].flatMap(base64Forms),
  ];
}

function lowerEscapes(text: string): string {
  return text.replace(/%[0-9A-F]{2}/g, (code) => code.toLowerCase());
}

/** The secret in Base64 by itself, and what stays the same of it wherever it begins in a longer text. */
function base64Forms(secret: string): string[] {
  const bytes = Buffer.from(secret);
  const whole = bytes.toString("base64").replace(/=+$/, "");
  const parts = [0, 1, 2].map((offset) => {
    const text = Buffer.concat([Buffer.alloc(offset), bytes]).toString("base64");
    // Characters that hold bits of the secret only.
    return text.slice(Math.ceil((offset * 8) / 6), Math.floor(((offset + bytes.length) * 8) / 6));
  });
  const forms = [whole, ...parts.filter((part) => part.length >= MIN_BASE64_LENGTH)];
  return forms.flatMap((form) => [form, form.replaceAll("+", "-").replaceAll("/", "_")]);
}
