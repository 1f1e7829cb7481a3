import type { Logger } from "pino";
import type { Sql } from "../../db/client.js";
import { deleteOldWakes, nudgeOverlooked } from "../database/wakes.js";
import { coalesceWork } from "./coalesced-work.js";

const SWEEP_INTERVAL_MS = 10_000;
/** How far back a sweep looks: after a start to the oldest wake that is kept, for what happened while nobody swept. */
const WINDOW = "10 minutes";
const FIRST_WINDOW = "1000 years";

/** A running sweeper; `stop` waits for the sweep that runs. */
export interface Sweeper {
  /** Sweeps now, over the longer window. */
  sweep(): void;
  stop(): Promise<void>;
}

/**
 * Wakes runs that are parked although one of their waits was woken while no worker listened, and deletes the wakes of
 * ended runs. Sweeps every 10 s.
 */
export function startSweeper(sql: Sql, logger: Logger): Sweeper {
  let window = FIRST_WINDOW;
  const sweeps = coalesceWork(async () => {
    const past = window;
    window = WINDOW;
    try {
      const woken = await nudgeOverlooked(sql, past);
      await deleteOldWakes(sql);
      if (woken > 0) logger.info({ runs: woken }, "Runs whose wake-up was lost were woken.");
    } catch (error) {
      window = FIRST_WINDOW;
      logger.warn({ err: error }, "Sweeping for lost wake-ups failed; it is tried again.");
    }
  });
  const timer = setInterval(() => sweeps.request(), SWEEP_INTERVAL_MS);
  return {
    sweep() {
      window = FIRST_WINDOW;
      sweeps.request();
    },
    async stop() {
      clearInterval(timer);
      await sweeps.settle();
    },
  };
}
