import { createHash } from "node:crypto";
import { BackendPostgres } from "openworkflow/postgres";
import type { Sql } from "../../db/client.js";
import { installSql } from "./install-sql.js";

/** The migration level of openworkflow that the additions were written for and measured on. */
const KNOWN_MIGRATION_LEVEL = 5;

/**
 * Brings openworkflow's schema and our additions to it up to date; does nothing where they are. The caller holds the
 * lock that keeps other processes out, and has created `public.runs`.
 * @throws Error when the schema was made by a version of openworkflow that this one does not know.
 */
export async function installEngine(url: string, sql: Sql): Promise<void> {
  const backend = await BackendPostgres.connect(url);
  await backend.stop();
  const [row] = await sql<{ level: number }[]>`
    select max(version)::int as level from openworkflow.openworkflow_migrations`;
  if (row?.level !== KNOWN_MIGRATION_LEVEL) {
    throw new Error(
      `The schema openworkflow is at migration level ${row?.level}, but this version of Flowkeep knows level ` +
        `${KNOWN_MIGRATION_LEVEL}; start the version of Flowkeep that made it.`,
    );
  }
  const mark = `Flowkeep additions ${createHash("sha256").update(installSql).digest("hex")}`;
  const [installed] = await sql<{ mark: string | null }[]>`
    select obj_description('openworkflow'::regnamespace, 'pg_namespace') as mark`;
  // Replacing triggers waits for every open transaction of running processes, so a start without news avoids it.
  if (installed?.mark === mark) return;
  // One message of several statements is one transaction.
  await sql.unsafe(`${installSql} comment on schema openworkflow is '${mark}';`);
}
