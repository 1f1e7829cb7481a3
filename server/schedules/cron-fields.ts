import { CronExpressionParser } from "cron-parser";

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
export function isImpossibleDay(error: unknown): boolean {
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
