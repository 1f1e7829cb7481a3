import type { IncomingHttpHeaders } from "node:http";
import type { Logger } from "pino";
import type { Database, Sql } from "../db/client.js";
import { AppError } from "../errors/app-error.js";
import { findLiveApiKey } from "./api-key.js";
import { type CredentialHeaders, readCredential, sessionCookieName } from "./credential.js";
import { permissionsOfKey, permissionsOfRoles } from "./permissions.js";
import type { Principal } from "./principal.js";
import { sessionLifetime } from "./session-lifetime.js";
import { createUsageStamps, type UsageStamps } from "./usage-stamps.js";

/** Tells who asks. */
export interface Identity {
  /**
   * Resolves the principal with one database round trip, anew on every call: a removed member, a deleted organization
   * and a revoked, disabled or expired key are refused at once.
   * @throws AppError `unauthorized` without a valid session or key; `no_active_organization` for a valid session that
   * has none, or whose organization was deleted or no longer has the user as a member.
   */
  authenticate(headers: IncomingHttpHeaders): Promise<Principal>;
  /** Writes pending usage stamps. */
  close(): Promise<void>;
}

/** `secret` and `baseUrl` as given to `createAuth`; `trustedOrigins` of pages that may use the session cookie. */
export interface IdentityOptions {
  readonly database: Database;
  readonly secret: string;
  readonly baseUrl: string;
  readonly trustedOrigins: readonly string[];
  readonly logger: Logger;
  /** How late the last use of a key may be written. */
  readonly stampAfterMs?: number;
}

/** Reads credentials on its own instead of through better-auth, which needs several statements and writes per request. */
export function createIdentity(options: IdentityOptions): Identity {
  const { database, secret, baseUrl, logger, stampAfterMs = 5_000 } = options;
  const signing = { secret, cookieName: sessionCookieName(baseUrl) };
  const origins: ReadonlySet<string> = new Set(options.trustedOrigins);
  const stamps = createUsageStamps({ database, logger, flushAfterMs: stampAfterMs });

  return {
    authenticate: async (headers) => {
      const credential = readCredential(credentialHeaders(headers), signing);
      if (credential === null) throw new AppError("unauthorized");
      if (credential.kind === "api_key") return authenticateKey(database.sql, credential.hash, stamps);
      if (credential.isFromCookie && headers.origin !== undefined && !origins.has(headers.origin)) {
        throw new AppError("unauthorized", {
          message: "The session cookie was sent by a page of an origin that TRUSTED_ORIGINS does not name.",
        });
      }
      return authenticateSession(database.sql, credential.token, stamps);
    },
    close: () => stamps.close(),
  };
}

function credentialHeaders(headers: IncomingHttpHeaders): CredentialHeaders {
  const apiKey = headers["x-api-key"];
  return {
    authorization: headers.authorization,
    apiKey: Array.isArray(apiKey) ? apiKey.join() : apiKey,
    cookie: headers.cookie,
  };
}

async function authenticateKey(sql: Sql, hash: string, stamps: UsageStamps): Promise<Principal> {
  const key = await findLiveApiKey(sql, hash);
  if (key === null)
    throw new AppError("unauthorized", {
      message: "The API key does not exist, is disabled or has expired.",
    });
  stamps.keyUsed(key.id);
  return {
    kind: "api_key",
    id: key.id,
    userId: key.createdBy,
    organizationId: key.organizationId,
    permissions: permissionsOfKey(key.permissions),
  };
}

interface SessionRow {
  readonly id: string;
  readonly userId: string;
  readonly activeOrganizationId: string | null;
  /** Null when the user is not a member of the active organization. */
  readonly role: string | null;
  readonly isRefreshDue: boolean;
}

const { expiresInSeconds, updateAgeSeconds, unrememberedSeconds } = sessionLifetime;
/** Above what better-auth gives a session without "remember me", whose two dates it reads milliseconds apart. */
const rememberedAboveSeconds = unrememberedSeconds + 60;

/** Foreign keys guarantee that the user and the organization of the rows exist. */
async function authenticateSession(sql: Sql, token: string, stamps: UsageStamps): Promise<Principal> {
  const [session] = await sql<SessionRow[]>`
    select session.id, session.user_id, session.active_organization_id, member.role,
      session.expires_at - session.created_at > make_interval(secs => ${rememberedAboveSeconds})
        and session.expires_at < now() + make_interval(secs => ${expiresInSeconds - updateAgeSeconds}) as is_refresh_due
    from session
    left join member
      on member.organization_id = session.active_organization_id and member.user_id = session.user_id
    where session.token = ${token} and session.expires_at > now()`;
  if (session === undefined)
    throw new AppError("unauthorized", { message: "The session does not exist or has ended." });
  if (session.isRefreshDue) stamps.sessionUsed(session.id);
  if (session.activeOrganizationId === null) throw new AppError("no_active_organization");
  if (session.role === null) {
    throw new AppError("no_active_organization", {
      message: "You are no longer a member of the organization that is active in this session.",
    });
  }
  return {
    kind: "user",
    id: session.userId,
    userId: session.userId,
    organizationId: session.activeOrganizationId,
    permissions: permissionsOfRoles(session.role),
  };
}
