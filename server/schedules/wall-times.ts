import { CronExpressionParser, type CronFieldCollection } from "cron-parser";

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
/** How far a day is searched for: the rarest, 29 February on a given day of the week, comes within 40 years. */
const SEARCHED_MS = 41 * 366 * DAY_MS;

/** The wall times of a cron expression, whatever clock shows them. */
export interface WallTimes {
  readonly isEveryHour: boolean;
  /** The first one after a time, or the last one before it; null when there is none in the years that are searched. */
  step(direction: "next" | "prev", wall: number): number | null;
  /** Whether it has this time. */
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
  const read = parse(fields);
  const { hour, minute, month } = read;
  const hours: readonly number[] = hour.values;
  const minutes: readonly number[] = minute.values;
  const months = new Set<number>(month.values);
  const matchesDay = dayMatcher(fields, read);
  const isDay = (date: Date) => months.has(date.getUTCMonth() + 1) && matchesDay(date);

  /** The first minute of a day in the direction beyond one, which may lie outside of the day. */
  const stepInDay = ({ beyond, first }: Direction, from: number): number | null => {
    const hourOfDay = Math.floor(from / 60);
    const later = hours.includes(hourOfDay) ? beyond(minutes, from - hourOfDay * 60) : undefined;
    if (later !== undefined) return hourOfDay * 60 + later;
    const otherHour = beyond(hours, hourOfDay);
    const firstMinute = first(minutes);
    return otherHour === undefined || firstMinute === undefined ? null : otherHour * 60 + firstMinute;
  };

  const findDay = ({ sign, leaveMonth }: Direction, from: number): number | null => {
    const date = new Date(from);
    while (Math.abs(date.getTime() - from) <= SEARCHED_MS) {
      if (isDay(date)) return date.getTime();
      if (months.has(date.getUTCMonth() + 1)) date.setUTCDate(date.getUTCDate() + sign);
      else leaveMonth(date);
    }
    return null;
  };

  return {
    isEveryHour: hours.length === 24,
    step(name, wall) {
      const direction = directions[name];
      const day = startOfDay(wall);
      const today = isDay(new Date(day)) ? stepInDay(direction, direction.minuteOf(wall - day)) : null;
      if (today !== null) return day + today * MINUTE_MS;
      const otherDay = findDay(direction, day + direction.sign * DAY_MS);
      const time = stepInDay(direction, direction.outside);
      return otherDay === null || time === null ? null : otherDay + time * MINUTE_MS;
    },
    includes(wall) {
      const date = new Date(wall);
      const isTime = hours.includes(date.getUTCHours()) && minutes.includes(date.getUTCMinutes());
      return isTime && wall % MINUTE_MS === 0 && isDay(date);
    },
  };
}

/** What a search does in its direction; values are in ascending order. */
interface Direction {
  readonly sign: 1 | -1;
  /** The minute of the day that nothing up to a time of the day lies beyond, in milliseconds since its start. */
  readonly minuteOf: (sinceStart: number) => number;
  /** The minute before every other one of a day. */
  readonly outside: number;
  readonly beyond: (values: readonly number[], value: number) => number | undefined;
  readonly first: (values: readonly number[]) => number | undefined;
  /** Moves a date to the nearest day of another month. */
  readonly leaveMonth: (date: Date) => void;
}

const directions: Readonly<Record<"next" | "prev", Direction>> = {
  next: {
    sign: 1,
    minuteOf: (sinceStart) => Math.floor(sinceStart / MINUTE_MS),
    outside: -1,
    beyond: (values, value) => values.find((each) => each > value),
    first: (values) => values[0],
    leaveMonth: (date) => date.setUTCMonth(date.getUTCMonth() + 1, 1),
  },
  prev: {
    sign: -1,
    minuteOf: (sinceStart) => Math.ceil(sinceStart / MINUTE_MS),
    outside: 24 * 60,
    beyond: (values, value) => values.findLast((each) => each < value),
    first: (values) => values.at(-1),
    leaveMonth: (date) => date.setUTCDate(0),
  },
};

/**
 * Whether a day of a month of the expression matches. As in cron, either day field is enough, but one that begins with
 * a star does not stand in for the other one, even with a step.
 */
function dayMatcher(
  [, , writtenDay, , writtenWeekday]: CronFields,
  { dayOfMonth, dayOfWeek }: CronFieldCollection,
): (date: Date) => boolean {
  const days = new Set<number | string>(dayOfMonth.values);
  const weekdays = new Set<number>();
  const lastWeekdays = new Set<number>();
  for (const value of dayOfWeek.values) {
    (typeof value === "number" ? weekdays : lastWeekdays).add(Number.parseInt(`${value}`, 10) % 7);
  }
  const { nthDay } = dayOfWeek;
  const isDayOfMonth = (date: Date) =>
    days.has(date.getUTCDate()) || (days.has("L") && monthAfter(date, 1) !== date.getUTCMonth());
  const isDayOfWeek = (date: Date) => {
    const weekday = date.getUTCDay();
    if (weekdays.has(weekday)) return nthDay === 0 || Math.ceil(date.getUTCDate() / 7) === nthDay;
    return lastWeekdays.has(weekday) && monthAfter(date, 7) !== date.getUTCMonth();
  };
  return /^[*?]/.test(writtenDay) || /^[*?]/.test(writtenWeekday)
    ? (date) => isDayOfMonth(date) && isDayOfWeek(date)
    : (date) => isDayOfMonth(date) || isDayOfWeek(date);
}

function monthAfter(date: Date, days: number): number {
  return new Date(date.getTime() + days * DAY_MS).getUTCMonth();
}

function startOfDay(wall: number): number {
  return Math.floor(wall / DAY_MS) * DAY_MS;
}

/** The parser reads fields only: its own searches take milliseconds, and its time zones depend on where one begins. */
function parse(fields: CronFields): CronFieldCollection {
  try {
    return CronExpressionParser.parse(fields.join(" ")).fields;
  } catch (error) {
    if (!isImpossibleDay(error)) throw error;
    const [, , dayOfMonth, month] = fields;
    throw new CronError(
      `Field day of month (${dayOfMonth}) is not valid: no month of field month (${month}) has such a day.`,
    );
  }
}
