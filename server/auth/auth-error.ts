import { z } from "zod";

/** An error of `/api/auth/*` in better-auth's shape; further fields of better-auth are kept below 500. */
export interface AuthErrorBody {
  readonly code: string;
  readonly message: string;
  readonly [field: string]: unknown;
}

/** A status with its body. */
export interface AuthErrorAnswer {
  readonly status: number;
  readonly body: AuthErrorBody;
}

/** What the translation needs to know beside better-auth's answer. */
export interface AuthErrorFacts {
  /** Path below `/api/auth`. */
  readonly path: string;
  /** The e-mail address of the request body belongs to a user; asked for sign-in and sign-up only. */
  readonly isEmailKnown: boolean;
  /** AUTH_CONCEAL_ACCOUNTS: a wrong password and an unknown address answer the same. */
  readonly concealsAccounts: boolean;
}

/** Codes of an answer that came without one, by status. */
const codesByStatus: Readonly<Record<number, readonly [code: string, message: string]>> = {
  400: ["INVALID_BODY", "The request is not valid."],
  401: ["UNAUTHORIZED", "Sign in first."],
  403: ["FORBIDDEN", "You may not do this."],
  404: ["NOT_FOUND", "There is no such auth route for this method."],
  409: ["CONFLICT", "Another request changed the same thing; read it again and retry."],
  413: ["PAYLOAD_TOO_LARGE", "The request body is too large."],
  415: ["UNSUPPORTED_MEDIA_TYPE", "Send the body as application/json."],
  500: ["INTERNAL_SERVER_ERROR", "Something went wrong on the server."],
  503: ["SERVICE_UNAVAILABLE", "The server cannot reach its database; try again after a short wait."],
};

/** An error with the usual words of its status, or with `message`. */
export function authError(status: number, message?: string): AuthErrorAnswer {
  const [code, usual] = codesByStatus[status] ?? [
    status >= 500 ? "INTERNAL_SERVER_ERROR" : "BAD_REQUEST",
    "The request failed.",
  ];
  return { status, body: { code, message: message ?? usual } };
}

const Body = z.looseObject({ code: z.string(), message: z.string() });

/**
 * Puts better-auth's answer into the codes of the contract; its status is kept. Internal text of a 5xx is dropped, and
 * a key of a foreign organization answers what a missing key answers.
 */
export function translateAuthError(status: number, text: string, facts: AuthErrorFacts): AuthErrorAnswer {
  if (status >= 500) return authError(500);
  const parsed = Body.safeParse(parseJson(text));
  if (!parsed.success) return withKnownMessage(status, text);
  const body = parsed.data;
  switch (body.code) {
    case "INVALID_EMAIL_OR_PASSWORD":
      return { status, body: signInError(facts) };
    case "USER_ALREADY_EXISTS_USE_ANOTHER_EMAIL":
      return { status, body: userExists };
    // Two sign-ups at once with the same address: the second one fails only at the unique index.
    case "FAILED_TO_CREATE_USER":
      return facts.isEmailKnown ? { status, body: userExists } : { status, body };
    case "MISSING_OR_NULL_ORIGIN":
      return {
        status,
        body: { ...body, message: "A request with a cookie must send the header Origin: <base URL>." },
      };
    case "USER_NOT_MEMBER_OF_ORGANIZATION":
      return keyPaths.has(facts.path) ? { status: 404, body: keyNotFound } : { status, body };
    default:
      return { status, body };
  }
}

const keyPaths: ReadonlySet<string> = new Set(["/api-key/get", "/api-key/update", "/api-key/delete"]);
const keyNotFound: AuthErrorBody = { code: "KEY_NOT_FOUND", message: "API Key not found" };
const userExists: AuthErrorBody = {
  code: "USER_ALREADY_EXISTS",
  message: "A user with this e-mail address exists; sign in instead.",
};

function signInError({ isEmailKnown, concealsAccounts }: AuthErrorFacts): AuthErrorBody {
  if (concealsAccounts)
    return { code: "INVALID_CREDENTIALS", message: "The e-mail address or the password is wrong." };
  return isEmailKnown
    ? { code: "INVALID_CREDENTIALS", message: "The password is wrong." }
    : { code: "USER_NOT_FOUND", message: "No user has this e-mail address; sign up first." };
}

/** Some errors of better-auth have a message without a code, some not even a body. */
function withKnownMessage(status: number, text: string): AuthErrorAnswer {
  const parsed = z.looseObject({ message: z.string() }).safeParse(parseJson(text));
  return authError(status, parsed.success ? parsed.data.message : undefined);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
