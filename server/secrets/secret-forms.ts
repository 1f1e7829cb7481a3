/** Shortest text that is looked for: shorter ones stand everywhere by chance. */
export const MIN_LENGTH = 4;
/** Shortest piece of Base64 that counts as part of a secret. */
const MIN_BASE64_LENGTH = 8;

/**
 * One way of writing a text: what it makes of a text begins with what it makes of the text's beginning, as far as that
 * is not within the last few characters, and is at least as long.
 */
type Encoding = (text: string) => string;

/** A secret and one way in which it may be written. */
export interface SecretForm {
  readonly secret: string;
  readonly encode: Encoding;
}

/**
 * What counts as a secret besides the secret itself: the password when it is an address such as
 * `smtps://user:password@host`, and each of them as headers and addresses take it, without blank ends and line breaks.
 */
export function variantsOf(secret: string): string[] {
  return [...new Set(withPassword(secret).flatMap((text) => [text, trim(text), withoutBreaks(trim(text))]))];
}

/** Every way in which a text of `variantsOf` may be written. */
export function formsOf(secret: string): SecretForm[] {
  // An address never holds a line break; the variant without it is looked for.
  const fitting = secret === withoutBreaks(secret) ? [...encodings, ...inAddresses] : encodings;
  return fitting.map((encode) => ({ secret, encode }));
}

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

/** Without spaces and control characters at its ends; in a time that grows with the text. */
function trim(text: string): string {
  let [start, end] = [0, text.length];
  while (start < end && isBlank(text.charAt(start))) start += 1;
  while (start < end && isBlank(text.charAt(end - 1))) end -= 1;
  return text.slice(start, end);
}

function isBlank(character: string): boolean {
  return /[\s\p{Cc}]/u.test(character);
}

function withoutBreaks(text: string): string {
  return text.replace(/[\t\r\n]/g, "");
}

const asItIs: Encoding = (text) => text;
const inJson: Encoding = (text) => JSON.stringify(text).slice(1, -1);
const inForm: Encoding = (text) => new URLSearchParams({ "": text }).toString().slice(1);

/** What stays the same of a text in Base64 wherever it begins in a longer one: `offset` is the rest of that by 3. */
const partOfBase64 =
  (offset: number): Encoding =>
  (text) => {
    const bytes = Buffer.from(text);
    const base64 = Buffer.concat([Buffer.alloc(offset), bytes]).toString("base64");
    // Characters that hold bits of the secret only.
    const part = base64.slice(Math.ceil((offset * 8) / 6), Math.floor(((offset + bytes.length) * 8) / 6));
    return part.length >= MIN_BASE64_LENGTH ? part : "";
  };
const wholeBase64: Encoding = (text) => Buffer.from(text).toString("base64").replace(/=+$/, "");
const forAddresses: Encoding = (text) => text.replaceAll("+", "-").replaceAll("/", "_");

/** What the parser of addresses makes of a text behind `before`: it escapes some characters and leaves others. */
const inAddress =
  (before: string): Encoding =>
  (text) => {
    const { href } = new URL(`${before}${text}x`);
    return href.startsWith(before) ? href.slice(before.length, -1) : "";
  };
const inUserinfo: Encoding = (text) => {
  const url = new URL("http://host/");
  url.username = text;
  return url.username;
};

const then =
  (first: Encoding, ...others: readonly Encoding[]): Encoding =>
  (text) =>
    others.reduce((encoded, encode) => encode(encoded), first(text));

const urlEncodings = [asItIs, inJson].flatMap((text) => [then(text, encodeURIComponent), then(text, inForm)]);
const base64Encodings = [wholeBase64, ...[0, 1, 2].map(partOfBase64)].flatMap((encode) => [
  encode,
  then(encode, forAddresses),
]);
/** Text in JSON is looked for up to JSON inside of JSON inside of JSON. */
const encodings: readonly Encoding[] = [
  asItIs,
  inJson,
  then(inJson, inJson),
  then(inJson, inJson, inJson),
  ...urlEncodings,
  ...[asItIs, inJson, ...urlEncodings].flatMap((text) => base64Encodings.map((encode) => then(text, encode))),
];
const inAddresses: readonly Encoding[] = [
  ...["http://host/x", "http://host/?x", "http://host/#x"].map(inAddress),
  inUserinfo,
].flatMap((encode) => [encode, then(encode, inJson)]);
