import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import { parseCookies } from "better-auth/cookies/utils";

/** What a request shows to say who asks; a session token or the hash under which an API key is stored. */
export type Credential =
  | { readonly kind: "session"; readonly token: string; readonly isFromCookie: boolean }
  | { readonly kind: "api_key"; readonly hash: string };

/** The headers that can carry a credential, as they came. */
export interface CredentialHeaders {
  readonly authorization: string | undefined;
  readonly apiKey: string | undefined;
  readonly cookie: string | undefined;
}

/** What reading a session token needs to know of this server. */
export interface SessionSigning {
  readonly cookieName: string;
  readonly secret: string;
}

/** Every API key starts with it. */
export const apiKeyPrefix = "fk_";
/** Letters after the prefix. */
export const apiKeyLength = 64;

const apiKeyShape = /^fk_[A-Za-z]{64}$/;
const sessionTokenShape = /^[A-Za-z0-9]{32}$/;
const bearer = /^bearer +(\S+)$/i;

/** Name of the cookie in which better-auth keeps the session token. */
export function sessionCookieName(baseUrl: string): string {
  return baseUrl.startsWith("https:") ? "__Secure-better-auth.session_token" : "better-auth.session_token";
}

/**
 * Reads the credential of a request, or null when there is none that can be valid. A header wins over the cookie
 * and `Authorization` over `x-api-key`: who sends a header means it, so a malformed one is not healed by a cookie.
 */
export function readCredential(headers: CredentialHeaders, signing: SessionSigning): Credential | null {
  const { authorization, apiKey, cookie } = headers;
  if (authorization !== undefined) {
    const token = bearer.exec(authorization)?.[1];
    if (token === undefined) return null;
    return token.startsWith(apiKeyPrefix) ? readApiKey(token) : readBearerToken(token, signing.secret);
  }
  if (apiKey !== undefined) return readApiKey(apiKey);
  if (cookie === undefined) return null;
  const signed = parseCookies(cookie).get(signing.cookieName);
  const token = signed === undefined ? null : openSigned(signed, signing.secret);
  return token === null ? null : { kind: "session", token, isFromCookie: true };
}

/** The key as credential, or null when it cannot be one of ours. */
export function readApiKey(key: string): (Credential & { kind: "api_key" }) | null {
  // The plugin stores SHA-256 in unpadded base64url (its exported `defaultKeyHasher`, which is asynchronous).
  return apiKeyShape.test(key)
    ? { kind: "api_key", hash: createHash("sha256").update(key).digest("base64url") }
    : null;
}

/** Sign-in answers the raw token in its body and the signed one in the header `set-auth-token`; both are taken. */
function readBearerToken(text: string, secret: string): Credential | null {
  const token = sessionTokenShape.test(text) ? text : openSigned(decode(text), secret);
  return token === null ? null : { kind: "session", token, isFromCookie: false };
}

/** The token of `<token>.<HMAC-SHA-256 in base64>`, or null when it was not signed with our secret. */
function openSigned(signed: string, secret: string): string | null {
  const dot = signed.lastIndexOf(".");
  const token = signed.slice(0, Math.max(dot, 0));
  if (!sessionTokenShape.test(token)) return null;
  const expected = Buffer.from(createHmac("sha256", secret).update(token).digest("base64"));
  const actual = Buffer.from(signed.slice(dot + 1));
  return actual.length === expected.length && timingSafeEqual(actual, expected) ? token : null;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
