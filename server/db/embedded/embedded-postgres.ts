import { setTimeout as sleep } from "node:timers/promises";
import { ensureCluster, OWNER } from "./cluster.js";
import { type Home, prepareHome } from "./home.js";
import { claimOwnership, type Ownership } from "./ownership.js";
import { type Postmaster, readLog, refuseWhenLate, runPostmaster, stopPostmaster } from "./postmaster.js";
import { isServerOf } from "./process-state.js";

export interface EmbeddedPostgresOptions {
  /** Folder of the cluster; made when absent. */
  readonly dataFolder: string;
  /** Server settings beside or instead of the usual ones. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Makes the cluster without waiting for the disk; for throw-away clusters. */
  readonly noSync?: boolean;
  /** Receives one sentence per event worth telling. */
  readonly log?: (message: string) => void;
  /** Called once if PostgreSQL ends although nobody stopped it, with what it wrote last. */
  readonly onExit?: (reason: string) => void;
}

/** A running PostgreSQL that this process owns. */
export interface EmbeddedPostgres {
  /** Connection URL of its database, password included. */
  readonly url: string;
  /** Process id of the server. */
  readonly pid: number;
  /** Stops the server in order; close the pools first. Later calls wait for the first. */
  stop(): Promise<void>;
}

/** Recovery after a crash may take this long on a slow disk, in milliseconds. */
const START_PATIENCE_MS = 300_000;
const RETRY_MS = 50;

/**
 * Gives this process alone a PostgreSQL on the data folder: on 127.0.0.1, a free port and a password kept in the
 * cluster. Works as root (PostgreSQL runs as another user then), takes over a server that outlived its owner, and
 * ends the server when this process dies in any way. Run on Linux x64; macOS and Windows have not been run.
 * @throws EmbeddedPgError with one sentence that names the remedy; `IN_USE` for a folder of another server.
 */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const log = options.log ?? (() => {});
  const home = prepareHome(options.dataFolder);
  const password = await ensureCluster(home, { noSync: options.noSync ?? false, log });
  const urlOf = (port: number, database: string) =>
    `postgres://${OWNER}:${password}@127.0.0.1:${port}/${database}`;
  const deadline = Date.now() + START_PATIENCE_MS;
  for (;;) {
    const postmaster = await runPostmaster(home, { settings: options.settings ?? {}, deadline, log });
    const ownership = await claimOwnership({
      url: urlOf(postmaster.port, "postgres"),
      folder: home.folder,
      guardPid: postmaster.guard?.pid ?? null,
      shouldRetake: watch(home, postmaster, options.onExit ?? (() => {})),
    });
    if (ownership === null) {
      refuseWhenLate(home, deadline);
      await sleep(RETRY_MS);
      continue;
    }
    if (postmaster.guard === null)
      log(`Took over the PostgreSQL that was running (process ${postmaster.pid}).`);
    const stop = stopOnce(home, postmaster, ownership);
    try {
      await ensureDatabase(ownership);
    } catch (error) {
      await stop();
      throw error;
    }
    return { url: urlOf(postmaster.port, OWNER), pid: postmaster.pid, stop };
  }
}

function watch(home: Home, { pid }: Postmaster, onExit: (reason: string) => void): () => boolean {
  let hasTold = false;
  return () => {
    if (isServerOf(pid, home.cluster)) return true;
    if (!hasTold) onExit(`PostgreSQL ended by itself: ${readLog(home, 0)}`);
    hasTold = true;
    return false;
  };
}

/** The lock outlives the server's last moment, so that nobody takes over a server that is stopping. */
function stopOnce(home: Home, postmaster: Postmaster, ownership: Ownership): () => Promise<void> {
  let stopping: Promise<void> | null = null;
  const stop = async () => {
    ownership.release();
    await stopPostmaster(home, postmaster);
    await ownership.close();
  };
  return () => {
    stopping ??= stop();
    return stopping;
  };
}

async function ensureDatabase({ session }: Ownership): Promise<void> {
  const present = await session`select 1 from pg_database where datname = ${OWNER}`;
  if (present.length === 0) await session`create database ${session(OWNER)}`;
}
