import { type CronExpression, CronExpressionParser } from "cron-parser";

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

/** A cron expression in its time zone; instants are whole minutes. */
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
export function parseCron(cron: string, timezone: string): Cron {
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
  const parse = (currentDate: Date): CronExpression =>
    CronExpressionParser.parse(expression, { tz: timezone, currentDate });
  try {
    parse(new Date(0));
  } catch (error) {
    throw new CronError(
      `The cron expression is not valid: ${error instanceof Error ? error.message : "unknown"}.`,
    );
  }
  return {
    next: (date) => instantOf(() => parse(date).next()),
    latest: (date) =>
      instantOf(() => parse(new Date(Math.floor(date.getTime() / 1000) * 1000 + 1000)).prev()),
  };
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
      const isImpossibleDay = error instanceof Error && /explicit day of month/.test(error.message);
      if (!isImpossibleDay) {
        throw new CronError(
          `Field ${name} (${field}): ${error instanceof Error ? error.message : "not valid"}.`,
        );
      }
    }
  }
}

/** The parser throws when it finds no date within its bounds. */
function instantOf(find: () => { toDate(): Date }): Date | null {
  try {
    return find().toDate();
  } catch {
    return null;
  }
}
