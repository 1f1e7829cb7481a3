import { type CronExpression, CronExpressionParser } from "cron-parser";
import type { WallClock } from "./wall-clock.js";

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

const fieldNames = ["minute", "hour", "day of month", "month", "day of week"] as const;

/** A cron expression that does not parse; `message` is a sentence for the caller that names the field. */
export class CronError extends Error {
  override readonly name = "CronError";
}

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
  /** The first instant after `date`, or null when there is none in the years the parser looks at. */
  next(date: Date): Date | null;
  /** The last instant at or before `date`, or null. */
  latest(date: Date): Date | null;
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
 * restricted, either one matches, as in POSIX cron.
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
  const fields = expression.split(/\s+/);
  if (fields.length !== fieldNames.length) {
    throw new CronError(
      `A cron expression has 5 fields (${fieldNames.join(", ")}); this one has ${text === "" ? 0 : fields.length}.`,
    );
  }
  assertFields(fields);
  return onClock(parseExpression(expression, fields), clock, change);
}

/** The parser sees wall times only, as if they were in UTC: its own time zones depend on where a search begins. */
function parseExpression(expression: string, [, , dayOfMonth, month]: readonly string[]): CronExpression {
  try {
    return CronExpressionParser.parse(expression, { tz: "UTC" });
  } catch (error) {
    if (isImpossibleDay(error)) {
      throw new CronError(
        `Field day of month (${dayOfMonth}) is not valid: no month of field month (${month}) has such a day.`,
      );
    }
    throw new CronError(
      `The cron expression is not valid: ${error instanceof Error ? error.message : "unknown"}.`,
    );
  }
}

function isImpossibleDay(error: unknown): boolean {
  return error instanceof Error && /explicit day of month/.test(error.message);
}

/** Walks the wall times on both sides of a clock change, because there their order is not that of their instants. */
function onClock(expression: CronExpression, clock: WallClock, { gap, fold }: ClockChange): Cron {
  const isEveryHour = expression.fields.hour.values.length === 24;
  const firingsOf = (wall: number): readonly number[] => {
    const { instants, isSkipped } = clock.showingsOf(wall);
    if (isSkipped) return isEveryHour || gap === "skip" ? [] : instants;
    return isEveryHour || fold === "both" ? instants : instants.slice(0, 1);
  };
  const step = (direction: "next" | "prev", wall: number): number | null => {
    expression.reset(new Date(wall));
    try {
      return expression[direction]().getTime();
    } catch {
      // The parser throws when it finds no date within its bounds.
      return null;
    }
  };
  const findNext = (instant: number): number => {
    let best = Number.POSITIVE_INFINITY;
    let wall = step("next", instant + clock.offsetsAround(instant).min);
    while (wall !== null) {
      best = Math.min(best, ...firingsOf(wall).filter((firing) => firing > instant));
      if (wall - clock.offsetsAround(wall).max >= best) break;
      wall = step("next", wall);
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
      let wall = step("prev", nextSecond(instant + clock.offsetsAround(instant).max));
      while (wall !== null) {
        best = Math.max(best, ...firingsOf(wall).filter((firing) => firing <= instant));
        if (wall - clock.offsetsAround(wall).min <= best) break;
        wall = step("prev", wall);
      }
      return toDate(best);
    },
  };
}

function nextSecond(time: number): number {
  return Math.floor(time / 1_000) * 1_000 + 1_000;
}

function toDate(instant: number): Date | null {
  return Number.isFinite(instant) ? new Date(instant) : null;
}

/** Parses each field alone beside stars, so that the message can say which one is wrong. */
function assertFields(fields: readonly string[]): void {
  for (const [index, field] of fields.entries()) {
    const name = fieldNames[index] ?? "";
    if (/h/i.test(field.replace(/thu|mar/gi, ""))) {
      throw new CronError(`Field ${name} (${field}): H is not supported because it has no fixed time.`);
    }
    const alone = fieldNames.map((_, position) => (position === index ? field : "*")).join(" ");
    try {
      CronExpressionParser.parse(alone);
    } catch (error) {
      if (!isImpossibleDay(error)) {
        throw new CronError(
          `Field ${name} (${field}): ${error instanceof Error ? error.message.replace(/\.+$/, "") : "not valid"}.`,
        );
      }
    }
  }
}
