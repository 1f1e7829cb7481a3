import { Worker } from "node:worker_threads";

/** Ends this process soon after the one that started it, whatever it is doing, and not by Ctrl+C before that. */
export function liveWithParent(): void {
  // A computation that never ends cannot notice that nobody waits for it any more; another thread can.
  const watch = `setInterval(() => process.ppid === ${process.ppid} || process.kill(process.pid, "SIGKILL"), 1000)`;
  new Worker(watch, { eval: true, execArgv: [] }).unref();

  process.on("disconnect", () => process.exit());
  // Ctrl+C reaches the whole group; the server drains first and ends this process itself.
  process.on("SIGINT", () => undefined);
  process.on("SIGTERM", () => undefined);
}
