import { EmbeddedPgError } from "../../server/db/embedded/embedded-pg-error.js";
import { startEmbeddedPostgres } from "../../server/db/embedded/embedded-postgres.js";

/** What a process of this file writes as its one line. */
export type OwnerReport = { url: string; pid: number } | { code: string; message: string };

/**
 * A process that owns an embedded PostgreSQL on the folder of its first argument until standard input ends: what a
 * test starts to kill it.
 */
async function own(dataFolder: string): Promise<void> {
  const report = (line: OwnerReport) => process.stdout.write(`${JSON.stringify(line)}\n`);
  try {
    const server = await startEmbeddedPostgres({ dataFolder });
    report({ url: server.url, pid: server.pid });
    process.stdin.resume().once("end", () => void server.stop().then(() => process.exit(0)));
  } catch (error) {
    if (!(error instanceof EmbeddedPgError)) throw error;
    report({ code: error.code, message: error.message });
    process.exit(1);
  }
}

void own(process.argv[2] ?? "");
