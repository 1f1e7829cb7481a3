import { endOf, startProcess } from "../../processes/start-process.js";
import type { PostgresFailure, PostgresOrder, PostgresReport, PostgresResult } from "./postgres-process.js";
import type { PostgresJob, PostgresPhase } from "./postgres-session.js";

/** What the process of an attempt may use; one that needs more ends. */
export const MAX_HEAP_MB = 64;
/** How long a database is given to see that its statement is canceled, in milliseconds. */
const CANCEL_MS = 2_000;

/** How far an attempt came. */
export type AttemptPhase = "start" | PostgresPhase;

/** Why an attempt gave nothing; where its process did not say why, the signal that ended it, if one did. */
export type AttemptFailure = PostgresFailure | { readonly death: NodeJS.Signals | null };

/** How an attempt ended. */
export interface QueryAttempt {
  readonly phase: AttemptPhase;
  readonly result: PostgresResult | AttemptFailure;
}

/** Does the job in a process of its own and resolves, never rejects, once that is gone. */
export async function attemptQuery(job: PostgresJob, signal: AbortSignal): Promise<QueryAttempt> {
  const child = startProcess(new URL("./postgres-process", import.meta.url), MAX_HEAP_MB);
  const end = endOf(child);
  let phase: AttemptPhase = "start";
  const results: PostgresResult[] = [];
  child.on("message", (report: PostgresReport) => {
    if ("phase" in report) phase = report.phase;
    else {
      results.push(report);
      child.kill("SIGKILL");
    }
  });
  // A process that has ended takes no order; how it ended is heard.
  const order = (message: PostgresOrder) => child.send(message, () => undefined);
  let timer: NodeJS.Timeout | undefined;
  const cancel = () => {
    order("cancel");
    timer = setTimeout(() => child.kill("SIGKILL"), CANCEL_MS);
  };
  order(job);
  if (signal.aborted) cancel();
  signal.addEventListener("abort", cancel, { once: true });
  const death = await end;
  signal.removeEventListener("abort", cancel);
  clearTimeout(timer);
  return { phase, result: results[0] ?? { death } };
}
