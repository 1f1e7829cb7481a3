import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { type Logger, pino } from "pino";
import { appRouter } from "../../router/index.js";
import { createApp } from "../../server/app.js";
import { type Config, readConfig } from "../../server/config.js";
import { createRuntime, type Services } from "../../server/services.js";
import { createTestDatabase } from "./database.js";

/** A whole Flowkeep in this process on a database of its own. */
export interface TestServer {
  readonly url: string;
  readonly databaseUrl: string;
  readonly services: Services;
  close(): Promise<void>;
}

/** What a test changes; limits are high and private addresses allowed unless it says otherwise. */
export interface TestServerOptions {
  readonly config?: Partial<Config>;
  readonly now?: () => Date;
  /** Absent: silent, or as `LOG_LEVEL` says. */
  readonly logger?: Logger;
  /** A migrated database to share; one is made when absent. */
  readonly databaseUrl?: string;
}

/** Starts the worker, the scheduler and every door on a free loopback port. */
export async function startTestServer(options: TestServerOptions = {}): Promise<TestServer> {
  const own = options.databaseUrl === undefined ? await createTestDatabase() : null;
  const databaseUrl = own?.url ?? String(options.databaseUrl);
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const config: Config = {
    ...readConfig({}),
    rateLimitPerMinute: 1_000_000,
    authRateLimitPerMinute: 1_000_000,
    httpAllowPrivate: true,
    ...options.config,
  };
  const runtime = await createRuntime({
    config,
    databaseUrl,
    authSecret: "0f9c1b7e5a3d42868d1f7c2b9e4a6d035b8c",
    baseUrl: url,
    logger: options.logger ?? pino({ level: process.env.LOG_LEVEL ?? "silent" }),
    now: options.now ?? (() => new Date()),
  });
  await runtime.start();
  server.on("request", createApp(runtime.services, { ...runtime, router: appRouter }));
  return {
    url,
    databaseUrl,
    services: runtime.services,
    close: async () => {
      await new Promise((resolve) => {
        server.close(resolve);
        server.closeAllConnections();
      });
      await runtime.stop();
      await own?.drop();
    },
  };
}
