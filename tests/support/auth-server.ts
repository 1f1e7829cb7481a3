import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import express, { type ErrorRequestHandler } from "express";
import { pino } from "pino";
import { createAuth } from "../../server/auth/auth.js";
import { createAuthRoutes } from "../../server/auth/auth-routes.js";
import { createIdentity } from "../../server/auth/identity.js";
import { trustedOrigins } from "../../server/auth/origin.js";
import { createRateLimit } from "../../server/auth/rate-limit.js";
import { type Config, readConfig } from "../../server/config.js";
import { type Database, openDatabase } from "../../server/db/client.js";
import { toErrorBody } from "../../server/errors/error-body.js";
import { createTestDatabase } from "./database.js";

/** The auth routes and `GET /whoami`, which answers the principal, on a database of their own. */
export interface AuthServer {
  readonly url: string;
  readonly database: Database;
  /** Ends the pool while the server stays up. */
  close(): Promise<void>;
}

export interface AuthServerOptions {
  readonly config?: Partial<Config>;
  readonly maxConnections?: number;
  readonly stampAfterMs?: number;
  /** Public origin, when it shall differ from where the server listens. */
  readonly baseUrl?: string;
}

export const testSecret = "0f9c1b7e5a3d42868d1f7c2b9e4a6d035b8c";

/** Listens on a free loopback port; limits are high unless the test sets them. */
export async function startAuthServer(options: AuthServerOptions = {}): Promise<AuthServer> {
  const testDatabase = await createTestDatabase();
  const database = openDatabase(testDatabase.url, {
    max: options.maxConnections ?? 10,
    applicationName: "flowkeep test",
  });
  const app = express();
  const server = createServer(app);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const baseUrl = options.baseUrl ?? url;
  const config: Config = {
    ...readConfig({}),
    rateLimitPerMinute: 1_000_000,
    authRateLimitPerMinute: 1_000_000,
    ...options.config,
  };
  const logger = pino({ level: "silent" });
  const identity = createIdentity({
    database,
    secret: testSecret,
    baseUrl,
    trustedOrigins: trustedOrigins(config, baseUrl),
    logger,
    stampAfterMs: options.stampAfterMs ?? 60_000,
  });
  const rateLimit = createRateLimit(config);
  const auth = createAuth({ database, config, secret: testSecret, baseUrl, logger });
  app.use("/api/auth", createAuthRoutes({ auth, sql: database.sql, config, baseUrl, logger }));
  app.get("/whoami", async (request, response) => {
    const principal = await identity.authenticate(request.headers);
    await rateLimit.consume(principal, (name, value) => response.setHeader(name, value));
    response.json({ ...principal, permissions: [...principal.permissions] });
  });
  const answerError: ErrorRequestHandler = (cause, _request, response, _next) => {
    const { status, body } = toErrorBody(cause, null);
    response.status(status).json(body);
  };
  app.use(answerError);
  return {
    url,
    database,
    close: async () => {
      await new Promise((resolve) => {
        server.close(resolve);
        server.closeAllConnections();
      });
      await identity.close();
      await database.close();
      await testDatabase.drop();
    },
  };
}
