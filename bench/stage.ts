import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import postgres from "postgres";
import type { Sql } from "../server/db/client.js";
import { startEmbeddedPostgres } from "../server/db/embedded/embedded-postgres.js";
import { migrateDatabase } from "../server/db/migrate.js";
import { withDatabaseName } from "../tests/support/database-url.js";

/** A server in a process of its own. */
export interface RunningServer {
  readonly url: string;
  /** Resolves once the process has ended; the stage does it for those that still run. */
  end(): Promise<void>;
}

/** A PostgreSQL of the bench's own, with the settings that `npm start` gives it, and the processes on it. */
export interface Stage {
  /** A new database; `isMigrated` with Flowkeep's tables. */
  createDatabase(name: string, isMigrated: boolean): Promise<string>;
  /** One connection to look into a database with. */
  openSql(databaseUrl: string): Sql;
  /** The compiled server. */
  startServer(databaseUrl: string, environment: Readonly<Record<string, string>>): Promise<RunningServer>;
  /** The bare server of `floor-server.ts`. */
  startFloorServer(databaseUrl: string): Promise<RunningServer>;
  /** Ends the processes, stops PostgreSQL and removes its folder. */
  close(): Promise<void>;
}

/** Starts PostgreSQL in a temporary folder. */
export async function openStage(): Promise<Stage> {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "flowkeep-bench-"));
  const server = await startEmbeddedPostgres({ dataFolder: folder });
  const processes: ChildProcess[] = [];
  const clients: Sql[] = [];
  const start = async (args: string[], environment: Readonly<Record<string, string>>) => {
    const { PATH, HOME } = process.env;
    const child = spawn(process.execPath, args, {
      env: { PATH, HOME, NODE_ENV: "production", ...environment },
      stdio: ["ignore", "pipe", "inherit"],
    });
    processes.push(child);
    return { url: `http://127.0.0.1:${await readPort(child)}`, end: () => end(child) };
  };
  const openSql = (url: string) => {
    const sql = postgres(url, { max: 1, onnotice: () => {} });
    clients.push(sql);
    return sql;
  };
  return {
    async createDatabase(name, isMigrated) {
      const admin = openSql(server.url);
      await admin`create database ${admin(name)}`;
      const url = withDatabaseName(server.url, name);
      if (isMigrated) await migrateDatabase(url);
      return url;
    },
    openSql,
    startServer: (databaseUrl, environment) =>
      start(["dist/server/main.js"], {
        PORT: "0",
        DATABASE_URL: databaseUrl,
        AUTH_SECRET: randomBytes(32).toString("hex"),
        LOG_LEVEL: "warn",
        RATE_LIMIT_PER_MINUTE: "10000000",
        ...environment,
      }),
    startFloorServer: (databaseUrl) => start(["--import", "tsx", "bench/floor-server.ts", databaseUrl], {}),
    async close() {
      await Promise.all(processes.map(end));
      await Promise.all(clients.map((sql) => sql.end()));
      await server.stop();
      fs.rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Both servers tell their port when they listen and are ready. */
function readPort(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let output = "";
    child.stdout?.on("data", (chunk: Buffer) => {
      output += chunk.toString();
      const port = /(?:ready at http:\/\/localhost:|port )(\d+)/.exec(output)?.[1];
      if (port !== undefined) resolve(port);
    });
    child.once("exit", () => reject(new Error(`A server ended before it was ready: ${output}`)));
  });
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  const exit = once(child, "exit");
  child.kill("SIGTERM");
  await exit;
}
