import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import path from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import postgres from "postgres";
import type { OwnerReport } from "./embedded-owner.js";

/** The program that `spawnOwner` runs. */
export const ownerScript = path.resolve("tests/support/embedded-owner.ts");

/** A process that owns an embedded PostgreSQL, or was refused one. */
export interface Owner {
  readonly process: ChildProcess;
  readonly report: OwnerReport;
}

/** Starts a process that wants to own the folder, and waits for its report. */
export async function spawnOwner(folder: string, user: { uid?: number; gid?: number } = {}): Promise<Owner> {
  const child = spawn(process.execPath, ["--import", "tsx", ownerScript, folder], {
    ...user,
    stdio: ["pipe", "pipe", "inherit"],
  });
  const [line] = await once(createInterface({ input: child.stdout }), "line");
  return { process: child, report: JSON.parse(line) };
}

/** Has the process stop its PostgreSQL and end; nothing happens to one that has ended. */
export async function endOwner({ process: child }: Owner): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  child.stdin?.end();
  await ended;
}

/** Ends the process without letting it do anything more. */
export async function killOwner({ process: child }: Owner): Promise<void> {
  const ended = once(child, "exit");
  child.kill("SIGKILL");
  await ended;
}

/**
 * Kills the guard of the owner's PostgreSQL, and before it the part of it that waits for the owner's end: the owner
 * closes the guard's input as soon as it hears of its death, which that part would take for its own end. Linux only.
 */
export async function killGuard(owner: Owner): Promise<void> {
  const [row] = await query<{ guard: string }>(
    urlOf(owner),
    "select current_setting('cluster_name') as guard",
  );
  const guard = Number(row?.guard.replace("guard ", ""));
  const children = fs
    .readFileSync(`/proc/${guard}/task/${guard}/children`, "utf8")
    .trim()
    .split(" ")
    .map(Number);
  for (const pid of [...children.filter((child) => child !== pidOf(owner)), guard]) {
    process.kill(pid, "SIGKILL");
  }
}

/** Address of the PostgreSQL of an owner that was not refused. */
export function urlOf(owner: Owner): string {
  return served(owner).url;
}

/** Process id of the PostgreSQL of an owner that was not refused. */
export function pidOf(owner: Owner): number {
  return served(owner).pid;
}

function served({ report }: Owner): { url: string; pid: number } {
  if ("code" in report) throw new Error(report.message);
  return report;
}

/** Runs one text of statements on a connection of its own and returns the rows. */
export async function query<Row extends postgres.Row>(url: string, text: string): Promise<Row[]> {
  const sql = postgres(url, { max: 1, fetch_types: false, onnotice: () => {} });
  try {
    return await sql.unsafe<Row[]>(text);
  } finally {
    await sql.end({ timeout: 1 });
  }
}

/** Waits until the condition is met; the test's own timeout is the limit. */
export async function until(isMet: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await isMet())) await sleep(20);
}
