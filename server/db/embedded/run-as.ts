import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { EmbeddedPgError } from "./embedded-pg-error.js";

/** The user PostgreSQL runs as when the server itself is root. */
export interface RunAs {
  readonly uid: number;
  readonly gid: number;
  /** Whether the uid exists only inside a user namespace, because this root may not switch users. */
  readonly isInNamespace: boolean;
}

interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

/**
 * Chooses the user for a cluster: null when this process is not root (or on Windows), else the owner of the existing
 * cluster, else `postgres`, `nobody` or the first other account, because PostgreSQL refuses uid 0 and `initdb` needs
 * an account with a name.
 * @throws EmbeddedPgError `ROOT` when there is no such account or switching to it is not allowed.
 */
export function chooseRunAs(cluster: string): RunAs | null {
  if (process.getuid?.() !== 0) return null;
  const account = ownerOf(cluster) ?? chooseAccount();
  if (account === null) {
    throw new EmbeddedPgError(
      "ROOT",
      "PostgreSQL refuses to run as root and this system has no other user: set DATABASE_URL or start the server as another user.",
    );
  }
  const { uid, gid } = account;
  if (spawnSync("/bin/sh", ["-c", ":"], { uid, gid, cwd: "/" }).status === 0) {
    return { uid, gid, isInNamespace: false };
  }
  const runAs = { uid, gid, isInNamespace: true };
  const [unshare, ...unshareArgs] = namespaceCommand(runAs);
  if (spawnSync(unshare, [...unshareArgs, "true"]).status === 0) return runAs;
  throw new EmbeddedPgError(
    "ROOT",
    `PostgreSQL refuses to run as root and switching to uid ${uid} is not allowed here: set DATABASE_URL or start the server as another user.`,
  );
}

function ownerOf(cluster: string): Pick<Account, "uid" | "gid"> | null {
  if (!fs.existsSync(cluster)) return null;
  const { uid, gid } = fs.statSync(cluster);
  return uid === 0 ? null : { uid, gid };
}

function chooseAccount(): Account | null {
  const accounts = fs
    .readFileSync("/etc/passwd", "utf8")
    .split("\n")
    .map((line) => line.split(":"))
    .map(([name, , uid, gid]) => ({ name: name ?? "", uid: Number(uid), gid: Number(gid) }))
    .filter(({ uid, gid }) => uid > 0 && gid >= 0);
  const named = (wanted: string) => accounts.find(({ name }) => name === wanted);
  return named("postgres") ?? named("nobody") ?? accounts[0] ?? null;
}

/** The command that makes the program after it see itself as `runAs` inside a user namespace. */
export function namespaceCommand(runAs: RunAs): [string, ...string[]] {
  return ["unshare", "-U", `--map-user=${runAs.uid}`, `--map-group=${runAs.gid}`];
}

/** Whether the user may use what lies in `folder`, as far as the folders on the way decide. */
export function canEnter(runAs: RunAs | null, folder: string): boolean {
  if (runAs === null || runAs.isInNamespace) return true;
  for (let level = fs.realpathSync(folder); ; level = path.dirname(level)) {
    const { mode, uid, gid } = fs.statSync(level);
    const searchBit = uid === runAs.uid ? 0o100 : gid === runAs.gid ? 0o010 : 0o001;
    if ((mode & searchBit) === 0) return false;
    if (level === path.dirname(level)) return true;
  }
}

/** Makes the user the owner of `target` and all below it. */
export function giveTo(runAs: RunAs | null, target: string): void {
  if (runAs === null || runAs.isInNamespace) return;
  walk(target, (entry) => fs.lchownSync(entry, runAs.uid, runAs.gid));
}

/** Visits `target` and all below it without following links. */
export function walk(target: string, visit: (entry: string, stats: fs.Stats) => void): void {
  const stats = fs.lstatSync(target);
  visit(target, stats);
  if (!stats.isDirectory()) return;
  for (const name of fs.readdirSync(target)) walk(path.join(target, name), visit);
}
