import type { Calendar, Firing } from "./calendar.js";
import type { Catchup, RunOutcome } from "./policies.js";

/** An instant that is taken up within this time is on time, in milliseconds. */
export const ON_TIME_MS = 60_000;
/** Most missed instants that get a row of their own at once; those before them share the oldest row. */
export const MISSED_ROWS = 10;

/** What a schedule's calendar asks for at a time. */
export interface DueInstants {
  /** Instants that get a run, oldest first. */
  readonly firings: readonly { readonly scheduledFor: Date; readonly outcome: RunOutcome }[];
  /** Instants that get none, oldest first, with the reason. */
  readonly missed: readonly { readonly scheduledFor: Date; readonly reason: string }[];
  /** The first instant that is not due yet, or null. */
  readonly next: Firing | null;
}

/**
 * Decides what is due at `now`, from the first instant that was not decided before. An instant is on time for a minute
 * and fires; of the later ones those fire that the catch-up policy allows.
 */
export function dueInstants(calendar: Calendar, first: Date, now: Date, catchup: Catchup): DueInstants {
  const { due, isCut, next } = listDue(calendar, first, now, mostCaughtUp(catchup) + MISSED_ROWS);
  const onTime = due.filter(({ fireAt }) => now.getTime() - fireAt.getTime() < ON_TIME_MS);
  const late = due.slice(onTime.length);
  const caughtUp = late
    .slice(0, catchup.mode === "latest" && onTime.length > 0 ? 0 : mostCaughtUp(catchup))
    .filter(({ fireAt }) => isWithinWindow(fireAt, now, catchup));
  const missed = late.slice(caughtUp.length);
  const kept = missed.slice(0, MISSED_ROWS);
  const hasMore = isCut || kept.length < missed.length;
  return {
    firings: [
      ...onTime.map(({ scheduledFor }) => ({ scheduledFor, outcome: "fired" as const })),
      ...caughtUp.map(({ scheduledFor }) => ({ scheduledFor, outcome: "caught_up" as const })),
    ].reverse(),
    missed: kept
      .map(({ scheduledFor, fireAt }, index) => ({
        scheduledFor,
        reason: reasonOf(
          isWithinWindow(fireAt, now, catchup),
          catchup,
          hasMore && index === kept.length - 1 ? first : null,
        ),
      }))
      .reverse(),
    next,
  };
}

/** Due firings newest first, at most `limit`, and the first one after them. */
function listDue(calendar: Calendar, first: Date, now: Date, limit: number) {
  // Nearly always one instant is due, and the one after it is not.
  const firstFiring = calendar.at(first);
  if (firstFiring.fireAt > now) return { due: [], isCut: false, next: firstFiring };
  const afterFirst = calendar.next(first);
  if (afterFirst === null || afterFirst.fireAt > now)
    return { due: [firstFiring], isCut: false, next: afterFirst };
  const due: Firing[] = [];
  let next: Firing | null = null;
  let firing = calendar.latest(now);
  if (firing !== null) next = calendar.next(firing.scheduledFor);
  while (firing !== null && firing.scheduledFor >= first && due.length < limit) {
    if (firing.fireAt <= now) due.push(firing);
    else next = firing;
    firing = calendar.latest(new Date(firing.scheduledFor.getTime() - 1));
  }
  return { due, isCut: firing !== null && firing.scheduledFor >= first, next };
}

function mostCaughtUp({ mode, max }: Catchup): number {
  return { none: 0, latest: 1, all: max }[mode];
}

function isWithinWindow(fireAt: Date, now: Date, { windowSeconds }: Catchup): boolean {
  return windowSeconds === null || now.getTime() - fireAt.getTime() <= windowSeconds * 1_000;
}

function reasonOf(
  isWithin: boolean,
  { mode, windowSeconds, max }: Catchup,
  summarizedFrom: Date | null,
): string {
  const policy =
    !isWithin && mode !== "none"
      ? `it is older than catchup.windowSeconds (${windowSeconds})`
      : {
          none: "catchup.mode is none",
          latest: "catchup.mode latest starts a later one",
          all: `catchup.max (${max}) later ones were started`,
        }[mode];
  const others =
    summarizedFrom === null
      ? ""
      : ` The instants before it from ${summarizedFrom.toISOString()} on were missed too and have no rows of their own.`;
  return `Nothing could fire in time, and ${policy}.${others}`;
}
