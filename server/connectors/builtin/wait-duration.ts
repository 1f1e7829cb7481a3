import { z } from "zod";
import { BlockError, type JsonObject, type WaitConnector } from "../define-connector.js";

const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
const WEEK_MS = 7 * DAY_MS;

/** Longest wait, in milliseconds: 365 days. */
const MAX_WAIT_MS = 365 * DAY_MS;

const unitMs = {
  ms: 1,
  millisecond: 1,
  milliseconds: 1,
  s: SECOND_MS,
  second: SECOND_MS,
  seconds: SECOND_MS,
  m: MINUTE_MS,
  minute: MINUTE_MS,
  minutes: MINUTE_MS,
  h: HOUR_MS,
  hour: HOUR_MS,
  hours: HOUR_MS,
  d: DAY_MS,
  day: DAY_MS,
  days: DAY_MS,
  w: WEEK_MS,
  week: WEEK_MS,
  weeks: WEEK_MS,
};
const units = Object.keys(unitMs) as (keyof typeof unitMs)[];

const Params = z.object({
  duration: z
    .number()
    .min(0)
    .meta({ title: "Duration", description: "How many units to wait; 1.5 is fine." }),
  unit: z.enum(units).meta({ title: "Unit", description: "m is minutes, ms is milliseconds." }),
});

/** Parks the run for a length of time, 365 days at most, without holding a worker. */
export const waitDuration: WaitConnector = {
  kind: "wait",
  type: "wait_duration",
  name: "Wait",
  description: "Waits for a length of time, one year at most. The wait survives restarts of the server.",
  category: "time",
  params: Params,
  outputs: z.object({ resumedAt: z.iso.datetime().describe("When the run went on, ISO 8601 in UTC.") }),
  examples: [{ title: "Wait two hours", params: { duration: 2, unit: "h" } }],
  checks: [{ of: ["duration", "unit"], refuse: toWaitMs }],
  waitMs: toWaitMs,
  resume: (now) => ({ resumedAt: now.toISOString() }),
};

function toWaitMs(params: JsonObject): number {
  const { duration, unit } = params as z.output<typeof Params>;
  const waitMs = Math.round(duration * unitMs[unit]);
  if (waitMs > MAX_WAIT_MS) {
    throw new BlockError(
      "wait_too_long",
      `duration: ${duration} ${unit} is longer than one year; wait 365 days at most.`,
    );
  }
  return waitMs;
}
