import { API_KEY_ERROR_CODES, apiKey } from "@better-auth/api-key";
import { APIError, createAuthEndpoint, getSessionFromCtx, sessionMiddleware } from "better-auth/api";
import { z } from "zod";
import type { Sql } from "../db/client.js";
import { verifyApiKey } from "./api-key.js";
import { apiKeyLength, apiKeyPrefix } from "./credential.js";
import { KeyPermissions } from "./permissions.js";

const secondsPerYear = 365 * 86_400;

const notSupported = z
  .null("is not supported: requests are limited per organization and key by the server")
  .optional();

/** Body of `POST /api-key/create`. Limits that would not be kept are refused, so that nobody relies on them. */
const MintBody = z.object({
  name: z.string().min(1).max(100).optional(),
  /** Absent: the organization that is active in the session. */
  organizationId: z.string().min(1).optional(),
  /** Seconds; absent or null: the key does not expire. */
  expiresIn: z.int().min(1).max(secondsPerYear).nullish(),
  /** Absent: everything. */
  permissions: KeyPermissions.optional(),
  metadata: z.record(z.string(), z.json()).optional(),
  prefix: z.literal(apiKeyPrefix).optional(),
  remaining: notSupported,
  refillAmount: notSupported,
  refillInterval: notSupported,
  rateLimitMax: notSupported,
  rateLimitTimeWindow: notSupported,
  rateLimitEnabled: z.literal(false).optional(),
});

const ListQuery = z.object({
  organizationId: z.string().min(1).optional(),
  limit: z.coerce.number().int().min(0).max(100).optional(),
  offset: z.coerce.number().int().min(0).max(1_000_000).optional(),
  sortBy: z.enum(["createdAt", "name", "expiresAt", "lastRequest"]).optional(),
  sortDirection: z.enum(["asc", "desc"]).optional(),
});

/**
 * The api-key plugin with keys `fk_…` that belong to organizations. Owners and admins mint, list, change and delete
 * them. Three of its routes are replaced: create takes permissions and knows the active organization, list knows it
 * too, and verify, which the plugin keeps to the server, is public and does not write.
 */
export function apiKeyPlugin(sql: Sql) {
  const plugin = apiKey({
    references: "organization",
    defaultPrefix: apiKeyPrefix,
    defaultKeyLength: apiKeyLength,
    maximumNameLength: 100,
    enableMetadata: true,
    startingCharactersConfig: { charactersLength: 8 },
    keyExpiration: { minExpiresIn: 0 },
    rateLimit: { enabled: false },
  });
  const { createApiKey, listApiKeys, verifyApiKey: _serverOnly, ...endpoints } = plugin.endpoints;
  return {
    ...plugin,
    endpoints: {
      ...endpoints,
      createApiKey: mintEndpoint(sql, createApiKey),
      listApiKeys: listEndpoint(listApiKeys),
      verifyApiKey: verifyEndpoint(sql),
    },
  };
}

type PluginEndpoints = ReturnType<typeof apiKey>["endpoints"];

/** Sessions only: a key that could mint keys would outlive its own revocation. */
function mintEndpoint(sql: Sql, createApiKey: PluginEndpoints["createApiKey"]) {
  return createAuthEndpoint("/api-key/create", { method: "POST", body: MintBody }, async (ctx) => {
    const session = await getSessionFromCtx(ctx);
    if (session === null) {
      const key = presentedKey(ctx.headers);
      const isKey = key !== null && (await verifyApiKey(sql, key)) !== null;
      throw isKey
        ? APIError.from("UNAUTHORIZED", {
            code: "INVALID_REFERENCE_ID_FROM_API_KEY",
            message: "An API key cannot mint API keys; sign in and use the session.",
          })
        : APIError.from("UNAUTHORIZED", API_KEY_ERROR_CODES.UNAUTHORIZED_SESSION);
    }
    const organizationId = ctx.body.organizationId ?? activeOrganizationId(session.session);
    const { name, expiresIn, permissions, metadata } = ctx.body;
    // Without request and headers the plugin takes this for a call of the server itself, which may set permissions.
    const userId = session.user.id;
    const minted = await createApiKey({
      context: ctx.context,
      body: { name, organizationId, permissions, expiresIn, metadata, userId },
    });
    // The plugin keeps nobody's name on a key of an organization; nobody holds the key before this is answered.
    await sql`update apikey set created_by = ${userId} where id = ${minted.id}`;
    return minted;
  });
}

function listEndpoint(listApiKeys: PluginEndpoints["listApiKeys"]) {
  return createAuthEndpoint(
    "/api-key/list",
    { method: "GET", query: ListQuery, use: [sessionMiddleware] },
    async (ctx) => {
      const organizationId = ctx.query.organizationId ?? activeOrganizationId(ctx.context.session.session);
      return listApiKeys({
        context: ctx.context,
        headers: ctx.headers,
        query: { ...ctx.query, organizationId },
      });
    },
  );
}

function verifyEndpoint(sql: Sql) {
  const body = z.object({ key: z.string().nullish() });
  return createAuthEndpoint("/api-key/verify", { method: "POST", body }, async (ctx) => {
    const key = await verifyApiKey(sql, ctx.body.key ?? "");
    if (key === null) {
      throw APIError.from("UNAUTHORIZED", {
        code: "INVALID_TOKEN",
        message: "The API key does not exist, is disabled, has expired or was revoked.",
      });
    }
    const { organizationId, permissions, createdBy: _, ...rest } = key;
    return ctx.json({
      valid: true,
      error: null,
      key: {
        ...rest,
        prefix: apiKeyPrefix,
        referenceId: organizationId,
        permissions: parsePermissions(permissions),
      },
    });
  });
}

function parsePermissions(stored: string | null): z.infer<typeof KeyPermissions> | null {
  return stored === null ? null : KeyPermissions.parse(JSON.parse(stored));
}

function presentedKey(headers: Headers | undefined): string | null {
  const bearer = headers?.get("authorization")?.replace(/^bearer +/i, "");
  return bearer ?? headers?.get("x-api-key") ?? null;
}

/** The organization plugin's field, which the type of a session does not know here. */
function activeOrganizationId(session: Readonly<Record<string, unknown>>): string {
  const { activeOrganizationId: id } = session;
  if (typeof id === "string") return id;
  throw APIError.from("BAD_REQUEST", {
    code: "ORGANIZATION_ID_REQUIRED",
    message:
      "Send organizationId, or make an organization active with POST /api/auth/organization/set-active.",
  });
}
