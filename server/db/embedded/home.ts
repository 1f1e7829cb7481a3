import fs from "node:fs";
import path from "node:path";
import { type Binaries, findBinaries } from "./binaries.js";
import { EmbeddedPgError } from "./embedded-pg-error.js";
import { canEnter, chooseRunAs, type RunAs } from "./run-as.js";
import { makeUsable } from "./usable-binaries.js";

/** A data folder with what is needed to run PostgreSQL in it. */
export interface Home {
  /** Absolute path of the data folder. */
  readonly folder: string;
  /** The cluster inside it. */
  readonly cluster: string;
  /** What PostgreSQL wrote since its last start. */
  readonly logFile: string;
  readonly binaries: Binaries;
  /** Null: PostgreSQL runs as the user of this process. */
  readonly runAs: RunAs | null;
  /** Whether `runAs` cannot walk to the folder, so that it is handed over as an open descriptor. */
  readonly isHandedOver: boolean;
}

/**
 * Makes the data folder and finds binaries and a user that work there.
 * @throws EmbeddedPgError `UNSUPPORTED`, `ROOT`, `FOLDER`
 */
export function prepareHome(dataFolder: string): Home {
  const folder = path.resolve(dataFolder);
  const cluster = path.join(folder, "pgdata");
  makeFolder(folder);
  refuseForeignCluster(cluster);
  const runAs = chooseRunAs(cluster);
  const isHandedOver = !canEnter(runAs, folder);
  if (isHandedOver && process.platform !== "linux") {
    throw new EmbeddedPgError(
      "ROOT",
      `PostgreSQL runs as uid ${runAs?.uid}, which cannot reach ${folder}: set DATA_DIR to another folder, or do not start the server as root.`,
    );
  }
  return {
    folder,
    cluster,
    logFile: path.join(folder, "postgres.log"),
    binaries: makeUsable(findBinaries(), runAs, folder),
    runAs,
    isHandedOver,
  };
}

function makeFolder(folder: string): void {
  try {
    fs.mkdirSync(folder, { recursive: true });
    fs.accessSync(folder, fs.constants.R_OK | fs.constants.W_OK | fs.constants.X_OK);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new EmbeddedPgError(
      "FOLDER",
      `The data folder ${folder} cannot be used (${reason}): set DATA_DIR to a folder this user may write to.`,
      { cause },
    );
  }
}

/** PostgreSQL serves a cluster only as its owner, and only root can become that owner. */
function refuseForeignCluster(cluster: string): void {
  const uid = process.getuid?.() ?? 0;
  if (uid === 0 || !fs.existsSync(cluster)) return;
  const owner = fs.statSync(cluster).uid;
  if (owner === uid) return;
  throw new EmbeddedPgError(
    "FOLDER",
    `The cluster ${cluster} belongs to uid ${owner}, not to uid ${uid}: start the server as that user or as root, or set DATA_DIR to another folder.`,
  );
}
