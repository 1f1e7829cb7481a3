import type { oas31 } from "zod-openapi";

/** Credentials that every protected operation accepts, any one of them. */
export const securitySchemes = {
  bearer: {
    type: "http",
    scheme: "bearer",
    description: "An API key (fk_…) or a session token as Authorization: Bearer.",
  },
  apiKey: { type: "apiKey", in: "header", name: "x-api-key", description: "An API key (fk_…)." },
  session: {
    type: "apiKey",
    in: "cookie",
    name: "better-auth.session_token",
    description:
      "The session cookie of POST /api/auth/sign-in/email; behind https its name starts with __Secure-.",
  },
} as const satisfies Record<string, oas31.SecuritySchemeObject>;

/** Header components by name. */
export const headers = {
  "x-request-id": {
    description: "Id of this request in the server's log; yours when you sent one.",
    schema: { type: "string" },
  },
  ETag: {
    description: "Version of the resource in double quotes, for If-Match.",
    schema: { type: "string" },
    example: '"7"',
  },
  Location: { description: "Path of what was made.", schema: { type: "string" } },
  "Retry-After": { description: "Seconds until a request is accepted again.", schema: { type: "integer" } },
  "RateLimit-Limit": { description: "Requests per minute of this principal.", schema: { type: "integer" } },
  "RateLimit-Remaining": { description: "Requests left in this window.", schema: { type: "integer" } },
  "RateLimit-Reset": { description: "Seconds until the window ends.", schema: { type: "integer" } },
} as const satisfies Record<string, oas31.HeaderObject>;

/** Name of a header component. */
export type HeaderName = keyof typeof headers;

/** Request header components by name. */
export const parameters = {
  IfMatch: {
    name: "If-Match",
    in: "header",
    required: false,
    // No example: Swagger UI would send it with every request.
    description:
      "Version of your last read, bare or in double quotes, such as 7. The write is refused when there is a newer one.",
    schema: { type: "string", pattern: '^(?:[1-9]\\d{0,9}|"[1-9]\\d{0,9}")$' },
  },
  IdempotencyKey: {
    name: "Idempotency-Key",
    in: "header",
    required: false,
    description:
      "Your own key, such as order-1042: same key and same input, done once, same answer. Scoped to the organization, for runs to the workflow too.",
    schema: { type: "string", minLength: 1, maxLength: 255 },
  },
  LastEventId: {
    name: "Last-Event-ID",
    in: "header",
    required: false,
    description:
      "Id of the last event that you have; an EventSource sends it by itself when it connects again.",
    schema: { type: "string", maxLength: 8_000 },
  },
} as const satisfies Record<string, oas31.ParameterObject>;

/** What each tag groups; a tag that is used must stand here. */
export const tagDescriptions: Readonly<Record<string, string>> = {
  workflows: "Workflows as data: create, read, edit, version.",
  runs: "Start runs, watch them, cancel them.",
  schedules: "Start runs by the clock.",
  connectors: "The block types that workflows may use.",
  secrets: "Values that blocks use and nobody sees.",
  signals: "Tell runs that something has happened.",
  approvals: "Questions that runs ask people.",
  webhooks: "Start runs by what others send.",
  errors: "The stable error codes.",
  auth: "Accounts, sessions, organizations and API keys. Errors here have the shape {code, message}.",
  platform: "Health, metrics and this document.",
};
