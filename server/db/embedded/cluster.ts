import { randomBytes } from "node:crypto";
import { once } from "node:events";
import fs from "node:fs";
import path from "node:path";
import { text } from "node:stream/consumers";
import { majorVersion, programPath } from "./binaries.js";
import { EmbeddedPgError } from "./embedded-pg-error.js";
import type { Home } from "./home.js";
import { isProcessAlive } from "./process-state.js";
import { spawnProgram } from "./program.js";
import { giveTo } from "./run-as.js";

/** Name of the cluster's only role, and of the database made in it. */
export const OWNER = "flowkeep";

const PASSWORD_FILE = "flowkeep.password";
/** First version whose sort order does not depend on the operating system. */
const MIN_BUILTIN_LOCALE_MAJOR = 17;

export interface ClusterOptions {
  /** Leaves writes to the operating system while the cluster is made; for throw-away clusters. */
  readonly noSync: boolean;
  readonly log: (message: string) => void;
}

/**
 * Makes sure that the home holds a cluster these binaries can serve, and returns its password. A cluster appears
 * whole or not at all, also when the process dies on the way or two processes make it at once.
 * @throws EmbeddedPgError `FAILED`, `VERSION`
 */
export async function ensureCluster(home: Home, options: ClusterOptions): Promise<string> {
  removeLeftovers(home.folder);
  if (!hasCluster(home)) await createCluster(home, options);
  if (home.runAs !== null && fs.statSync(home.cluster).uid === 0) giveTo(home.runAs, home.cluster);
  const present = fs.readFileSync(path.join(home.cluster, "PG_VERSION"), "utf8").trim();
  const wanted = String(majorVersion(home.binaries));
  if (present !== wanted) {
    throw new EmbeddedPgError(
      "VERSION",
      `The cluster ${home.cluster} was made by PostgreSQL ${present} and cannot be served by PostgreSQL ${wanted}: go back to the version that made it, or set DATA_DIR to another folder.`,
    );
  }
  return fs.readFileSync(path.join(home.cluster, PASSWORD_FILE), "utf8").trim();
}

function hasCluster(home: Home): boolean {
  return fs.existsSync(path.join(home.cluster, "PG_VERSION"));
}

async function createCluster(home: Home, options: ClusterOptions): Promise<void> {
  const scratch = path.join(home.folder, `.init-${process.pid}-${randomBytes(4).toString("hex")}`);
  const fresh = path.join(scratch, "cluster");
  const passwordFile = path.join(scratch, "password");
  fs.mkdirSync(fresh, { recursive: true, mode: 0o700 });
  try {
    fs.writeFileSync(passwordFile, randomBytes(24).toString("base64url"), { mode: 0o600 });
    giveTo(home.runAs, scratch);
    await runInitdb(home, scratch, options.noSync);
    fs.renameSync(passwordFile, path.join(fresh, PASSWORD_FILE));
    fs.renameSync(fresh, home.cluster);
    options.log(`Made a PostgreSQL ${home.binaries.version} cluster in ${home.cluster}.`);
  } catch (error) {
    // Another process was first: its cluster serves as well.
    if (!hasCluster(home)) throw error;
  } finally {
    fs.rmSync(scratch, { recursive: true, force: true });
  }
}

async function runInitdb(home: Home, scratch: string, noSync: boolean): Promise<void> {
  const initdb = spawnProgram(home, {
    command: programPath(home.binaries, "initdb"),
    folder: scratch,
    args: (folder) => [
      ...["-D", `${folder}/cluster`, "-U", OWNER, `--pwfile=${folder}/password`],
      ...["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-instructions"],
      ...(majorVersion(home.binaries) >= MIN_BUILTIN_LOCALE_MAJOR
        ? ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        : []),
      ...(noSync ? ["--no-sync"] : []),
    ],
    output: "pipe",
    isGuarded: false,
  });
  const outputs = [initdb.stdout, initdb.stderr].map((stream) => (stream === null ? "" : text(stream)));
  const [[exitCode], ...written] = await Promise.all([once(initdb, "close"), ...outputs]);
  if (exitCode !== 0) {
    throw new EmbeddedPgError(
      "FAILED",
      `PostgreSQL could not make its cluster: ${written.join("").trim().slice(-1_500)}`,
    );
  }
}

/** Scratch folders carry the id of the process that made them; those of ended processes are litter. */
function removeLeftovers(folder: string): void {
  for (const name of fs.readdirSync(folder)) {
    const pid = /^\.init-(\d+)-/.exec(name)?.[1];
    if (pid !== undefined && !isProcessAlive(Number(pid))) {
      fs.rmSync(path.join(folder, name), { recursive: true, force: true });
    }
  }
}
