import { randomBytes } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import postgres from "postgres";
import type { TestProject } from "vitest/node";
import { startEmbeddedPostgres } from "../../server/db/embedded/embedded-postgres.js";
import { migrateDatabase } from "../../server/db/migrate.js";
import { withDatabaseName } from "./database-url.js";

declare module "vitest" {
  interface ProvidedContext {
    /** Connection URL of a role that may create databases. */
    databaseAdminUrl: string;
    /** Name of the migrated database that others are copied from; the copies' names start with it. */
    databaseTemplate: string;
  }
}

/**
 * Gives the run one server and one migrated template database: on `TEST_DATABASE_URL`, else on an embedded server in
 * a temporary folder. The returned function removes everything again.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const server = await startServer();
  const template = `flowkeep_test_${randomBytes(4).toString("hex")}`;
  const admin = postgres(server.url, { max: 1, onnotice: () => {} });
  const teardown = async () => {
    const databases = await admin<{ name: string }[]>`
      select datname as name from pg_database where starts_with(datname, ${template})`;
    for (const { name } of databases) {
      await admin`alter database ${admin(name)} is_template false`;
      await admin`drop database ${admin(name)} with (force)`;
    }
    await admin.end();
    await server.stop();
  };
  try {
    await admin`create database ${admin(template)}`;
    await migrateDatabase(withDatabaseName(server.url, template));
    await admin`alter database ${admin(template)} is_template true allow_connections false`;
  } catch (error) {
    await teardown();
    throw error;
  }
  project.provide("databaseAdminUrl", server.url);
  project.provide("databaseTemplate", template);
  return teardown;
}

async function startServer(): Promise<{ url: string; stop: () => Promise<void> }> {
  const given = process.env.TEST_DATABASE_URL;
  if (given !== undefined && given !== "") return { url: given, stop: async () => {} };
  const dataFolder = fs.mkdtempSync(path.join(os.tmpdir(), "flowkeep-test-"));
  const server = await startEmbeddedPostgres({
    dataFolder,
    noSync: true,
    settings: { fsync: "off", synchronous_commit: "off", full_page_writes: "off" },
  });
  const stop = async () => {
    await server.stop();
    fs.rmSync(dataFolder, { recursive: true, force: true });
  };
  return { url: server.url, stop };
}
