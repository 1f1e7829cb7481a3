import fs from "node:fs";
import path from "node:path";
import { generateDrizzleJson, generateMigration } from "drizzle-kit/api";
import postgres from "postgres";
import { afterEach, beforeEach, describe, expect, inject, it } from "vitest";
import { migrateDatabase, migrationState } from "../../server/db/migrate.js";
import * as schema from "../../server/db/schema/index.js";
import { createTestDatabase, type TestDatabase } from "../support/database.js";

describe("migrateDatabase", () => {
  let database: TestDatabase;
  let sql: postgres.Sql;

  beforeEach(async () => {
    database = await createTestDatabase();
    sql = postgres(database.url, { max: 2, onnotice: () => {} });
  });
  afterEach(async () => {
    await sql.end();
    await database.drop();
  });

  /** Takes everything out, so that migrating starts from an empty database. */
  async function empty(): Promise<void> {
    const schemas = await sql<{ name: string }[]>`
      select nspname as name from pg_namespace where nspname !~ '^(pg_|information_schema)'`;
    for (const { name } of schemas) await sql`drop schema ${sql(name)} cascade`;
    await sql`create schema public`;
  }

  it("migrates an empty database once when four processes start together", async () => {
    await empty();
    expect(await migrationState(sql)).toBe("pending");
    await Promise.all(Array.from({ length: 4 }, () => migrateDatabase(database.url)));
    const journal = JSON.parse(fs.readFileSync("server/db/migrations/meta/_journal.json", "utf8"));
    const applied = await sql`select hash from drizzle.__drizzle_migrations`;
    expect(applied).toHaveLength(journal.entries.length);
    const [tables] = await sql`
      select to_regclass('public.workflows') as own, to_regclass('openworkflow.workflow_runs') as engine`;
    expect(tables).toEqual({ own: "workflows", engine: "openworkflow.workflow_runs" });
    expect(await migrationState(sql)).toBe("current");
  });

  it("leaves a migrated database and its rows as they are", async () => {
    await sql`insert into organization (id, name, slug, created_at) values ('o', 'O', 'o', now())`;
    await migrateDatabase(database.url);
    expect(await sql`select id from organization`).toEqual([{ id: "o" }]);
  });

  it("lets go of its connection and lock", async () => {
    await migrateDatabase(database.url);
    const held = await sql`
      select 1 from pg_locks where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())`;
    expect(held).toHaveLength(0);
  });

  it("is pending when the newest migration has not been applied", async () => {
    expect(await migrationState(sql)).toBe("current");
    await sql`delete from drizzle.__drizzle_migrations where created_at = (select max(created_at) from drizzle.__drizzle_migrations)`;
    expect(await migrationState(sql)).toBe("pending");
  });

  it("has a committed migration for everything in the schema", async () => {
    const folder = "server/db/migrations/meta";
    const last =
      fs
        .readdirSync(folder)
        .filter((name) => name.endsWith("_snapshot.json"))
        .sort()
        .at(-1) ?? "";
    const committed = JSON.parse(fs.readFileSync(path.join(folder, last), "utf8"));
    expect(await generateMigration(committed, generateDrizzleJson(schema, committed.id))).toEqual([]);
  });
});

it("gives every test database a name that the end of the run finds", async () => {
  const database = await createTestDatabase();
  expect(new URL(database.url).pathname).toContain(inject("databaseTemplate"));
  await database.drop();
});
