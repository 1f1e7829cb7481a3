/** Parts of a name that tell of a credential wherever they stand. */
const CREDENTIAL_PART =
  /pass(?:word|wd|phrase)|pass$|secret|token|(?:api|access|private|auth)[-_ ]?key|authori[sz]ation|cookie|credential|signature/i;

/** Words that do so only by themselves: `shipping` holds no PIN, and `author` is nobody's credential. */
const CREDENTIAL_WORDS: ReadonlySet<string> = new Set([
  "auth",
  "authentication",
  "bearer",
  "cvc",
  "cvv",
  "hmac",
  "jwt",
  "otp",
  "pin",
  "pwd",
  "session",
  "ssn",
]);

/** Whether the name of a header or of a field says that its value is a credential or a signature. */
export function isCredentialName(name: string): boolean {
  if (CREDENTIAL_PART.test(name)) return true;
  const words = name.replace(/([a-z0-9])([A-Z])/g, "$1 $2").split(/[^A-Za-z0-9]+/);
  return words.some((word) => CREDENTIAL_WORDS.has(word.toLowerCase()));
}
