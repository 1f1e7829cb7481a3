import type { Logger } from "pino";
import type { Sql } from "../db/client.js";

const SWEEP_INTERVAL_MS = 10_000;
/** How far back a sweep looks: after a start longer, for what happened while nobody swept. */
const WINDOW = "10 minutes";
const FIRST_WINDOW = "1 day";

/** A running sweeper; `stop` waits for the sweep that runs. */
export interface Sweeper {
  stop(): Promise<void>;
}

/**
 * Wakes runs that are parked although what they wait for has happened: openworkflow loses a wake-up when a signal
 * races with parking or a process dies between a child's end and its parent's wake-up. Sweeps every 10 s.
 */
export function startSweeper(sql: Sql, logger: Logger): Sweeper {
  let window = FIRST_WINDOW;
  let running: Promise<void> = Promise.resolve();
  const sweep = async () => {
    try {
      const woken = await wakeOverlookedRuns(sql, window);
      window = WINDOW;
      if (woken > 0) logger.info({ runs: woken }, "Runs whose wake-up was lost were woken.");
    } catch (error) {
      window = FIRST_WINDOW;
      logger.warn({ err: error }, "Sweeping for lost wake-ups failed; it is tried again.");
    }
  };
  const timer = setInterval(() => {
    running = running.then(sweep);
  }, SWEEP_INTERVAL_MS);
  return {
    async stop() {
      clearInterval(timer);
      await running;
    },
  };
}

/**
 * Makes every parked run due whose child has ended or whose signal has arrived within `window`; returns how many.
 * It starts from what happened lately, so its cost does not grow with the number of parked runs.
 */
export async function wakeOverlookedRuns(sql: Sql, window: string): Promise<number> {
  const { count } = await sql`
    with overlooked as (
      select attempt.namespace_id, attempt.workflow_run_id
      from openworkflow.workflow_runs child
      join openworkflow.step_attempts attempt
        on attempt.namespace_id = child.parent_step_attempt_namespace_id
        and attempt.id = child.parent_step_attempt_id
        and attempt.kind = 'workflow' and attempt.status = 'running'
      where child.status in ('completed', 'failed', 'canceled')
        and child.finished_at > now() - ${window}::interval and child.parent_step_attempt_id is not null
      union
      select attempt.namespace_id, attempt.workflow_run_id
      from openworkflow.workflow_signals signal
      join openworkflow.step_attempts attempt
        on attempt.namespace_id = signal.namespace_id and attempt.id = signal.step_attempt_id
        and attempt.kind = 'signal-wait' and attempt.status = 'running'
      where signal.created_at > now() - ${window}::interval
    )
    update openworkflow.workflow_runs run set available_at = now(), updated_at = now()
    from overlooked
    where run.namespace_id = overlooked.namespace_id and run.id = overlooked.workflow_run_id
      and run.status = 'running' and run.worker_id is null and run.available_at > now()`;
  return count;
}
