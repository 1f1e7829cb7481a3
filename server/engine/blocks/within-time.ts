import { BlockError } from "../../connectors/define-connector.js";

/** Why a block failed that took longer than its `timeoutMs`. */
export function timedOut(timeoutMs: number): BlockError {
  const message = `The block did not finish within ${timeoutMs} ms; raise its timeoutMs or do less in it.`;
  return new BlockError("timeout", message, { isRetryable: true });
}

/** Runs `work` under a signal of its own and stops waiting for it when its time is up or the outer signal aborts. */
export async function withinTime<T>(
  timeoutMs: number,
  outer: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  outer.throwIfAborted();
  const controller = new AbortController();
  const abort = () => controller.abort(outer.reason);
  const timer = setTimeout(() => {
    controller.abort(timedOut(timeoutMs));
  }, timeoutMs);
  outer.addEventListener("abort", abort, { once: true });
  const aborted = new Promise<never>((_resolve, reject) => {
    controller.signal.addEventListener("abort", () => reject(controller.signal.reason), { once: true });
  });
  try {
    return await Promise.race([work(controller.signal), aborted]);
  } catch (error) {
    // A connector that sees the signal fails with an error of its own; the cause is the timeout or the cancel.
    throw controller.signal.aborted ? controller.signal.reason : error;
  } finally {
    clearTimeout(timer);
    outer.removeEventListener("abort", abort);
  }
}
