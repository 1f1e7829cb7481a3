import { setTimeout as delay } from "node:timers/promises";
import { isConnectionLoss } from "../../errors/error-body.js";

const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 1_000;

/**
 * Runs `work` again while the database cannot be reached, with pauses from 50 ms to 1 s, until `isOver` says that
 * nobody needs the result any more; every other error is thrown at once.
 */
export async function retryConnectionLoss<T>(work: () => Promise<T>, isOver: () => boolean): Promise<T> {
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
    try {
      return await work();
    } catch (error) {
      if (!isConnectionLoss(error) || isOver()) throw error;
    }
    await delay(pauseMs);
  }
}
