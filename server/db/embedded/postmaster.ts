import { type ChildProcess, spawnSync } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import net from "node:net";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { programPath } from "./binaries.js";
import { EmbeddedPgError } from "./embedded-pg-error.js";
import type { Home } from "./home.js";
import { isServerOf } from "./process-state.js";
import { spawnProgram } from "./program.js";
import { giveTo } from "./run-as.js";

/** A PostgreSQL server that has said it is ready. */
export interface Postmaster {
  readonly pid: number;
  readonly port: number;
  /** The shell that stops it when this process ends; null for a server that was found running. */
  readonly guard: ChildProcess | null;
}

export interface PostmasterOptions {
  /** Server settings beside or instead of the usual ones. */
  readonly settings: Readonly<Record<string, string>>;
  /** Instant after which to give up, in milliseconds since the epoch. */
  readonly deadline: number;
  readonly log: (message: string) => void;
}

const POLL_MS = 100;
const READY_POLL_MS = 10;
const FAST_STOP_MS = 20_000;
const IMMEDIATE_STOP_MS = 5_000;
const MAX_LOG_BYTES = 10 * 1024 * 1024;
const isWindows = process.platform === "win32";

/**
 * Runs the server in the foreground and stops it once standard input ends, which it does however this process dies.
 * It ignores the signals of a terminal and tells its own process id through the server's `cluster_name`.
 */
const GUARD_SCRIPT = `
program=$1; shift
trap "" INT TERM HUP
exec 4<&0
"$program" "$@" -c "cluster_name=guard $$" </dev/null 4<&- &
server=$!
(read -r line <&4; kill -INT $server) 2>/dev/null &
reader=$!
exec 4<&-
wait $server
code=$?
kill -9 $reader 2>/dev/null
exit $code`;

/** Ends of a start that pass by themselves: a server that is still ending, or a port that was just taken. */
const passingFailure = /lock file|shared memory block|in use|could not bind|could not create any TCP/i;

const usualSettings = {
  listen_addresses: "127.0.0.1",
  unix_socket_directories: "",
  max_connections: "200",
  max_parallel_workers_per_gather: "0",
  jit: "off",
  timezone: "UTC",
  log_timezone: "UTC",
  log_checkpoints: "off",
};

/**
 * Returns the server of the home's cluster: the one that is running, once it is ready, else a new one.
 * @throws EmbeddedPgError `FAILED`
 */
export async function runPostmaster(home: Home, options: PostmasterOptions): Promise<Postmaster> {
  for (let isFirst = true; ; isFirst = false) {
    const found = readPidFile(home.cluster);
    const isRunning = found !== null && isServerOf(found.pid, home.cluster);
    if (isRunning && found.isReady) return { pid: found.pid, port: found.port, guard: null };
    if (!isRunning) {
      const started = await startPostmaster(home, found?.pid ?? null, options);
      if (started !== null) return started;
    } else if (isFirst) {
      options.log(`Waiting for the PostgreSQL that is starting or stopping in ${home.cluster}.`);
    }
    refuseWhenLate(home, options.deadline);
    await sleep(POLL_MS);
  }
}

/** Returns null when another try may succeed. */
async function startPostmaster(
  home: Home,
  stalePid: number | null,
  options: PostmasterOptions,
): Promise<Postmaster | null> {
  const port = await findFreePort();
  const settings = Object.entries({ ...usualSettings, port: String(port), ...options.settings });
  const log = openLog(home);
  const guard = spawnServer(home, settings, stalePid, log.descriptor);
  fs.closeSync(log.descriptor);
  guard.stdin?.on("error", () => {});
  const outcome: { ending: string | null } = { ending: null };
  guard.on("error", (error) => {
    outcome.ending = error.message;
  });
  guard.on("exit", (code, signal) => {
    if (!isWindows || code !== 0) outcome.ending ??= `ended with ${code ?? signal}`;
  });
  while (outcome.ending === null) {
    const present = readPidFile(home.cluster);
    if (present?.isReady && present.port === port) return { pid: present.pid, port, guard };
    if (Date.now() > options.deadline) guard.stdin?.end();
    refuseWhenLate(home, options.deadline);
    await sleep(READY_POLL_MS);
  }
  const reason = readLog(home, log.start) || outcome.ending;
  if (passingFailure.test(reason)) return null;
  throw new EmbeddedPgError("FAILED", `PostgreSQL did not start in ${home.cluster}: ${reason}`);
}

/**
 * PostgreSQL refuses to start while its process id file names a running process, whatever that is. The variable is
 * the one its own `pg_ctl` uses to have a single id ignored; the check of shared memory stays, which deleting the
 * file would lose.
 */
function spawnServer(
  home: Home,
  settings: readonly (readonly [string, string])[],
  stalePid: number | null,
  output: number,
): ChildProcess {
  const environment = stalePid === null ? {} : { PG_GRANDPARENT_PID: String(stalePid) };
  const options = settings.flatMap(([name, value]) => ["-c", `${name}=${value}`]);
  const common = { folder: home.cluster, output, environment };
  if (isWindows) {
    // pg_ctl drops the rights of an administrator, which the server refuses to have, and detaches it.
    const command = programPath(home.binaries, "pg_ctl");
    return spawnProgram(home, {
      ...common,
      command,
      args: (folder) => ["start", "-W", "-D", folder, "-o", options.map((option) => `"${option}"`).join(" ")],
      isGuarded: false,
    });
  }
  const server = programPath(home.binaries, "postgres");
  return spawnProgram(home, {
    ...common,
    command: "/bin/sh",
    args: (folder) => ["-c", GUARD_SCRIPT, "flowkeep-postgres", server, "-D", folder, ...options],
    isGuarded: true,
  });
}

/** Rolls open transactions back, writes a checkpoint and ends the server; resolves when it has ended. */
export async function stopPostmaster(home: Home, { pid, guard }: Postmaster): Promise<void> {
  if (isWindows) {
    const args = ["stop", "-D", home.cluster, "-m", "fast", "-w", "-t", String(FAST_STOP_MS / 1_000)];
    spawnSync(programPath(home.binaries, "pg_ctl"), args, { windowsHide: true });
    return;
  }
  guard?.stdin?.end();
  signal(home, pid, "SIGINT");
  if (!(await hasEnded(home, pid, FAST_STOP_MS))) {
    signal(home, pid, "SIGQUIT");
    await hasEnded(home, pid, IMMEDIATE_STOP_MS);
  }
  if (guard !== null && guard.exitCode === null && guard.signalCode === null) await once(guard, "exit");
}

async function hasEnded(home: Home, pid: number, patienceMs: number): Promise<boolean> {
  for (const deadline = Date.now() + patienceMs; isServerOf(pid, home.cluster); await sleep(READY_POLL_MS)) {
    if (Date.now() > deadline) return false;
  }
  return true;
}

/** A server that is gone, or that only its guard may signal, needs no signal. */
function signal(home: Home, pid: number, name: NodeJS.Signals): void {
  try {
    if (isServerOf(pid, home.cluster)) process.kill(pid, name);
  } catch {
    return;
  }
}

/** @throws EmbeddedPgError `FAILED` after the deadline, with what PostgreSQL wrote last. */
export function refuseWhenLate(home: Home, deadline: number): void {
  if (Date.now() <= deadline) return;
  throw new EmbeddedPgError(
    "FAILED",
    `PostgreSQL does not become ready in ${home.cluster}: ${readLog(home, 0)}`,
  );
}

/** First, fourth and eighth line of the file are process id, port and state. */
function readPidFile(cluster: string): { pid: number; port: number; isReady: boolean } | null {
  try {
    const lines = fs.readFileSync(path.join(cluster, "postmaster.pid"), "utf8").split("\n");
    const pid = Number.parseInt(lines[0] ?? "", 10);
    const port = Number.parseInt(lines[3] ?? "", 10);
    return Number.isNaN(pid) ? null : { pid, port, isReady: lines[7]?.trim() === "ready" };
  } catch {
    return null;
  }
}

/** Opened for appending, because two servers may write while they race; emptied once it has grown large. */
function openLog(home: Home): { descriptor: number; start: number } {
  const descriptor = fs.openSync(home.logFile, "a", 0o600);
  giveTo(home.runAs, home.logFile);
  if (fs.fstatSync(descriptor).size > MAX_LOG_BYTES) fs.ftruncateSync(descriptor);
  return { descriptor, start: fs.fstatSync(descriptor).size };
}

/** The end of what PostgreSQL wrote from byte `start` on. */
export function readLog(home: Home, start: number): string {
  try {
    return fs.readFileSync(home.logFile).subarray(start).toString("utf8").slice(-1_500).trim();
  } catch {
    return "";
  }
}

async function findFreePort(): Promise<number> {
  const probe = net.createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const address = probe.address();
  probe.close();
  await once(probe, "close");
  if (address === null || typeof address === "string") throw new Error("The system gave no TCP port.");
  return address.port;
}
