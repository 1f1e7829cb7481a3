import { type CronExpression, CronExpressionParser } from "cron-parser";
import { CronError, type CronFields, isImpossibleDay } from "./cron-fields.js";

const DAY_MS = 86_400_000;
/**
 * Days that are looked at for one on which day of month and day of week both match. The rarest of them, 29 February on
 * a given day of the week, comes within 40 years, which have 1,130 days in February.
 */
const MAX_DAYS = 1_500;

/** The wall times of a cron expression, whatever clock shows them. */
export interface WallTimes {
  readonly isEveryHour: boolean;
  /** The first one after a time, or the last one before it; null when there is none in the years that are searched. */
  step(direction: "next" | "prev", wall: number): number | null;
  /** Whether it has the second of this time. */
  includes(wall: number): boolean;
}

/** Reads fields that are each valid by themselves. @throws CronError */
export function wallTimesOf(fields: CronFields): WallTimes {
  const expression = parse(fields);
  return mustBothMatch(fields) ? onBothDays(fields) : toWallTimes(expression);
}

/** As in cron, a day field that begins with a star does not stand in for the other one, even with a step. */
function mustBothMatch([, , dayOfMonth, , dayOfWeek]: CronFields): boolean {
  const days = [dayOfMonth, dayOfWeek];
  return days.every((field) => !/^[*?]$/.test(field)) && days.some((field) => /^[*?]/.test(field));
}

function onBothDays([minute, hour, dayOfMonth, month, dayOfWeek]: CronFields): WallTimes {
  const times = toWallTimes(parse([minute, hour, "*", month, "*"]));
  const days = [parse(["*", "*", dayOfMonth, "*", "*"]), parse(["*", "*", "*", "*", dayOfWeek])];
  const isDay = (wall: number) => {
    const day = new Date(startOfDay(wall));
    return days.every((expression) => expression.includesDate(day));
  };
  return {
    isEveryHour: times.isEveryHour,
    step(direction, from) {
      let wall = times.step(direction, from);
      for (let looked = 0; wall !== null && looked < MAX_DAYS; looked += 1) {
        if (isDay(wall)) return wall;
        const day = startOfDay(wall);
        wall = times.step(direction, direction === "next" ? day + DAY_MS - 1_000 : day);
      }
      return null;
    },
    includes: (wall) => times.includes(wall) && isDay(wall),
  };
}

function toWallTimes(expression: CronExpression): WallTimes {
  const { hour, minute } = expression.fields;
  const minutes = new Set<number>(minute.values);
  return {
    isEveryHour: hour.values.length === 24,
    step(direction, wall) {
      expression.reset(new Date(wall));
      try {
        return expression[direction]().getTime();
      } catch {
        // The parser throws when it finds no date within its bounds.
        return null;
      }
    },
    includes(wall) {
      const date = new Date(wall);
      return minutes.has(date.getUTCMinutes()) && expression.includesDate(date);
    },
  };
}

function startOfDay(wall: number): number {
  return Math.floor(wall / DAY_MS) * DAY_MS;
}

/** The parser sees wall times only, as if they were in UTC: its own time zones depend on where a search begins. */
function parse(fields: CronFields): CronExpression {
  try {
    return CronExpressionParser.parse(fields.join(" "), { tz: "UTC" });
  } catch (error) {
    if (!isImpossibleDay(error)) throw error;
    const [, , dayOfMonth, month] = fields;
    throw new CronError(
      `Field day of month (${dayOfMonth}) is not valid: no month of field month (${month}) has such a day.`,
    );
  }
}
