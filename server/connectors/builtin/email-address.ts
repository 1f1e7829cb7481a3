import parseAddresses from "nodemailer/lib/addressparser";
import { BlockError } from "../define-connector.js";

/** One mailbox with the name to show. */
export interface MailAddress {
  readonly name: string;
  readonly address: string;
}

/** A local part and a domain without anything that could end a header or start another address. */
const ADDRESS = /^[^\s@<>(),;:"\\[\]]{1,64}@[^\s@<>(),;:"\\[\]]{1,255}$/u;

/** Reads a text as exactly one address, with or without a name; null when it is none, several or a group. */
export function parseMailAddress(text: string): MailAddress | null {
  const [first, ...others] = parseAddresses(text);
  if (first === undefined || others.length > 0 || !("address" in first)) return null;
  const { name = "", address = "" } = first;
  // A second address that is not set apart would be read as a name.
  return ADDRESS.test(address) && !name.includes("@") ? { name, address } : null;
}

/** A mail server and the account to use. */
export interface SmtpTarget {
  readonly host: string;
  readonly port: number;
  /** TLS from the first byte. */
  readonly isSecure: boolean;
  /** No mail goes out unless the connection is encrypted before the password is sent. */
  readonly requiresTls: boolean;
  readonly user: string | null;
  readonly password: string;
}

/**
 * Reads `smtps://user:password@host:465` or `smtp://…:587`; the latter goes over to TLS when the server offers it, and
 * with `?requireTLS=true` not without. Messages name the part, never its value.
 * @throws BlockError `email_invalid_url`.
 */
export function parseSmtpUrl(text: string): SmtpTarget {
  const url = new URL(text);
  if (url.hostname === "") throw invalidUrl("names no host");
  const isSecure = url.protocol === "smtps:";
  const user = decode(url.username);
  return {
    host: url.hostname.replace(/^\[(.*)\]$/, "$1"),
    port: url.port === "" ? (isSecure ? 465 : 587) : Number(url.port),
    isSecure,
    requiresTls: url.searchParams.get("requireTLS") === "true",
    user: user === "" ? null : user,
    password: decode(url.password),
  };
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw invalidUrl("has a user or password that is not URL-encoded");
  }
}

function invalidUrl(problem: string): BlockError {
  return new BlockError(
    "email_invalid_url",
    `The secret SMTP_URL ${problem}; write smtps://user:password@host:465.`,
  );
}
