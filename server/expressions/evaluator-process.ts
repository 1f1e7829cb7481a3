import { Worker } from "node:worker_threads";
import { type Evaluation, evaluateExpression } from "./evaluate-expression.js";

/** What the process says to the one that started it. */
export type EvaluatorMessage = "ready" | Awaited<ReturnType<typeof evaluateExpression>>;

const say = (message: EvaluatorMessage) => process.send?.(message);

// A regular expression that never ends cannot notice that nobody waits for it any more; another thread can.
const watch = `setInterval(() => process.ppid === ${process.ppid} || process.kill(process.pid, "SIGKILL"), 1000)`;
new Worker(watch, { eval: true, execArgv: [] }).unref();

process.on("disconnect", () => process.exit());
// Ctrl+C reaches the whole group; the server drains first and ends this process itself.
process.on("SIGINT", () => undefined);
process.on("SIGTERM", () => undefined);
process.on("message", async (evaluation: Evaluation) => say(await evaluateExpression(evaluation)));
say("ready");
