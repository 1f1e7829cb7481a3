import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { type Logger, pino } from "pino";
import { appRouter } from "../router/index.js";
import { createApp } from "./app.js";
import { keptAuthSecret } from "./auth/auth-secret.js";
import { type Config, ConfigError, readConfig } from "./config.js";
import { EmbeddedPgError } from "./db/embedded/embedded-pg-error.js";
import { startEmbeddedPostgres } from "./db/embedded/embedded-postgres.js";
import { migrateDatabase } from "./db/migrate.js";
import { createRuntime } from "./services.js";

/** How long open requests may take to end on shutdown before their connections are cut, in milliseconds. */
const REQUEST_GRACE_MS = 5_000;

/** What must end before open requests can. */
const beforeClosing: (() => void)[] = [];
/** What was started, newest last; stopped in the opposite order. */
const stops: (() => Promise<void>)[] = [];

async function main(): Promise<void> {
  const config = readConfig(process.env);
  const logger = pino({ level: config.logLevel, base: null });
  const server = await listen(config);
  const { port } = server.address() as AddressInfo;
  const baseUrl = config.baseUrl ?? `http://localhost:${port}`;
  const shutdown = shutdownOnce(server, logger);
  process.once("SIGTERM", shutdown);
  process.once("SIGINT", shutdown);

  const databaseUrl = config.databaseUrl ?? (await startDatabase(config, logger, shutdown));
  await migrateDatabase(databaseUrl);
  const authSecret = config.authSecret ?? (await keptAuthSecret(config.dataDir));
  const runtime = await createRuntime({
    config,
    databaseUrl,
    authSecret,
    baseUrl,
    logger,
    now: () => new Date(),
  });
  stops.push(() => runtime.stop());
  beforeClosing.push(() => runtime.endStreams());
  await runtime.start();
  server.removeAllListeners("request");
  server.on("request", createApp(runtime.services, { ...runtime, router: appRouter }));
  announce(config, baseUrl);
}

/** Takes the port first, so that a taken one is told before anything is started; answers 503 until ready. */
async function listen({ host, port }: Config): Promise<Server> {
  const server = createServer((_request, response) => {
    response.writeHead(503, { "content-type": "application/json", "retry-after": "1" });
    response.end(
      JSON.stringify({ error: "unavailable", message: "The server is starting; try again in a moment." }),
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, resolve);
  });
  return server;
}

async function startDatabase(config: Config, logger: Logger, shutdown: () => void): Promise<string> {
  const postgres = await startEmbeddedPostgres({
    dataFolder: config.dataDir,
    log: (message) => logger.info(message),
    onExit: (reason) => {
      logger.fatal(reason);
      process.exitCode = 1;
      shutdown();
    },
  });
  stops.push(() => postgres.stop());
  return postgres.url;
}

/** Drains once: no new connections, open requests end, running steps finish or are handed back, the database stops. */
function shutdownOnce(server: Server, logger: Logger): () => void {
  let isStopping = false;
  const drain = async () => {
    logger.info("Shutting down.");
    for (const end of beforeClosing) end();
    await closeServer(server);
    for (const stop of stops.reverse()) await stop();
    logger.info("Stopped.");
  };
  return () => {
    if (isStopping) return;
    isStopping = true;
    drain().then(
      () => process.exit(),
      (error: unknown) => {
        logger.error({ err: error }, "Shutting down failed.");
        process.exit(1);
      },
    );
  };
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeIdleConnections();
    setTimeout(() => server.closeAllConnections(), REQUEST_GRACE_MS).unref();
  });
}

function announce({ role, databaseUrl, dataDir }: Config, baseUrl: string): void {
  const lines = [
    "",
    `Flowkeep is ready at ${baseUrl} (role ${role}).`,
    `  Docs       ${baseUrl}/docs`,
    `  OpenAPI    ${baseUrl}/openapi.json`,
    `  Database   ${databaseUrl === null ? `embedded PostgreSQL in ${dataDir}` : "DATABASE_URL"}`,
    "  First key  npm run quickstart, in a second terminal: it signs up, mints a key, builds and runs a workflow.",
    "",
    "",
  ];
  process.stdout.write(lines.join("\n"));
}

/** One sentence for what the person who starts the server can mend; a stack only for what nobody foresaw. */
function explain(error: unknown): string {
  if (error instanceof ConfigError || error instanceof EmbeddedPgError) return error.message;
  if (error instanceof Error && "code" in error && error.code === "EADDRINUSE") {
    return "The port is taken by another program; set PORT to a free one or stop that program.";
  }
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

main().catch(async (error: unknown) => {
  process.stderr.write(`Flowkeep did not start. ${explain(error)}\n`);
  for (const stop of stops.reverse()) await stop().catch(() => undefined);
  process.exit(1);
});
