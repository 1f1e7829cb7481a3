import { spawnSync } from "node:child_process";
import fs from "node:fs";

/** Whether a process with this id runs; one that has ended and waits for its parent does not. */
export function isProcessAlive(pid: number): boolean {
  return processName(pid) !== null;
}

/**
 * Whether the process is the PostgreSQL server of this cluster, and not one that was given its id later. The server
 * works inside its cluster, which Linux shows; elsewhere, or where that may not be read, its name decides.
 */
export function isServerOf(pid: number, cluster: string): boolean {
  if (!/postgres/i.test(processName(pid) ?? "")) return false;
  if (process.platform !== "linux") return true;
  try {
    return fs.readlinkSync(`/proc/${pid}/cwd`) === fs.realpathSync(cluster);
  } catch {
    return true;
  }
}

/** Name of a running process, or null. macOS and Windows have not been run. */
function processName(pid: number): string | null {
  switch (process.platform) {
    case "linux":
      return linuxProcessName(pid);
    case "win32":
      return /^(\S.*?)\s+\d+\s/m.exec(output("tasklist", ["/FI", `PID eq ${pid}`, "/NH"]))?.[1] ?? null;
    default:
      return (
        /^\s*[^Z\s]\S*\s+(.+)$/m.exec(output("ps", ["-p", String(pid), "-o", "stat=,comm="]))?.[1] ?? null
      );
  }
}

/** The name is in parentheses and may hold any character; the state letter follows it. */
function linuxProcessName(pid: number): string | null {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, "utf8");
    const end = stat.lastIndexOf(")");
    return "ZX".includes(stat.charAt(end + 2)) ? null : stat.slice(stat.indexOf("(") + 1, end);
  } catch {
    return null;
  }
}

function output(command: string, args: readonly string[]): string {
  return spawnSync(command, args, { encoding: "utf8", windowsHide: true }).stdout ?? "";
}
