import { type Agent, fetch, Headers, type Response } from "undici";
import { BlockError } from "../define-connector.js";
import { isOtherPort } from "./http-ports.js";

/** Most redirects that are followed. */
const MAX_REDIRECTS = 5;
/** Largest response body, after decompression. */
const MAX_RESPONSE_BYTES = 1_048_576;
/** Headers that a redirect to another host takes along: whatever else there is may be a credential. */
const HEADERS_FOR_ANYONE: readonly string[] = ["accept", "accept-language", "content-type", "user-agent"];
/** Longest `Retry-After` that is believed, in milliseconds. */
const MAX_RETRY_AFTER_MS = 86_400_000;

/** One hop of a request. */
export interface HttpRequest {
  readonly url: URL;
  readonly method: string;
  readonly headers: Headers;
  readonly body: string | null;
}

/**
 * Sends a request and follows redirects as the fetch standard does: method and body change on 301, 302 and 303. Neither
 * a body nor a header that may be a credential goes to another host or from https to http. Every hop goes through
 * `agent`, which decides where it may connect.
 * @throws BlockError `http_too_many_redirects`, `http_redirect_refused` and `http_invalid_url`; whatever `fetch` throws.
 */
export async function sendRequest(
  request: HttpRequest,
  agent: Agent,
  signal: AbortSignal,
): Promise<Response> {
  let hop = request;
  for (let redirects = 0; ; redirects += 1) {
    const { url, method, headers, body } = hop;
    const response = await fetch(url, {
      method,
      headers,
      body,
      dispatcher: agent,
      redirect: "manual",
      signal,
    });
    const location = isRedirect(response.status) ? response.headers.get("location") : null;
    if (location === null) return response;
    await response.body?.cancel();
    if (redirects === MAX_REDIRECTS) {
      throw new BlockError(
        "http_too_many_redirects",
        `url: ${request.url.origin} redirects more than ${MAX_REDIRECTS} times; use the final address.`,
      );
    }
    hop = redirect(hop, response.status, location);
  }
}

/**
 * The address of a hop.
 * @throws BlockError `http_invalid_url` when it is no http or https address, holds a user name or password or has the
 * port of another protocol.
 */
export function parseUrl(text: string, base?: URL): URL {
  const url = URL.canParse(text, base?.href) ? new URL(text, base) : null;
  if (url?.protocol !== "http:" && url?.protocol !== "https:") {
    const problem = base === undefined ? "must be" : `redirects from ${base.origin} to what is not`;
    throw new BlockError("http_invalid_url", `url: ${problem} a full http:// or https:// address.`);
  }
  if (url.username !== "" || url.password !== "") {
    throw new BlockError(
      "http_invalid_url",
      `url: ${url.origin} comes with a user name or password; send them in the authorization header instead.`,
    );
  }
  if (isOtherPort(url)) {
    throw new BlockError(
      "http_invalid_url",
      `url: ${url.origin} has a port that belongs to another protocol than HTTP; use an address with another port.`,
    );
  }
  return url;
}

/**
 * The body as text, decoded as UTF-8.
 * @throws BlockError `http_response_too_large` beyond 1 MiB.
 */
export async function readText(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.byteLength;
    if (bytes > MAX_RESPONSE_BYTES) {
      throw new BlockError(
        "http_response_too_large",
        `url: the response is larger than ${MAX_RESPONSE_BYTES} bytes; ask for less, a page of it for example.`,
      );
    }
    chunks.push(chunk);
  }
  return new TextDecoder().decode(Buffer.concat(chunks));
}

/** Milliseconds that a `Retry-After` header asks for, seconds or HTTP date; at most a day, null when unreadable. */
export function parseRetryAfter(value: string | null, now: Date): number | null {
  if (value === null) return null;
  const isDate = /^\w{3}, .+ GMT$/.test(value);
  const milliseconds = isDate
    ? Date.parse(value) - now.getTime()
    : /^\d+$/.test(value)
      ? Number(value) * 1_000
      : NaN;
  return Number.isNaN(milliseconds) ? null : Math.min(Math.max(milliseconds, 0), MAX_RETRY_AFTER_MS);
}

function isRedirect(status: number): boolean {
  return [301, 302, 303, 307, 308].includes(status);
}

/** The next hop, by the rules of https://fetch.spec.whatwg.org/#http-redirect-fetch, stricter towards other hosts. */
function redirect(from: HttpRequest, status: number, location: string): HttpRequest {
  const url = parseUrl(location, from.url);
  const headers = new Headers(from.headers);
  const becomesGet =
    status === 303 ? !["GET", "HEAD"].includes(from.method) : status < 303 && from.method === "POST";
  if (isElsewhere(url, from.url)) {
    if (from.body !== null && !becomesGet) throw redirectRefused(from.url, url);
    for (const name of from.headers.keys()) if (!HEADERS_FOR_ANYONE.includes(name)) headers.delete(name);
  }
  if (!becomesGet) return { ...from, url, headers };
  for (const name of ["encoding", "language", "location", "type"]) headers.delete(`content-${name}`);
  return { url, method: "GET", headers, body: null };
}

/** Whether who listens there may be somebody else, or who listens in; from http to https nothing is lost. */
function isElsewhere(to: URL, from: URL): boolean {
  return to.host !== from.host || (from.protocol === "https:" && to.protocol === "http:");
}

function redirectRefused(from: URL, to: URL): BlockError {
  return new BlockError(
    "http_redirect_refused",
    `url: ${from.origin} redirects to ${to.origin}, to which the body is not sent on; call the new address directly.`,
  );
}
