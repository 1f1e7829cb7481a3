import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import { standardKey, type Verification } from "./verification.js";

/** Headers in lower case, every value that was sent. */
export type DeliveryHeaders = Readonly<Record<string, readonly string[] | undefined>>;

/** What is verified: the bytes as they came, before anything has read them. */
export interface SignedDelivery {
  readonly headers: DeliveryHeaders;
  readonly body: Uint8Array;
}

const TOLERANCE_SECONDS = 300;
/** Timestamps from here on are milliseconds: as seconds they would lie beyond the year 5000. */
const FIRST_MILLISECONDS = 100_000_000_000;

/**
 * Tells why a delivery is not from the holder of one of the secrets, or null when it is. Signatures are compared in
 * constant time, over the raw bytes; a header that is missing or was sent twice verifies nothing, and a signed time
 * may be as far from `now` as the sender's rules allow, either way.
 */
export function verifyDelivery(
  verification: Verification,
  secrets: readonly string[],
  delivery: SignedDelivery,
  now: Date,
): string | null {
  switch (verification.type) {
    case "none":
      return null;
    case "standard_webhooks":
      return verifyStandard(secrets, delivery, now);
    case "stripe":
      return verifyStripe(secrets, delivery, now);
    case "github":
      return verifySignature(secrets, delivery, { header: "x-hub-signature-256", prefix: "sha256=" });
    case "slack":
      return verifySlack(secrets, delivery, now);
    case "hmac":
      return verifyHmac(verification, secrets, delivery, now);
    case "bearer":
      return verifyBearer(verification.header, secrets, delivery);
  }
}

/** https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md; Svix has its own prefix. */
function verifyStandard(secrets: readonly string[], delivery: SignedDelivery, now: Date): string | null {
  const prefix = delivery.headers["webhook-id"] === undefined ? "svix" : "webhook";
  const [idHeader, timeHeader, signatureHeader] = ["id", "timestamp", "signature"].map(
    (name) => `${prefix}-${name}`,
  ) as [string, string, string];
  const id = single(delivery, idHeader);
  const timestamp = single(delivery, timeHeader);
  const signatures = single(delivery, signatureHeader);
  if (id === null || timestamp === null || signatures === null) {
    return missing(id === null ? idHeader : timestamp === null ? timeHeader : signatureHeader);
  }
  const untimely = timeProblem(timestamp, now);
  if (untimely !== null) return untimely;
  const sent = signatures.split(" ");
  return secrets.some((secret) => {
    const key = Buffer.from(standardKey(secret), "base64");
    const expected = hmac("sha256", key, [`${id}.${timestamp}.`, delivery.body], "base64");
    return isAmong(`v1,${expected}`, sent);
  })
    ? null
    : mismatch(signatureHeader);
}

/** https://docs.stripe.com/webhooks/signature */
function verifyStripe(secrets: readonly string[], delivery: SignedDelivery, now: Date): string | null {
  const header = single(delivery, "stripe-signature");
  if (header === null) return missing("stripe-signature");
  const fields = header.split(",").map((field) => field.split("=", 2));
  const valuesOf = (name: string) => fields.flatMap(([key, value]) => (key === name ? [value ?? ""] : []));
  const [timestamp, ...others] = valuesOf("t");
  if (timestamp === undefined || others.length > 0) return "The header stripe-signature lacks its time t.";
  const untimely = timeProblem(timestamp, now);
  if (untimely !== null) return untimely;
  const content = [`${timestamp}.`, delivery.body];
  return secrets.some((secret) => isAmong(hmac("sha256", secret, content, "hex"), valuesOf("v1")))
    ? null
    : mismatch("stripe-signature");
}

/** https://docs.slack.dev/authentication/verifying-requests-from-slack */
function verifySlack(secrets: readonly string[], delivery: SignedDelivery, now: Date): string | null {
  const timestamp = single(delivery, "x-slack-request-timestamp");
  if (timestamp === null) return missing("x-slack-request-timestamp");
  return (
    timeProblem(timestamp, now) ??
    verifySignature(secrets, delivery, {
      header: "x-slack-signature",
      prefix: "v0=",
      signedPrefix: `v0:${timestamp}:`,
    })
  );
}

function verifyHmac(
  options: Extract<Verification, { type: "hmac" }>,
  secrets: readonly string[],
  delivery: SignedDelivery,
  now: Date,
): string | null {
  const { timestampHeader } = options;
  if (timestampHeader === undefined) return verifySignature(secrets, delivery, options);
  const timestamp = single(delivery, timestampHeader);
  if (timestamp === null) return missing(timestampHeader);
  return (
    timeProblem(timestamp, now, options.toleranceSeconds) ??
    verifySignature(secrets, delivery, { ...options, signedPrefix: `${timestamp}.` })
  );
}

/** One signature in a header of its own, after `prefix`. */
function verifySignature(
  secrets: readonly string[],
  delivery: SignedDelivery,
  options: {
    readonly header: string;
    readonly prefix: string;
    readonly algorithm?: "sha256" | "sha512" | "sha1";
    readonly encoding?: "hex" | "base64";
    /** Text that is signed before the body. */
    readonly signedPrefix?: string;
  },
): string | null {
  const { header, prefix, algorithm = "sha256", encoding = "hex", signedPrefix = "" } = options;
  const sent = single(delivery, header);
  if (sent === null) return missing(header);
  if (!sent.startsWith(prefix)) return `The header ${header} does not start with ${prefix}.`;
  const signature = sent.slice(prefix.length);
  const given = encoding === "hex" ? signature.toLowerCase() : signature;
  return secrets.some((secret) =>
    isAmong(hmac(algorithm, secret, [signedPrefix, delivery.body], encoding), [given]),
  )
    ? null
    : mismatch(header);
}

function verifyBearer(header: string, secrets: readonly string[], delivery: SignedDelivery): string | null {
  const sent = single(delivery, header);
  if (sent === null) return missing(header);
  const token = header === "authorization" ? /^Bearer +(\S.*)$/i.exec(sent)?.[1] : sent;
  if (token === undefined) return "The header authorization does not hold Bearer and the secret.";
  // Digests have one length, so that a comparison tells nothing about the secret's.
  return secrets.some((secret) => isAmong(digest(secret), [digest(token)]))
    ? null
    : `The header ${header} does not hold the secret.`;
}

/** The only value of a header, or null. */
function single({ headers }: SignedDelivery, name: string): string | null {
  const values = Object.hasOwn(headers, name) ? headers[name] : undefined;
  const [value] = values ?? [];
  return values?.length === 1 && value !== undefined && value !== "" ? value : null;
}

function timeProblem(text: string, now: Date, toleranceSeconds = TOLERANCE_SECONDS): string | null {
  if (!/^\d{1,15}$/.test(text)) return "The timestamp is not a Unix time.";
  const sent = Number(text);
  const seconds = sent < FIRST_MILLISECONDS ? sent : sent / 1_000;
  const ageSeconds = Math.floor(now.getTime() / 1_000) - seconds;
  if (ageSeconds > toleranceSeconds) return `The timestamp is more than ${toleranceSeconds} seconds old.`;
  return -ageSeconds > toleranceSeconds
    ? `The timestamp is more than ${toleranceSeconds} seconds in the future.`
    : null;
}

function hmac(
  algorithm: "sha256" | "sha512" | "sha1",
  key: string | Uint8Array,
  content: readonly (string | Uint8Array)[],
  encoding: "hex" | "base64",
): string {
  const signing = createHmac(algorithm, key);
  for (const part of content) signing.update(part);
  return signing.digest(encoding);
}

const digest = (text: string) => createHash("sha256").update(text).digest("hex");

/** Signatures are compared as text: several base64 texts may stand for the same bytes. */
function isAmong(expected: string, sent: readonly string[]): boolean {
  const wanted = Buffer.from(expected);
  return sent
    .map((text) => Buffer.from(text))
    .some((candidate) => candidate.length === wanted.length && timingSafeEqual(candidate, wanted));
}

const missing = (header: string) => `The header ${header} is missing, empty or was sent more than once.`;
const mismatch = (header: string) => `No signature in ${header} fits the body and a secret of this webhook.`;
