import { type ClockChange, type Cron, LAST_INSTANT } from "./cron.js";

/** What the instants of a schedule follow from. */
export interface CalendarSpec extends ClockChange {
  /** Spreads the jitter: another id gets another delay at the same instant. */
  readonly id: string;
  readonly cron: string;
  readonly timezone: string;
  /** Instants lie in [startAt, endAt); null leaves the side open. */
  readonly startAt: Date | null;
  readonly endAt: Date | null;
  /** Longest delay of a run behind its instant. */
  readonly jitterSeconds: number;
}

/** An instant of a calendar and when its run starts: the same without jitter. */
export interface Firing {
  readonly scheduledFor: Date;
  readonly fireAt: Date;
}

/** The instants of a schedule with their delays; firings are in the order of their instants. */
export interface Calendar {
  /** The first instant after `date`, or null. */
  next(date: Date): Firing | null;
  /** The last instant at or before `date`, or null. */
  latest(date: Date): Firing | null;
  /** The firing of one of its instants. */
  at(scheduledFor: Date): Firing;
}

type Range = Pick<CalendarSpec, "startAt" | "endAt">;

/** Puts an expression's instants into the range of a schedule and delays each by its own share of the jitter. */
export function calendarOf(cron: Cron, spec: Omit<CalendarSpec, keyof ClockChange>): Calendar {
  const { startAt, endAt } = spec;
  const at = (scheduledFor: Date): Firing => ({
    scheduledFor,
    fireAt: new Date(Math.min(scheduledFor.getTime() + delayOf(cron, spec, scheduledFor), LAST_INSTANT)),
  });
  return {
    next(date) {
      const next = cron.next(startAt !== null && startAt > date ? justBefore(startAt) : date);
      return next !== null && (endAt === null || next < endAt) ? at(next) : null;
    },
    latest(date) {
      const latest = cron.latest(endAt !== null && endAt <= date ? justBefore(endAt) : date);
      return latest !== null && (startAt === null || latest >= startAt) ? at(latest) : null;
    },
    at,
  };
}

/** Whether a minute fires at `now`. The minute counts as a whole: a range that starts within it has it once it began. */
export function isDueAt(cron: Cron, minute: Date, now: Date, { startAt }: Pick<Range, "startAt">): boolean {
  if (startAt !== null && now < startAt) return false;
  return cron.matches(minute);
}

/** The same for the same schedule and instant, and shorter than the time to the next instant. Milliseconds. */
function delayOf(
  cron: Cron,
  { id, jitterSeconds }: Pick<CalendarSpec, "id" | "jitterSeconds">,
  instant: Date,
): number {
  if (jitterSeconds === 0) return 0;
  const next = cron.next(instant);
  const untilNext = next === null ? Number.POSITIVE_INFINITY : next.getTime() - instant.getTime();
  return spread(`${id} ${instant.getTime()}`) % Math.min(jitterSeconds * 1_000 + 1, untilNext);
}

/** FNV-1a with a final mix, so that neighbouring instants and ids lie far apart; 32 bits. */
function spread(text: string): number {
  let hash = 0x81_1c_9d_c5;
  for (const character of text) hash = Math.imul(hash ^ (character.codePointAt(0) ?? 0), 0x01_00_01_93);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85_eb_ca_6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2_b2_ae_35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

function justBefore(date: Date): Date {
  return new Date(date.getTime() - 1);
}
