import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { drizzle } from "drizzle-orm/postgres-js";
import { migrate } from "drizzle-orm/postgres-js/migrator";
import postgres from "postgres";
import { z } from "zod";
import { installEngine } from "../engine/database/install.js";
import type { Sql } from "./client.js";

/** Session lock that lets one process at a time migrate a database. */
const MIGRATION_LOCK = 7_205_759_404;

/**
 * Brings a database to the state this version needs: own tables, then the engine's. Safe to call again and from
 * several processes at once; each returns when the work is done, whoever did it.
 */
export async function migrateDatabase(url: string): Promise<void> {
  const sql = postgres(url, {
    max: 1,
    // A replaced connection would lose the lock.
    max_lifetime: null,
    onnotice: () => {},
    connection: { application_name: "flowkeep migrate" },
  });
  try {
    await sql`select pg_advisory_lock(${MIGRATION_LOCK}::bigint)`;
    await migrate(drizzle(sql), { migrationsFolder: findMigrationsFolder() });
    await installEngine(url, sql);
  } finally {
    await sql.end({ timeout: 5 });
  }
}

const Journal = z.object({ entries: z.array(z.object({ when: z.number() })) });

/** Whether every committed migration of our own tables is applied; one small query. */
export async function migrationState(sql: Sql): Promise<"current" | "pending"> {
  const journal = fs.readFileSync(path.join(findMigrationsFolder(), "meta", "_journal.json"), "utf8");
  const newest = Math.max(...Journal.parse(JSON.parse(journal)).entries.map(({ when }) => when));
  try {
    const [row] = await sql<{ applied: string | null }[]>`
      select max(created_at)::text as applied from drizzle.__drizzle_migrations`;
    return Number(row?.applied ?? 0) >= newest ? "current" : "pending";
  } catch (error) {
    if (error instanceof postgres.PostgresError && error.code === UNDEFINED_TABLE) return "pending";
    throw error;
  }
}

const UNDEFINED_TABLE = "42P01";

/** The SQL files lie in the source tree, also for compiled code; the package root is where `package.json` is. */
function findMigrationsFolder(): string {
  let folder = path.dirname(fileURLToPath(import.meta.url));
  while (!fs.existsSync(path.join(folder, "package.json"))) {
    if (folder === path.dirname(folder)) throw new Error("The folder of package.json was not found.");
    folder = path.dirname(folder);
  }
  return path.join(folder, "server", "db", "migrations");
}
