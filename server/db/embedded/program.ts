import { type ChildProcess, spawn } from "node:child_process";
import fs from "node:fs";
import type { Home } from "./home.js";
import { namespaceCommand } from "./run-as.js";

/** One program to run for a home. */
export interface Program {
  readonly command: string;
  /** The folder its arguments are about. */
  readonly folder: string;
  /** Its arguments; `folder` is the path by which the program reaches the folder. */
  readonly args: (folder: string) => readonly string[];
  /** Descriptor for both outputs, or pipes to read from. */
  readonly output: number | "pipe";
  /** Whether it gets a standard input that ends with this process, and a session of its own. */
  readonly isGuarded: boolean;
  readonly environment?: Readonly<Record<string, string>>;
}

const SEARCH_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin";
/** Number under which the program finds the open folder: the first one after the three standard streams. */
const FOLDER_DESCRIPTOR = 3;

/**
 * Starts a program as the home's user with an environment of its own, so that neither secrets nor `PG*` variables of
 * this process reach it. A folder that the user cannot walk to is passed as an open descriptor.
 */
export function spawnProgram(home: Home, program: Program): ChildProcess {
  const { runAs } = home;
  const descriptor = home.isHandedOver ? fs.openSync(program.folder, "r") : null;
  const reachable = descriptor === null ? program.folder : `/proc/self/fd/${FOLDER_DESCRIPTOR}`;
  const prefix = runAs?.isInNamespace ? namespaceCommand(runAs) : [];
  const [command = program.command, ...args] = [...prefix, program.command, ...program.args(reachable)];
  try {
    return spawn(command, args, {
      cwd: home.isHandedOver ? "/" : home.folder,
      windowsHide: true,
      detached: program.isGuarded,
      ...(runAs === null || runAs.isInNamespace ? {} : { uid: runAs.uid, gid: runAs.gid }),
      env: {
        ...(process.platform === "win32" ? {} : { PATH: SEARCH_PATH }),
        LC_ALL: "C",
        TZ: "UTC",
        ...program.environment,
      },
      stdio: [
        program.isGuarded ? "pipe" : "ignore",
        program.output,
        program.output,
        ...(descriptor === null ? [] : [descriptor]),
      ],
    });
  } finally {
    if (descriptor !== null) fs.closeSync(descriptor);
  }
}
