import { randomBytes } from "node:crypto";
import postgres from "postgres";
import { inject } from "vitest";
import { withDatabaseName } from "./database-url.js";

/** A migrated database that nobody else uses. */
export interface TestDatabase {
  readonly url: string;
  /** Removes it and closes the connections that are still open. */
  drop(): Promise<void>;
}

/** Copies the run's template; takes some tens of milliseconds. */
export async function createTestDatabase(): Promise<TestDatabase> {
  const template = inject("databaseTemplate");
  const name = `${template}_${randomBytes(4).toString("hex")}`;
  await asAdmin(async (sql) => {
    await sql`create database ${sql(name)} template ${sql(template)}`;
  });
  return {
    url: withDatabaseName(inject("databaseAdminUrl"), name),
    drop: () =>
      asAdmin(async (sql) => {
        await sql`drop database if exists ${sql(name)} with (force)`;
      }),
  };
}

async function asAdmin(work: (sql: postgres.Sql) => Promise<void>): Promise<void> {
  const sql = postgres(inject("databaseAdminUrl"), { max: 1, fetch_types: false, onnotice: () => {} });
  try {
    await work(sql);
  } finally {
    await sql.end();
  }
}
