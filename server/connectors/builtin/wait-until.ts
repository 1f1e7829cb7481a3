import { z } from "zod";
import { isTimezone } from "../../schedules/cron.js";
import { wallClockOf } from "../../schedules/wall-clock.js";
import { BlockError, type WaitConnector } from "../define-connector.js";

/** Longest wait, in milliseconds: 365 days. */
const MAX_WAIT_MS = 365 * 86_400_000;

const instant = z.union([z.iso.datetime({ offset: true }), z.iso.datetime({ offset: true, precision: -1 })]);
const wallTime = z.union([z.iso.datetime({ local: true }), z.iso.date()]);

const isInstant = (text: string) => instant.safeParse(text).success;
const isWallTime = (text: string) => !isInstant(text) && wallTime.safeParse(text).success;

const Params = z
  .object({
    at: z
      .string()
      .refine((text) => isInstant(text) || isWallTime(text), {
        error:
          "must be an instant such as 2026-12-24T18:00:00Z, or with timezone a local time such as 2026-12-24T18:00",
      })
      .meta({
        title: "At",
        description:
          "An instant with an offset (2026-12-24T18:00:00Z), or a local time (2026-12-24T18:00, 2026-12-24) on the clock of timezone. A past one does not wait.",
      }),
    timezone: z
      .string()
      .max(100)
      .refine(isTimezone, "is not an IANA time zone, such as Europe/Berlin")
      .optional()
      .meta({
        title: "Time zone",
        description:
          "IANA time zone of a local time. A time that its clock skips comes as much later as the clock jumps; of one that it shows twice the first counts.",
      }),
  })
  .superRefine(({ at, timezone }, context) => {
    const message =
      timezone === undefined
        ? isWallTime(at) && "is required because at is a local time"
        : isInstant(at) && "must be left out because at has an offset";
    if (message !== false) context.addIssue({ code: "custom", path: ["timezone"], message });
  });

/** Parks the run until an instant, 365 days ahead at most, without holding a worker. */
export const waitUntil: WaitConnector = {
  kind: "wait",
  type: "wait_until",
  name: "Wait until",
  description:
    "Waits until an instant or a local time in a time zone, one year ahead at most. A past one does not wait.",
  category: "time",
  params: Params,
  outputs: z.object({ resumedAt: z.iso.datetime().describe("When the run went on, ISO 8601 in UTC.") }),
  examples: [
    {
      title: "Wait until Christmas Eve in Berlin",
      params: { at: "2026-12-24T18:00", timezone: "Europe/Berlin" },
    },
  ],
  waitMs: (params, now) => {
    const { at, timezone } = params as z.output<typeof Params>;
    const waitMs = instantOf(at, timezone) - now.getTime();
    if (waitMs > MAX_WAIT_MS) {
      throw new BlockError("wait_too_long", `at: ${at} is more than a year ahead; wait 365 days at most.`);
    }
    return Math.max(0, waitMs);
  },
  resume: (now) => ({ resumedAt: now.toISOString() }),
};

function instantOf(at: string, timezone: string | undefined): number {
  if (timezone === undefined) return Date.parse(at);
  const { instants } = wallClockOf(timezone).showingsOf(Date.parse(at.includes("T") ? `${at}Z` : at));
  const [first] = instants;
  if (first === undefined) throw new Error(`The clock of ${timezone} never shows ${at}.`);
  return first;
}
