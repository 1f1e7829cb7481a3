import { AppError } from "../errors/app-error.js";
import type { Run, RunReader } from "../runs/run-reader.js";

/** How a run ended. */
export type EndedRun = Pick<Run, "state" | "output" | "error">;

/**
 * The run when it ends within `waitMs`, else null, also when `signal` aborts or the server stops first. It is read
 * when it has changed; nothing is left behind in any case.
 */
export async function awaitRun(
  runs: Pick<RunReader, "get" | "stream">,
  run: { readonly organizationId: string; readonly runId: string },
  { waitMs, signal }: { readonly waitMs: number; readonly signal: AbortSignal },
): Promise<EndedRun | null> {
  const tooLate = new AbortController();
  const timer = setTimeout(() => tooLate.abort(), waitMs);
  const over = AbortSignal.any([signal, tooLate.signal]);
  try {
    let hasEnded = false;
    for await (const { event } of await runs.stream(run, run, over)) hasEnded ||= event.type === "end";
    return hasEnded ? await runs.get(run, run.runId) : null;
  } catch (error) {
    if (error instanceof AppError && error.errorCode === "unavailable") return null;
    throw error;
  } finally {
    clearTimeout(timer);
  }
}
