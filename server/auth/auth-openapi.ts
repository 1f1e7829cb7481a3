import type { oas31 } from "zod-openapi";
import { type AuthOperation, allOf, describeOperation, type Failures } from "./auth-openapi-operation.js";
import { authExamples, authSchemas, shape } from "./auth-openapi-schemas.js";

/** A session, by token or cookie; API keys are refused. */
const bySession: oas31.SecurityRequirementObject[] = [{ bearer: [] }, { session: [] }];

const badBody: Failures = {
  400: {
    VALIDATION_ERROR: "A field is missing or of the wrong type; the message names it.",
    INVALID_BODY: "The body is not a JSON object.",
  },
  403: { MISSING_OR_NULL_ORIGIN: "A request that carries a cookie must send Origin: <base URL>." },
  413: { PAYLOAD_TOO_LARGE: "The body is larger than 64 KiB." },
};
const noSession: Failures = { 401: { UNAUTHORIZED: "Send the token or the cookie of a session." } };
const tooManyAttempts: Failures = { 429: { RATE_LIMITED: "Wait for the seconds in Retry-After." } };
const mayNotManageKeys: Failures = {
  403: {
    USER_NOT_MEMBER_OF_ORGANIZATION: "You are not a member of this organization.",
    INSUFFICIENT_API_KEY_PERMISSIONS: "Only owners and admins manage keys.",
  },
};

const get = (operation: AuthOperation): oas31.PathItemObject => ({ get: describeOperation(operation) });
const post = (operation: AuthOperation): oas31.PathItemObject => ({ post: describeOperation(operation) });

const password = "correct horse battery staple";
const { user, organization, session, key, storedKey } = authExamples;

const accountPaths: oas31.PathsObject = {
  "/api/auth/sign-up/email": post({
    operationId: "signUpEmail",
    summary: "Sign up",
    description:
      "Makes a user, a personal organization and a session in which it is active. The session comes as `token`, as a cookie and, signed, in the header set-auth-token.",
    security: [],
    body: {
      schema: shape(
        {
          name: { type: "string", minLength: 1 },
          email: authSchemas.email,
          password: authSchemas.password,
          rememberMe: authSchemas.rememberMe,
        },
        ["rememberMe"],
      ),
      example: { name: user.name, email: user.email, password },
    },
    answer: { schema: authSchemas.signedUp, example: { token: session.token, user } },
    failures: allOf(
      badBody,
      { 422: { USER_ALREADY_EXISTS: "The address is taken; sign in instead." } },
      tooManyAttempts,
    ),
  }),
  "/api/auth/sign-in/email": post({
    operationId: "signInEmail",
    summary: "Sign in",
    description: "Makes a session in which the organization that the user joined first is active.",
    security: [],
    body: {
      schema: shape(
        { email: authSchemas.email, password: { type: "string" }, rememberMe: authSchemas.rememberMe },
        ["rememberMe"],
      ),
      example: { email: user.email, password },
    },
    answer: { schema: authSchemas.signedIn, example: { redirect: false, token: session.token, user } },
    failures: allOf(
      badBody,
      {
        401: {
          INVALID_CREDENTIALS: "The password is wrong.",
          USER_NOT_FOUND: "Nobody has this address. With AUTH_CONCEAL_ACCOUNTS it is INVALID_CREDENTIALS.",
        },
      },
      tooManyAttempts,
    ),
  }),
  "/api/auth/sign-out": post({
    operationId: "signOut",
    summary: "Sign out",
    description: "Ends the session; without one it answers the same.",
    security: [...bySession, {}],
    answer: { schema: authSchemas.success, example: { success: true } },
    failures: {
      403: { MISSING_OR_NULL_ORIGIN: "A request that carries a cookie must send Origin: <base URL>." },
    },
  }),
  "/api/auth/get-session": get({
    operationId: "getSession",
    summary: "Get the current session",
    description: "Answers null without a valid session. Slides the session's end.",
    security: [...bySession, {}],
    answer: { schema: authSchemas.currentSession, example: { session, user } },
    failures: { 400: { VALIDATION_ERROR: "A query parameter cannot be used." } },
  }),
};

const organizationPaths: oas31.PathsObject = {
  "/api/auth/organization/create": post({
    operationId: "createOrganization",
    summary: "Create an organization",
    description:
      "You become its owner, and it becomes active in this session unless keepCurrentActiveOrganization is true.",
    security: bySession,
    body: {
      schema: shape(
        {
          name: { type: "string", minLength: 1 },
          slug: { type: "string", minLength: 1, description: "Unique on this server." },
          keepCurrentActiveOrganization: { type: "boolean" },
        },
        ["keepCurrentActiveOrganization"],
      ),
      example: { name: "Analytical Engines", slug: "analytical-engines" },
    },
    answer: {
      schema: authSchemas.organization,
      example: { ...organization, name: "Analytical Engines", slug: "analytical-engines" },
    },
    failures: allOf(badBody, noSession, { 400: { ORGANIZATION_ALREADY_EXISTS: "The slug is taken." } }),
  }),
  "/api/auth/organization/set-active": post({
    operationId: "setActiveOrganization",
    summary: "Choose the active organization",
    description: "What this session asks for from now on belongs to the organization.",
    security: bySession,
    body: {
      schema: shape({ organizationId: authSchemas.id }),
      example: { organizationId: organization.id },
    },
    answer: { schema: authSchemas.organization, example: organization },
    failures: allOf(badBody, noSession, {
      403: { USER_IS_NOT_A_MEMBER_OF_THE_ORGANIZATION: "The organization is not yours or does not exist." },
    }),
  }),
  "/api/auth/organization/list": get({
    operationId: "listOrganizations",
    summary: "List your organizations",
    description: "Every organization that you are a member of.",
    security: bySession,
    answer: { schema: authSchemas.organizations, example: [organization] },
    failures: noSession,
  }),
};

const organizationId: oas31.SchemaObject = {
  type: "string",
  description: "Absent: the organization that is active in the session.",
};

const keyPaths: oas31.PathsObject = {
  "/api/auth/api-key/create": post({
    operationId: "createApiKey",
    summary: "Mint an API key",
    description: "The key belongs to the organization. Its secret is in this answer and nowhere else.",
    security: bySession,
    body: {
      schema: shape(
        {
          name: { type: "string", minLength: 1, maxLength: 100 },
          organizationId,
          permissions: authSchemas.keyPermissions,
          expiresIn: { type: ["integer", "null"], minimum: 1, maximum: 31_536_000, description: "Seconds." },
        },
        ["name", "organizationId", "permissions", "expiresIn"],
      ),
      example: { name: key.name, permissions: key.permissions },
    },
    answer: {
      schema: authSchemas.mintedKey,
      example: { ...storedKey, key: "fk_jFaYoXxRwGoUQgkIUdSmcWWOrpXsEOmPfYSKzRHqSOhJsHdNMlNVaKyhCAoymeqQ" },
    },
    failures: allOf(badBody, mayNotManageKeys, {
      401: {
        UNAUTHORIZED_SESSION: "Send the token or the cookie of a session.",
        INVALID_REFERENCE_ID_FROM_API_KEY: "A key cannot mint keys: use a session.",
      },
    }),
  }),
  "/api/auth/api-key/list": get({
    operationId: "listApiKeys",
    summary: "List API keys",
    description: "The keys of an organization without their secrets.",
    security: bySession,
    parameters: [
      { name: "organizationId", in: "query", schema: organizationId, example: organization.id },
      { name: "limit", in: "query", schema: { type: "integer", minimum: 0, maximum: 100 }, example: 50 },
      {
        name: "offset",
        in: "query",
        schema: { type: "integer", minimum: 0, maximum: 1_000_000 },
        example: 0,
      },
    ],
    answer: { schema: authSchemas.keyList, example: { apiKeys: [storedKey], total: 1 } },
    failures: allOf(
      { 400: { VALIDATION_ERROR: "A query parameter cannot be used." } },
      noSession,
      mayNotManageKeys,
    ),
  }),
  "/api/auth/api-key/delete": post({
    operationId: "deleteApiKey",
    summary: "Revoke an API key",
    description: "Requests with the key are refused from the next one on.",
    security: bySession,
    body: { schema: shape({ keyId: authSchemas.id }), example: { keyId: key.id } },
    answer: { schema: authSchemas.success, example: { success: true } },
    failures: allOf(badBody, noSession, {
      403: { INSUFFICIENT_API_KEY_PERMISSIONS: "Only owners and admins manage keys." },
      404: { KEY_NOT_FOUND: "No key of an organization of yours has this id." },
    }),
  }),
  "/api/auth/api-key/verify": post({
    operationId: "verifyApiKey",
    summary: "Verify an API key",
    description: "Tells whether a key works now and what it may do. Needs no other credentials than the key.",
    security: [],
    body: {
      schema: shape({ key: { type: "string" } }),
      example: { key: "fk_jFaYoXxRwGoUQgkIUdSmcWWOrpXsEOmPfYSKzRHqSOhJsHdNMlNVaKyhCAoymeqQ" },
    },
    answer: { schema: authSchemas.verifiedKey, example: { valid: true, error: null, key } },
    failures: allOf(badBody, {
      401: { INVALID_TOKEN: "The key does not exist, is disabled, has expired or was revoked." },
    }),
  }),
};

/** The main routes below `/api/auth` for the OpenAPI document; header and security components are the document's. */
export const authPaths: oas31.PathsObject = { ...accountPaths, ...organizationPaths, ...keyPaths };
