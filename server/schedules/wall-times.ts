import { type CronExpression, CronExpressionParser } from "cron-parser";

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

/** The five fields with the values they take; the days of a week are seven, although Sunday is 0 and 7. */
const fieldRules = [
  { name: "minute", values: "0 to 59", size: 60 },
  { name: "hour", values: "0 to 23", size: 24 },
  { name: "day of month", values: "1 to 31 or L", size: 31 },
  { name: "month", values: "1 to 12 or JAN to DEC", size: 12 },
  { name: "day of week", values: "0 to 7 or SUN to SAT", size: 7 },
] as const;

/** The fields of an expression as they are written, in the order of cron. */
export type CronFields = readonly [
  minute: string,
  hour: string,
  dayOfMonth: string,
  month: string,
  dayOfWeek: string,
];

/** A cron expression that does not parse; `message` is a sentence for the caller that names the field. */
export class CronError extends Error {
  override readonly name = "CronError";
}

/** Splits an expression into its five fields, each of which is valid by itself. @throws CronError */
export function readFields(expression: string): CronFields {
  const fields = expression.split(/\s+/).filter((field) => field !== "");
  if (!isFive(fields)) {
    const names = fieldRules.map(({ name }) => name).join(", ");
    throw new CronError(`A cron expression has 5 fields (${names}); this one has ${fields.length}.`);
  }
  for (const [index, rule] of fieldRules.entries()) assertField(fields, index, rule);
  return fields;
}

/** Whether the parser refused a day that no month of the expression has. */
function isImpossibleDay(error: unknown): boolean {
  return error instanceof Error && /explicit day of month/.test(error.message);
}

function isFive(fields: readonly string[]): fields is CronFields {
  return fields.length === fieldRules.length;
}

/** Parses a field alone beside stars, so that the message can say which one is wrong. */
function assertField(fields: CronFields, index: number, rule: (typeof fieldRules)[number]): void {
  const field = fields[index] ?? "";
  const { name, values, size } = rule;
  if (/h/i.test(field.replace(/thu|mar/gi, ""))) {
    throw new CronError(`Field ${name} (${field}): H is not supported because it has no fixed time.`);
  }
  const steps = [...field.matchAll(/\/(\d+)/g)].map(([, step]) => Number(step));
  if (steps.some((step) => step > size)) {
    throw new CronError(`Field ${name} (${field}): use a step of at most ${size}, the values that it has.`);
  }
  try {
    CronExpressionParser.parse(fieldRules.map((_, position) => (position === index ? field : "*")).join(" "));
  } catch (error) {
    if (isImpossibleDay(error)) return;
    throw new CronError(
      `Field ${name} (${field}) is not valid: use *, values from ${values}, ranges with the lower value first (2-4), steps of at least 1 (*/2) or a list of these.`,
    );
  }
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
