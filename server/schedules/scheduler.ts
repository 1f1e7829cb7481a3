import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "pino";
import type { Sql } from "../db/client.js";
import { describeCause } from "../errors/describe-cause.js";
import type { RunService } from "../runs/service.js";
import type { ScheduleService } from "./service.js";
import { SCHEDULE_CHANNEL } from "./store.js";

/** Longest sleep between two looks, in milliseconds; covers a lost notification and a moved clock. */
const MAX_SLEEP_MS = 30_000;
/** Shortest sleep, in milliseconds: another process may hold the row that is due. */
const MIN_SLEEP_MS = 20;
/** Pause after a failure, in milliseconds. */
const RETRY_MS = 1_000;
/** How long stopping waits for what is being fired, in milliseconds; the end of the pool rolls the rest back. */
const STOP_MS = 5_000;
/** How long runs are held for what is due at once, each time and at most, in milliseconds. */
const HOLD_MS = 500;
const MAX_HOLD_MS = 2_000;
/** How many batches of due schedules one process fires at the same time. */
const CONCURRENCY = 2;

export interface SchedulerOptions {
  readonly schedules: ScheduleService;
  readonly runs: RunService;
  /** Pool whose connection listens for changed schedules and ended runs. */
  readonly sql: Sql;
  /** Keeps this process from starting runs for so many milliseconds; 0 ends it. */
  readonly holdRuns: (milliseconds: number) => void;
  readonly now: () => Date;
  readonly logger: Logger;
}

/** A running scheduler; `stop` waits for what it is firing. */
export interface Scheduler {
  stop(): Promise<void>;
}

/**
 * Starts the loop that fires due schedules: it sleeps until the next instant and wakes when a schedule changes or a
 * run ends that an instant waits for.
 */
export async function startScheduler(options: SchedulerOptions): Promise<Scheduler> {
  const { schedules, runs, sql, holdRuns, now, logger } = options;
  const controller = new AbortController();
  let wake = () => {};
  let isWoken = false;
  let awaited: ReadonlySet<string> = new Set();
  const endedInRound = new Set<string>();
  const wakeUp = () => {
    isWoken = true;
    wake();
  };
  // Both end with the pool: to unlisten on a connection that was just lost may never answer.
  await sql.listen(SCHEDULE_CHANNEL, wakeUp);
  await runs.listenForEnds(sql, (runId) => {
    endedInRound.add(runId);
    if (awaited.has(runId)) wakeUp();
  });

  const sleep = (milliseconds: number) =>
    new Promise<void>((resolve) => {
      if (isWoken || controller.signal.aborted) return resolve();
      const timer = setTimeout(resolve, milliseconds);
      wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });

  let behindSince: number | null = null;
  /** Instants come first: the runs that they start could take the machine from those that are still to come. */
  const holdRunsWhileBehind = () => {
    if (!schedules.firing.isBehind) {
      if (behindSince !== null) holdRuns(0);
      behindSince = null;
      return;
    }
    behindSince ??= performance.now();
    holdRuns(Math.max(0, Math.min(HOLD_MS, behindSince + MAX_HOLD_MS - performance.now())));
  };

  /** One lane fires until nothing is due. */
  const drain = async (): Promise<void> => {
    while (!controller.signal.aborted && (await schedules.firing.fire())) holdRunsWhileBehind();
    holdRunsWhileBehind();
  };

  const round = async (): Promise<number> => {
    const lanes = await Promise.allSettled(Array.from({ length: CONCURRENCY }, drain));
    for (const lane of lanes) if (lane.status === "rejected") throw lane.reason;
    endedInRound.clear();
    const { dueAt, awaitedRunIds } = await schedules.firing.outlook();
    awaited = new Set(awaitedRunIds);
    // One may have ended after the outlook saw it active.
    if (awaitedRunIds.some((runId) => endedInRound.has(runId))) wakeUp();
    return dueAt === null ? MAX_SLEEP_MS : dueAt.getTime() - now().getTime();
  };

  const loop = async (): Promise<void> => {
    while (!controller.signal.aborted) {
      isWoken = false;
      try {
        await sleep(Math.min(Math.max(await round(), MIN_SLEEP_MS), MAX_SLEEP_MS));
      } catch (error) {
        logger.error({ cause: describeCause(error) }, "Firing schedules failed; trying again.");
        await sleep(RETRY_MS);
      }
    }
  };

  const running = loop();
  return {
    async stop() {
      controller.abort();
      wake();
      await Promise.race([running, delay(STOP_MS, undefined, { ref: false })]);
    },
  };
}
