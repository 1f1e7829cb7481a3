import type { Cron } from "./cron.js";

/** When a schedule may fire: at instants in [startAt, endAt); null leaves the side open. */
export interface FiringRange {
  readonly startAt: Date | null;
  readonly endAt: Date | null;
}

/** The first instant after `date` in the range, or null. */
export function nextWithin(cron: Cron, date: Date, { startAt, endAt }: FiringRange): Date | null {
  const next = cron.next(startAt !== null && startAt > date ? justBefore(startAt) : date);
  return next !== null && (endAt === null || next < endAt) ? next : null;
}

/** The last instant at or before `date` in the range, or null. */
export function newestWithin(cron: Cron, date: Date, { startAt, endAt }: FiringRange): Date | null {
  const newest = cron.latest(endAt !== null && endAt <= date ? justBefore(endAt) : date);
  return newest !== null && (startAt === null || newest >= startAt) ? newest : null;
}

/** Whether a minute fires at `now`. The minute counts as a whole: a range that starts within it has it once it began. */
export function isDueAt(cron: Cron, minute: Date, now: Date, { startAt }: FiringRange): boolean {
  if (startAt !== null && now < startAt) return false;
  return cron.latest(minute)?.getTime() === minute.getTime();
}

function justBefore(date: Date): Date {
  return new Date(date.getTime() - 1);
}
