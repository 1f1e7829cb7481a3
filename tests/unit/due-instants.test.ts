import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Calendar, calendarOf } from "../../server/schedules/calendar.js";
import { parseCron } from "../../server/schedules/cron.js";
import { type DueInstants, dueInstants, MISSED_ROWS } from "../../server/schedules/due-instants.js";
import { catchupModes } from "../../server/schedules/policies.js";
import { wallClockOf } from "../../server/schedules/wall-clock.js";

const MINUTE_MS = 60_000;
const START = Date.parse("2026-10-24T20:00:00Z");

function every(cron: string, jitterSeconds: number): Calendar {
  const spec = { id: "sch_1", cron, timezone: "Europe/Berlin", startAt: null, endAt: null, jitterSeconds };
  return calendarOf(parseCron(cron, wallClockOf(spec.timezone)), spec);
}

/** Every instant after `start` that is due at `now`. */
function dueAt(calendar: Calendar, now: number, start = START): number[] {
  const instants: number[] = [];
  let each = calendar.next(new Date(start));
  while (each !== null && each.fireAt.getTime() <= now) {
    instants.push(each.scheduledFor.getTime());
    each = calendar.next(each.scheduledFor);
  }
  return instants;
}

/** The instants that a missed row speaks for: its own and those from the one on that its reason names. */
function spokenFor(calendar: Calendar, { scheduledFor, reason }: DueInstants["missed"][number]): number[] {
  const first = / from (\S+) on were missed too/.exec(reason)?.[1];
  const own = scheduledFor.getTime();
  if (first === undefined) return [own];
  const { fireAt } = calendar.at(scheduledFor);
  return dueAt(calendar, fireAt.getTime(), Date.parse(first) - 1);
}

const mostCaughtUp = { none: () => 0, latest: () => 1, all: (max: number) => max };

describe("the instants that are due", () => {
  it("are decided once each, in order and never early, whatever the looks, the policy and the jitter are", () => {
    fc.assert(
      fc.property(
        fc.constantFrom("* * * * *", "*/7 * * * *", "30 2,14 * * *"),
        fc.constantFrom(0, 20, 100_000),
        fc.record({
          mode: fc.constantFrom(...catchupModes),
          max: fc.integer({ min: 1, max: 20 }),
          windowSeconds: fc.option(fc.integer({ min: 1, max: 3_600 })),
        }),
        fc.array(fc.integer({ min: 0, max: 40 * MINUTE_MS }), { minLength: 1, maxLength: 4 }),
        (cron, jitterSeconds, catchup, steps) => {
          const calendar = every(cron, jitterSeconds);
          let next = calendar.next(new Date(START))?.scheduledFor ?? new Date(START);
          let now = START;
          const decided: number[] = [];
          for (const step of steps) {
            now += step;
            const due = dueInstants(calendar, next, new Date(now), catchup);
            decided.push(
              ...[
                ...due.firings.map(({ scheduledFor }) => scheduledFor.getTime()),
                ...due.missed.flatMap((row) => spokenFor(calendar, row)),
              ].sort(),
            );
            expect(due.missed.length).toBeLessThanOrEqual(MISSED_ROWS);
            const caughtUp = due.firings.filter(({ outcome }) => outcome === "caught_up");
            expect(caughtUp.length).toBeLessThanOrEqual(mostCaughtUp[catchup.mode](catchup.max));
            expect(due.next?.fireAt.getTime()).toBeGreaterThan(now);
            next = due.next?.scheduledFor ?? next;
          }
          expect(decided).toEqual(dueAt(calendar, now));
        },
      ),
      { numRuns: 60 },
    );
  });

  it("have a bounded number of rows after years without a server, of which the oldest names the rest", () => {
    const calendar = every("* * * * *", 0);
    const first = new Date("2020-01-01T00:00:00Z");
    const now = new Date("2026-11-22T10:00:00Z");
    const due = dueInstants(calendar, first, now, { mode: "all", max: 50, windowSeconds: null });
    expect(due.firings).toHaveLength(51);
    expect(due.missed).toHaveLength(MISSED_ROWS - 1);
    expect(due.missed[0]?.reason).toContain("from 2020-01-01T00:00:00.000Z on");
    expect(due.next?.scheduledFor).toEqual(new Date("2026-11-22T10:01:00Z"));
  });
});
