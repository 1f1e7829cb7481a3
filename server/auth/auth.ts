import { betterAuth } from "better-auth";
import { drizzleAdapter } from "better-auth/adapters/drizzle";
import { createAuthMiddleware } from "better-auth/api";
import { bearer, organization } from "better-auth/plugins";
import { createAccessControl } from "better-auth/plugins/access";
import { adminAc, defaultStatements, memberAc, ownerAc } from "better-auth/plugins/organization/access";
import type { Logger } from "pino";
import type { Config } from "../config.js";
import type { Database } from "../db/client.js";
import * as schema from "../db/schema/auth.js";
import { describeCause } from "../errors/describe-cause.js";
import { chooseActiveOrganization, keepActiveOrganization } from "./active-organization.js";
import { refuseUnusableInput } from "./input-guard.js";
import { apiKeyPlugin } from "./key-plugin.js";
import { trustedOrigins } from "./origin.js";
import { sessionLifetime } from "./session-lifetime.js";

/** better-auth behind its one entrance; what it throws is not a request's fault. */
export interface Auth {
  readonly handler: (request: Request) => Promise<Response>;
}

/** `baseUrl` is the public origin, `secret` signs session cookies. */
export interface AuthOptions {
  readonly database: Database;
  readonly config: Pick<Config, "baseUrl" | "host" | "trustedOrigins">;
  readonly secret: string;
  readonly baseUrl: string;
  readonly logger: Logger;
}

const keyActions = ["create", "read", "update", "delete"] as const;
const accessControl = createAccessControl({ ...defaultStatements, apiKey: keyActions });

/** Owners and admins manage keys; members do not. */
const roles = {
  owner: accessControl.newRole({ ...ownerAc.statements, apiKey: [...keyActions] }),
  admin: accessControl.newRole({ ...adminAc.statements, apiKey: [...keyActions] }),
  member: accessControl.newRole({ ...memberAc.statements }),
};

/**
 * Sign-up, sign-in, sessions, organizations, members, invitations and API keys under `/api/auth`. Every session is
 * written with an active organization as long as its user belongs to one.
 */
export function createAuth({ database, config, secret, baseUrl, logger }: AuthOptions): Auth {
  return betterAuth({
    appName: "Flowkeep",
    baseURL: new URL(baseUrl).origin,
    basePath: "/api/auth",
    secret,
    trustedOrigins: trustedOrigins(config, baseUrl),
    database: drizzleAdapter(database.db, { provider: "pg", schema, transaction: true }),
    emailAndPassword: { enabled: true },
    session: { expiresIn: sessionLifetime.expiresInSeconds, updateAge: sessionLifetime.updateAgeSeconds },
    plugins: [bearer(), organization({ ac: accessControl, roles }), apiKeyPlugin(database.sql)],
    hooks: { before: createAuthMiddleware(refuseUnusableInput) },
    databaseHooks: {
      session: { create: { before: chooseActiveOrganization }, update: { before: keepActiveOrganization } },
    },
    advanced: {
      useSecureCookies: baseUrl.startsWith("https:"),
      // Said outright because better-auth switches both checks off where it believes to be under test.
      disableOriginCheck: false,
      disableCSRFCheck: false,
    },
    disabledPaths: ["/error"],
    rateLimit: { enabled: false },
    telemetry: { enabled: false },
    onAPIError: { throw: true },
    logger: {
      level: "warn",
      log: (level, message, ...details: unknown[]) =>
        logger[level]({ details: details.map(describeCause) }, describeCause(message)),
    },
  });
}
