import type { WallClock } from "./wall-clock.js";
import { CronError, readFields, type WallTimes, wallTimesOf } from "./wall-times.js";

const MINUTE_MS = 60_000;
/** Later instants cannot be written with a year of four digits, so nothing comes after this one. */
export const LAST_INSTANT = Date.parse("9999-12-31T23:59:59.999Z");

/** Macros and the five fields they stand for. */
const macros: Readonly<Record<string, string>> = {
  "@yearly": "0 0 1 1 *",
  "@annually": "0 0 1 1 *",
  "@monthly": "0 0 1 * *",
  "@weekly": "0 0 * * 0",
  "@daily": "0 0 * * *",
  "@midnight": "0 0 * * *",
  "@hourly": "0 * * * *",
  "@weekdays": "0 0 * * 1-5",
  "@weekends": "0 0 * * 0,6",
};

/**
 * What a clock change does to a fixed time of day. `gap`: a time that the clock jumps over comes as much later as the
 * clock jumps (`next`) or not at all on that day (`skip`). `fold`: a time that the clock shows twice comes at its first
 * showing (`first`) or at each (`both`). An expression for every hour has no fixed times: it follows the clock, which
 * means nothing for skipped times and repeated ones twice, whatever is said here.
 */
export interface ClockChange {
  readonly gap: "skip" | "next";
  readonly fold: "first" | "both";
}

/** A cron expression on a clock; instants are whole minutes and do not depend on where the search for them began. */
export interface Cron {
  /** The first instant after `date`, or null when there is none up to the year 9999 in the years that are searched. */
  next(date: Date): Date | null;
  /** The last instant at or before `date`, or null. */
  latest(date: Date): Date | null;
  /** Whether `latest` of the date is the date itself, found without a search. */
  matches(date: Date): boolean;
}

/** Whether the runtime knows this IANA time zone. */
export function isTimezone(timezone: string): boolean {
  try {
    new Intl.DateTimeFormat("en", { timeZone: timezone });
    return true;
  } catch {
    return false;
  }
}

/**
 * Parses five fields (names, ranges, steps, lists, `L`, `#`) or a macro. When day of month and day of week are both
 * restricted, either one matches; one that begins with a star, even with a step, restricts the other, as in cron.
 * @throws CronError
 */
export function parseCron(
  cron: string,
  clock: WallClock,
  change: ClockChange = { gap: "next", fold: "first" },
): Cron {
  const text = cron.trim();
  const expression = text.startsWith("@") ? macros[text.toLowerCase()] : text;
  if (expression === undefined) {
    throw new CronError(`Unknown macro ${text}; known are ${Object.keys(macros).join(", ")}.`);
  }
  return onClock(wallTimesOf(readFields(expression)), clock, change);
}

/** Walks the wall times on both sides of a clock change, because there their order is not that of their instants. */
function onClock(times: WallTimes, clock: WallClock, { gap, fold }: ClockChange): Cron {
  const { isEveryHour } = times;
  const firingsOf = (wall: number): readonly number[] => {
    const { instants, isSkipped } = clock.showingsOf(wall);
    if (isSkipped) return isEveryHour || gap === "skip" ? [] : instants;
    return isEveryHour || fold === "both" ? instants : instants.slice(0, 1);
  };
  const findNext = (instant: number): number => {
    let best = Number.POSITIVE_INFINITY;
    let wall = times.step("next", instant + clock.offsetsAround(instant).min);
    while (wall !== null) {
      best = Math.min(best, ...firingsOf(wall).filter((firing) => firing > instant));
      if (wall - clock.offsetsAround(wall).max >= best) break;
      wall = times.step("next", wall);
    }
    return best;
  };
  // Schedules of one expression are often due at the same instant and ask the same.
  let newest = { after: Number.NaN, next: Number.NaN };
  return {
    next(date) {
      const after = date.getTime();
      if (newest.after !== after) newest = { after, next: findNext(after) };
      return toDate(newest.next);
    },
    latest(date) {
      const instant = date.getTime();
      let best = Number.NEGATIVE_INFINITY;
      let wall = times.step("prev", instant + clock.offsetsAround(instant).max + 1);
      while (wall !== null) {
        best = Math.max(best, ...firingsOf(wall).filter((firing) => firing <= instant));
        if (wall - clock.offsetsAround(wall).min <= best) break;
        wall = times.step("prev", wall);
      }
      return toDate(best);
    },
    matches(date) {
      const instant = date.getTime();
      if (instant % MINUTE_MS !== 0) return false;
      const { min, max } = clock.offsetsAround(instant);
      return [...new Set([instant + min, instant + max])].some(
        (wall) => times.includes(wall) && firingsOf(wall).includes(instant),
      );
    },
  };
}

function toDate(instant: number): Date | null {
  return Number.isFinite(instant) && instant <= LAST_INSTANT ? new Date(instant) : null;
}
