import { BetterAuthError } from "better-auth";
import { fromNodeHeaders } from "better-auth/node";
import express, {
  type ErrorRequestHandler,
  type Request,
  type RequestHandler,
  type Response,
  Router,
} from "express";
import type { Logger } from "pino";
import { z } from "zod";
import type { Config } from "../config.js";
import type { Sql } from "../db/client.js";
import { describeCause } from "../errors/describe-cause.js";
import { isConnectionLoss } from "../errors/error-body.js";
import type { Auth } from "./auth.js";
import { type AuthErrorAnswer, authError, translateAuthError } from "./auth-error.js";
import { createAuthRateLimit } from "./rate-limit.js";

/** What the routes need; `baseUrl` as given to `createAuth`. */
export interface AuthRouteOptions {
  readonly auth: Auth;
  readonly sql: Sql;
  readonly config: Pick<Config, "authConcealAccounts" | "authRateLimitPerMinute">;
  readonly baseUrl: string;
  readonly logger: Logger;
}

const bodyLimitBytes = 64 * 1_024;

/** Routes on which a password is checked or set, which costs a processor a tenth of a second. */
const passwordPaths = [
  "/sign-in/*path",
  "/sign-up/*path",
  "/change-password",
  "/verify-password",
  "/reset-password",
];

/** Several cookies are several headers; what pages of other origins may read is decided for the whole app. */
const handledHeaders: ReadonlySet<string> = new Set(["set-cookie", "access-control-expose-headers"]);

/**
 * better-auth over HTTP, to be mounted at `/api/auth` before any other body parser. Every error, an unknown path
 * included, is JSON `{code, message}`; a 5xx says nothing of its cause and repeats `x-request-id` as `requestId`.
 */
export function createAuthRoutes({ auth, sql, config, baseUrl, logger }: AuthRouteOptions): Router {
  const router = Router({ caseSensitive: true });
  router.post(passwordPaths, createAuthRateLimit(config));
  router.use(express.json({ limit: bodyLimitBytes, reviver: refuseUnusableJson }), refuseUnusable);
  router.use(async (request, response) => {
    const answer = await auth.handler(toWebRequest(request, baseUrl));
    response.status(answer.status);
    for (const [name, value] of answer.headers)
      if (!handledHeaders.has(name)) response.setHeader(name, value);
    const cookies = answer.headers.getSetCookie();
    if (cookies.length > 0) response.setHeader("set-cookie", cookies);
    const text = await answer.text();
    if (answer.status < 400) {
      response.end(text);
      return;
    }
    // better-auth takes a database that it cannot reach for a missing session; this throws then.
    if (answer.status === 401 || answer.status >= 500) await sql`select 1`;
    const isEmailKnown = isAboutEmail(text) && (await isEmailTaken(sql, request.body));
    const facts = { path: request.path, isEmailKnown, concealsAccounts: config.authConcealAccounts };
    send(response, translateAuthError(answer.status, text, facts));
  });
  router.use(answerError(logger));
  return router;
}

/** What no auth route takes: other methods, bodies that are not JSON objects, NUL in the URL. */
const refuseUnusable: RequestHandler = (request, response, next) => {
  const body: unknown = request.body;
  const hasBody =
    request.headers["transfer-encoding"] !== undefined || Number(request.headers["content-length"]) > 0;
  if (request.method !== "GET" && request.method !== "POST") return send(response, authError(404));
  if (body === undefined && hasBody) return send(response, authError(415));
  if (Array.isArray(body)) return send(response, authError(400, "The body must be a JSON object."));
  if (request.originalUrl.includes("%00")) {
    return send(response, authError(400, "The URL must not contain the NUL character."));
  }
  next();
};

const unusableKeys: ReadonlySet<string> = new Set(["__proto__", "constructor", "prototype"]);

/**
 * PostgreSQL text cannot hold NUL, and better-auth looks some keys up in plain objects. Throwing while the body is read
 * makes it a body that cannot be read.
 */
function refuseUnusableJson(key: string, value: unknown): unknown {
  if (unusableKeys.has(key) || key.includes("\u0000")) throw new SyntaxError("unusable key");
  if (typeof value === "string" && value.includes("\u0000")) throw new SyntaxError("unusable value");
  return value;
}

/**
 * The request as better-auth reads it. A header that carries a credential wins over the cookie, as on every other
 * route, and the address is the one that Express believes.
 */
function toWebRequest(request: Request, baseUrl: string): globalThis.Request {
  const { pathname, search } = new URL(request.originalUrl, baseUrl);
  const headers = fromNodeHeaders(request.headers);
  headers.delete("content-length");
  headers.delete("transfer-encoding");
  if (headers.has("authorization") || headers.has("x-api-key")) headers.delete("cookie");
  // Node's fetch sends this one alone; better-auth would take it for a browser and insist on an Origin.
  if (!headers.has("sec-fetch-site")) headers.delete("sec-fetch-mode");
  headers.set("x-forwarded-for", request.ip ?? "");
  const hasBody = request.method === "POST" && request.body !== undefined;
  const url = new URL(pathname + search, new URL(baseUrl).origin);
  return new globalThis.Request(url, {
    method: request.method,
    headers,
    ...(hasBody ? { body: JSON.stringify(request.body) } : {}),
  });
}

/** Whether the answer depends on the address being known; asked only then, so that it costs only these failures. */
function isAboutEmail(text: string): boolean {
  return text.includes("INVALID_EMAIL_OR_PASSWORD") || text.includes("FAILED_TO_CREATE_USER");
}

async function isEmailTaken(sql: Sql, body: unknown): Promise<boolean> {
  const parsed = z.object({ email: z.string() }).safeParse(body);
  if (!parsed.success) return false;
  const rows = await sql`select 1 from "user" where email = ${parsed.data.email.toLowerCase()}`;
  return rows.length > 0;
}

const HttpError = z.object({ status: z.int().min(400).max(499), type: z.string() });

/** Errors of the body parser have a status; of what better-auth throws, some are the fault of the input it let pass. */
function answerError(logger: Logger): ErrorRequestHandler {
  return (cause, _request, response, next) => {
    if (response.headersSent) return next(cause);
    const parserError = HttpError.safeParse(cause);
    if (parserError.success) return send(response, parserAnswer(parserError.data));
    logger.error({ cause: describeCause(cause) }, "an auth route failed");
    send(response, thrownAnswer(cause));
  };
}

/** SQLSTATE class 22: a value that the database cannot take; 23: a key violated by requests at the same time. */
function thrownAnswer(cause: unknown): AuthErrorAnswer {
  if (isConnectionLoss(cause)) return authError(503);
  const state = sqlState(cause);
  if (state?.startsWith("23") === true) return authError(409);
  if (state?.startsWith("22") === true || cause instanceof BetterAuthError) {
    return authError(400, "A value in the request cannot be used.");
  }
  return authError(500);
}

function sqlState(cause: unknown): string | null {
  for (let error = cause; error instanceof Error; error = error.cause) {
    if ("code" in error && typeof error.code === "string" && /^\w{5}$/.test(error.code)) return error.code;
  }
  return null;
}

const unreadable = "The body must be a JSON object without NUL characters, sent as application/json.";

function parserAnswer({ status, type }: z.infer<typeof HttpError>): AuthErrorAnswer {
  const tooLarge = `The body must not be larger than ${bodyLimitBytes} bytes.`;
  if (type === "entity.too.large") return authError(413, tooLarge);
  return authError(status, status === 400 ? unreadable : undefined);
}

function send(response: Response, { status, body }: AuthErrorAnswer): void {
  const requestId = response.getHeader("x-request-id");
  // Those of better-auth's own body.
  for (const header of ["content-length", "content-type"]) response.removeHeader(header);
  response.status(status).json(status >= 500 && requestId !== undefined ? { ...body, requestId } : body);
}
