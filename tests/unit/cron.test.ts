import { CronExpression, CronExpressionParser } from "cron-parser";
import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import { type ClockChange, type Cron, isTimezone, parseCron } from "../../server/schedules/cron.js";
import { wallClockOf } from "../../server/schedules/wall-clock.js";
import { CronError } from "../../server/schedules/wall-times.js";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

const read = (text: string, timezone: string, change?: ClockChange) =>
  parseCron(text, wallClockOf(timezone), change);

function following(cron: Cron, from: string, count: number): string[] {
  const instants: string[] = [];
  let last: Date | null = new Date(from);
  while (instants.length < count && last !== null) {
    last = cron.next(last);
    if (last !== null) instants.push(last.toISOString().slice(0, 16));
  }
  return instants;
}

/** Every day or hour on which a zone of this list changes its offset, with some hours around it. */
const changes = [
  ["Europe/Berlin", "2026-10-25T01:00Z"],
  ["Europe/Berlin", "2027-03-28T01:00Z"],
  ["America/New_York", "2026-11-01T06:00Z"],
  ["America/New_York", "2027-03-14T07:00Z"],
  ["Australia/Lord_Howe", "2026-10-03T15:30Z"],
  ["Australia/Lord_Howe", "2027-04-03T15:00Z"],
  ["America/Santiago", "2026-09-06T04:00Z"],
  ["America/Santiago", "2027-04-04T03:00Z"],
  ["Africa/Cairo", "2027-04-29T22:00Z"],
  ["UTC", "2027-03-28T01:00Z"],
] as const;

describe("cron expressions", () => {
  it.each([
    ["*/15 9-10 * * 1-5", ["2026-11-23T09:00", "2026-11-23T09:15", "2026-11-23T09:30"]],
    ["5/20 * * * *", ["2026-11-22T12:05", "2026-11-22T12:25", "2026-11-22T12:45"]],
    ["0 0 * JAN-feb Mon,TUE", ["2027-01-04T00:00", "2027-01-05T00:00", "2027-01-11T00:00"]],
    ["0 0 * * 7", ["2026-11-29T00:00", "2026-12-06T00:00", "2026-12-13T00:00"]],
    ["0 0 L * *", ["2026-11-30T00:00", "2026-12-31T00:00", "2027-01-31T00:00"]],
    ["0 0 * * 1#2", ["2026-12-14T00:00", "2027-01-11T00:00", "2027-02-08T00:00"]],
    ["0 0 29 2 *", ["2028-02-29T00:00", "2032-02-29T00:00", "2036-02-29T00:00"]],
    ["30 18 * * 5L", ["2026-11-27T18:30", "2026-12-25T18:30", "2027-01-29T18:30"]],
    ["0 6 1,15 * Fri", ["2026-11-27T06:00", "2026-12-01T06:00", "2026-12-04T06:00"]],
    ["0 6 * * Fri", ["2026-11-27T06:00", "2026-12-04T06:00", "2026-12-11T06:00"]],
    ["0 6 1,15 * *", ["2026-12-01T06:00", "2026-12-15T06:00", "2027-01-01T06:00"]],
    ["0 12 1 * 1", ["2026-11-23T12:00", "2026-11-30T12:00", "2026-12-01T12:00"]],
    ["@hourly", ["2026-11-22T13:00", "2026-11-22T14:00", "2026-11-22T15:00"]],
    [" @Daily ", ["2026-11-23T00:00", "2026-11-24T00:00", "2026-11-25T00:00"]],
    ["@weekly", ["2026-11-29T00:00", "2026-12-06T00:00", "2026-12-13T00:00"]],
    ["@monthly", ["2026-12-01T00:00", "2027-01-01T00:00", "2027-02-01T00:00"]],
    ["@yearly", ["2027-01-01T00:00", "2028-01-01T00:00", "2029-01-01T00:00"]],
  ])("%s gives its instants in order", (text, instants) => {
    expect(following(read(text, "UTC"), "2026-11-22T12:00:30Z", 3)).toEqual(instants);
  });

  it.each([
    ["99 99 * * *", /minute \(99\)/],
    ["0 24 * * *", /hour \(24\)/],
    ["0 0 0 * *", /day of month \(0\)/],
    ["0 0 * 13 *", /month \(13\)/],
    ["0 0 * * 8", /day of week \(8\)/],
    ["*/0 * * * *", /minute \(\*\/0\).*[^.]\.$/],
    ["5-1 * * * *", /minute \(5-1\)/],
    ["1,,2 * * * *", /minute \(1,,2\)/],
    ["1.5 * * * *", /minute/],
    ["H * * * *", /minute \(H\): H is not supported/],
    ["0 H(1-3) * * *", /hour .*H is not supported/],
    ["* * * * * *", /5 fields .*this one has 6/],
    ["* * * * * * *", /this one has 7/],
    ["* * * *", /this one has 4/],
    ["", /this one has 0/],
    ["  ", /this one has 0/],
    ["@nope", /Unknown macro @nope; known are @yearly/],
    ["@every 5m", /Unknown macro/],
    ["0 0 30 2 *", /day of month \(30\) is not valid: no month of field month \(2\)/],
    ["now", /this one has 1/],
    [
      "-1 * * * *",
      /minute \(-1\) is not valid: use \*, values from 0 to 59, ranges with the lower value first/,
    ],
    [
      "0 0 * * fri-mon",
      /day of week \(fri-mon\) is not valid: use .* 0 to 7 or SUN to SAT, ranges with the lower/,
    ],
    ["*/99 * * * *", /minute \(\*\/99\): use a step of at most 60/],
    ["0-59/61 * * * *", /minute \(0-59\/61\): use a step of at most 60/],
    ["0 */25 * * *", /hour \(\*\/25\): use a step of at most 24/],
  ])("%j is refused in words that name what is wrong", (text, message) => {
    expect(() => read(text, "UTC")).toThrow(CronError);
    expect(() => read(text, "UTC")).toThrow(message);
  });

  it.each([
    ["0 0 */2 * 1", ["2026-11-23", "2026-12-07", "2026-12-21", "2027-01-11"]],
    ["0 0 1-7 * */2", ["2026-12-01", "2026-12-03", "2026-12-05", "2026-12-06"]],
    ["0 0 */1 * mon", ["2026-11-23", "2026-11-30", "2026-12-07", "2026-12-14"]],
    ["0 0 2-31/2,1 * 1", ["2026-11-23", "2026-11-24", "2026-11-26", "2026-11-28"]],
  ])("%s: both days must match when one of the fields begins with a star", (text, days) => {
    const found = following(read(text, "UTC"), "2026-11-22T00:00Z", days.length);
    expect(found.map((instant) => instant.slice(0, 10))).toEqual(days);
    for (const day of days) {
      const date = new Date(`${day}T00:00Z`);
      expect(read(text, "UTC").latest(new Date(date.getTime() + 1))).toEqual(date);
    }
  });

  it("two days that never come together end the search", () => {
    expect(following(read("0 0 */31 * 1#2", "UTC"), "2026-11-22T00:00Z", 1)).toEqual([]);
    expect(following(read("* * 31 2 */2", "UTC"), "2026-11-22T00:00Z", 1)).toEqual([]);
    expect(following(read("0 0 */28 2 1#5", "UTC"), "2016-03-01T00:00Z", 1)).toEqual(["2044-02-29T00:00"]);
  });

  it("are searched without the parser's own search, which takes milliseconds for a rare day", () => {
    const searches = (["next", "prev", "includesDate"] as const).map((name) =>
      vi.spyOn(CronExpression.prototype, name),
    );
    const cron = read("0 0 29 2 */7", "UTC");
    expect(following(cron, "2026-11-22T00:00Z", 100).at(-1)).toBe("5080-02-29T00:00");
    expect(cron.latest(new Date("2026-11-22T00:00Z"))).toEqual(new Date("2004-02-29T00:00Z"));
    expect(cron.matches(new Date("2032-02-29T00:00Z"))).toBe(true);
    expect(searches.map((search) => search.mock.calls.length)).toEqual([0, 0, 0]);
    vi.restoreAllMocks();
  });

  it("have the instants that the parser's own search finds, wherever a search begins", () => {
    const fields = [
      ["0", "*", "*/7", "5,59", "30", "1-10/3", "50/3", "*/13,2"],
      ["0", "*", "*/5", "23", "9-17", "0,12", "22/1"],
      ["*", "?", "1", "L", "29", "1-7", "15,L", "5-20/4", "28-31"],
      ["*", "2", "1,7", "JAN-mar", "12", "*/5", "4,6,9,11"],
      ["*", "?", "1", "1-5", "7", "5L", "1#2", "5#5", "sun,WED", "1,5L", "6-7", "0-7"],
    ].map((written) => fc.constantFrom(...written));
    const anywhere = fc.date({
      min: new Date("1996-01-01Z"),
      max: new Date("2096-01-01Z"),
      noInvalidDate: true,
    });
    fc.assert(
      fc.property(fc.tuple(...fields), anywhere, (written, date) => {
        const cron = read(written.join(" "), "UTC");
        const parser = CronExpressionParser.parse(written.join(" "), { tz: "UTC" });
        parser.reset(date);
        expect(cron.next(date)?.getTime()).toBe(parser.next().getTime());
        parser.reset(new Date(Math.floor(date.getTime() / 1_000) * 1_000 + 1_000));
        expect(cron.latest(date)?.getTime()).toBe(parser.prev().getTime());
      }),
      { numRuns: 500 },
    );
  });

  it("has no instant after the year 9999", () => {
    expect(following(read("0 0 29 2 *", "UTC"), "9998-01-01T00:00Z", 1)).toEqual([]);
    expect(following(read("59 23 31 12 *", "UTC"), "9998-01-01T00:00Z", 9)).toHaveLength(2);
    expect(following(read("* * * * *", "America/New_York"), "9999-12-31T23:58Z", 9)).toHaveLength(1);
  });

  it("finds the last instant at or before a date", () => {
    const cron = read("*/10 * * * *", "UTC");
    for (const [date, latest] of [
      ["2026-11-22T12:10:00.000Z", "2026-11-22T12:10:00.000Z"],
      ["2026-11-22T12:10:00.001Z", "2026-11-22T12:10:00.000Z"],
      ["2026-11-22T12:09:59.999Z", "2026-11-22T12:00:00.000Z"],
    ] as const) {
      expect(cron.latest(new Date(date))).toEqual(new Date(latest));
    }
    expect(cron.next(new Date("2026-11-22T12:10:00.000Z"))).toEqual(new Date("2026-11-22T12:20:00.000Z"));
    expect(cron.next(new Date("2026-11-22T12:09:59.999Z"))).toEqual(new Date("2026-11-22T12:10:00.000Z"));
  });
});

describe("time zones", () => {
  it("are known by their IANA names", () => {
    expect(["UTC", "Europe/Berlin", "america/new_york", "Asia/Kolkata"].map(isTimezone)).not.toContain(false);
    expect(["", "Mars/Olympus", "local", "UTC+3", "Europe/Berlin "].map(isTimezone)).not.toContain(true);
  });

  it.each([
    ["Europe/Berlin", "0 9 * * *", "2026-10-23T12:00Z", ["10-24T07:00", "10-25T08:00", "10-26T08:00"]],
    ["Europe/Berlin", "0 9 * * *", "2027-03-26T12:00Z", ["03-27T08:00", "03-28T07:00", "03-29T07:00"]],
    ["America/New_York", "0 9 * * *", "2026-10-30T20:00Z", ["10-31T13:00", "11-01T14:00", "11-02T14:00"]],
    ["America/New_York", "0 9 * * *", "2027-03-12T20:00Z", ["03-13T14:00", "03-14T13:00", "03-15T13:00"]],
    ["Asia/Kolkata", "30 5 * * *", "2026-11-22T12:00Z", ["11-23T00:00", "11-24T00:00", "11-25T00:00"]],
  ])("keep the wall time across a change: %s %s after %s", (timezone, text, from, instants) => {
    expect(following(read(text, timezone), from, 3).map((instant) => instant.slice(5))).toEqual(instants);
  });

  it.each([
    ["Europe/Berlin", "30 2 * * *", "2027-03-27T12:00Z", ["03-28T01:30", "03-29T00:30"]],
    ["America/New_York", "30 2 * * *", "2027-03-13T12:00Z", ["03-14T07:30", "03-15T06:30"]],
    ["America/Santiago", "0 0 * * *", "2026-09-05T12:00Z", ["09-06T04:00", "09-07T03:00"]],
  ])("fire a time that the clock skips once, as much later: %s %s", (timezone, text, from, instants) => {
    expect(following(read(text, timezone), from, 2).map((instant) => instant.slice(5))).toEqual(instants);
  });

  it.each([
    ["Europe/Berlin", "30 2 * * *", "2026-10-24T12:00Z", ["10-25T00:30", "10-26T01:30"]],
    ["America/New_York", "30 1 * * *", "2026-10-31T12:00Z", ["11-01T05:30", "11-02T06:30"]],
  ])("fire a time that the clock repeats once: %s %s", (timezone, text, from, instants) => {
    expect(following(read(text, timezone), from, 2).map((instant) => instant.slice(5))).toEqual(instants);
  });

  it.each([
    ["Europe/Berlin", "30 2 * * *", "2026-03-28T12:00Z", ["03-29T01:30", "03-30T00:30"], ["03-30T00:30"]],
    ["Europe/Berlin", "30 2 * * *", "2027-03-27T12:00Z", ["03-28T01:30", "03-29T00:30"], ["03-29T00:30"]],
    ["America/New_York", "30 2 * * *", "2026-03-07T12:00Z", ["03-08T07:30", "03-09T06:30"], ["03-09T06:30"]],
    ["America/New_York", "30 2 * * *", "2027-03-13T12:00Z", ["03-14T07:30", "03-15T06:30"], ["03-15T06:30"]],
    [
      "Australia/Lord_Howe",
      "15 2 * * *",
      "2026-10-03T12:00Z",
      ["10-03T15:45", "10-04T15:15"],
      ["10-04T15:15"],
    ],
    [
      "Australia/Lord_Howe",
      "15 2 * * *",
      "2027-10-02T12:00Z",
      ["10-02T15:45", "10-03T15:15"],
      ["10-03T15:15"],
    ],
  ])(
    "gap: %s %s after %s comes as much later (next) or not that day (skip)",
    (timezone, text, from, next, skip) => {
      const given = (gap: ClockChange["gap"], count: number) =>
        following(read(text, timezone, { gap, fold: "first" }), from, count).map((instant) =>
          instant.slice(5),
        );
      expect([given("next", 2), given("skip", 1)]).toEqual([next, skip]);
    },
  );

  it.each([
    ["Europe/Berlin", "30 2 * * *", "2026-10-24T12:00Z", ["10-25T00:30", "10-25T01:30", "10-26T01:30"]],
    ["Europe/Berlin", "30 2 * * *", "2027-10-30T12:00Z", ["10-31T00:30", "10-31T01:30", "11-01T01:30"]],
    ["America/New_York", "30 1 * * *", "2026-10-31T12:00Z", ["11-01T05:30", "11-01T06:30", "11-02T06:30"]],
    ["America/New_York", "30 1 * * *", "2027-11-06T12:00Z", ["11-07T05:30", "11-07T06:30", "11-08T06:30"]],
    ["Australia/Lord_Howe", "45 1 * * *", "2026-04-04T12:00Z", ["04-04T14:45", "04-04T15:15", "04-05T15:15"]],
    ["Australia/Lord_Howe", "45 1 * * *", "2027-04-03T12:00Z", ["04-03T14:45", "04-03T15:15", "04-04T15:15"]],
  ])("fold: %s %s after %s comes at each showing (both) or the first", (timezone, text, from, both) => {
    const given = (fold: ClockChange["fold"], count: number) =>
      following(read(text, timezone, { gap: "next", fold }), from, count).map((instant) => instant.slice(5));
    expect([given("both", 3), given("first", 2)]).toEqual([both, [both[0], both[2]]]);
  });

  it("an expression for every hour follows the clock whatever gap and fold say", () => {
    for (const [timezone, change] of changes) {
      const from = new Date(Date.parse(change) - 4 * HOUR_MS).toISOString();
      const regular = following(read("20,50 * * * *", timezone), from, 16);
      for (const gap of ["skip", "next"] as const) {
        for (const fold of ["first", "both"] as const) {
          expect(following(read("20,50 * * * *", timezone, { gap, fold }), from, 16)).toEqual(regular);
        }
      }
    }
  });

  it.each(changes)("keep an expression for every hour regular: %s %s", (timezone, change) => {
    const cron = read("*/30 * * * *", timezone);
    const start = Date.parse(change) - 4 * HOUR_MS;
    const expected = Array.from({ length: 16 }, (_, index) => start + (index + 1) * 30 * MINUTE_MS);
    expect(following(cron, new Date(start).toISOString(), 16)).toEqual(
      expected.map((instant) => new Date(instant).toISOString().slice(0, 16)),
    );
  });
});

/** The instants by the rules alone: what a clock on the wall of the zone shows, minute by minute. */
function instantsByTheRules(
  { timezone, gap, fold }: ClockChange & { readonly timezone: string },
  from: number,
  to: number,
  minutes: number[],
  hours: number[],
) {
  const format = new Intl.DateTimeFormat("en-US", {
    timeZone: timezone,
    hourCycle: "h23",
    dateStyle: "short",
    timeStyle: "short",
  });
  const matches = (wall: number) =>
    minutes.includes(new Date(wall).getUTCMinutes()) && hours.includes(new Date(wall).getUTCHours());
  const fired = new Set<number>();
  const shown = new Set<number>();
  let before: number | null = null;
  for (let instant = from; instant <= to; instant += MINUTE_MS) {
    const wall = Date.parse(`${format.format(instant)} UTC`);
    if (before !== null && hours.length < 24 && gap === "next") {
      for (let skipped = before + MINUTE_MS; skipped < wall; skipped += MINUTE_MS) {
        if (matches(skipped)) fired.add(instant + (skipped - before - MINUTE_MS));
      }
    }
    if (matches(wall) && (hours.length === 24 || fold === "both" || !shown.has(wall))) fired.add(instant);
    shown.add(wall);
    before = wall;
  }
  return [...fired].sort((a, b) => a - b);
}

describe("around a clock change", () => {
  const hours = fc.oneof(
    fc.constant(Array.from({ length: 24 }, (_, hour) => hour)),
    fc.uniqueArray(fc.integer({ min: 0, max: 4 }), { minLength: 1 }),
    fc.uniqueArray(fc.integer({ min: 0, max: 23 }), { minLength: 1, maxLength: 12 }),
  );
  const minutes = fc.uniqueArray(fc.integer({ min: 0, max: 59 }), { minLength: 1, maxLength: 4 });

  it("next and latest give exactly the instants of the rules, wherever the search begins", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...changes),
        minutes,
        hours,
        fc.integer({ min: -300, max: 300 }),
        fc.integer({ min: 0, max: 59_999 }),
        fc.record({
          gap: fc.constantFrom("skip" as const, "next" as const),
          fold: fc.constantFrom("first" as const, "both" as const),
        }),
        ([timezone, change], minuteList, hourList, minutesAway, milliseconds, policy) => {
          const cron = read(`${minuteList} ${hourList} * * *`, timezone, policy);
          const date = Date.parse(change) + minutesAway * MINUTE_MS + milliseconds;
          const rules = instantsByTheRules(
            { timezone, ...policy },
            Date.parse(change) - 32 * HOUR_MS,
            Date.parse(change) + 32 * HOUR_MS,
            minuteList,
            hourList,
          );
          expect(cron.next(new Date(date))?.getTime()).toBe(rules.find((instant) => instant > date));
          expect(cron.latest(new Date(date))?.getTime()).toBe(
            rules.filter((instant) => instant <= date).at(-1),
          );
        },
      ),
      { numRuns: 150 },
    );
  });

  it("matches exactly the instants that latest finds", () => {
    const zones = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"];
    const days = fc.constantFrom("* * *", "* * 1-5", "*/2 * 0", "1,15,L * *", "* 3,4,10,11 0#1", "25 * 5L");
    fc.assert(
      fc.property(
        fc.constantFrom(...changes.filter(([timezone]) => zones.includes(timezone))),
        minutes,
        hours,
        days,
        fc.oneof(fc.integer({ min: -300, max: 300 }), fc.integer({ min: -400_000, max: 400_000 })),
        fc.constantFrom("skip" as const, "next" as const),
        fc.constantFrom("first" as const, "both" as const),
        ([timezone, change], minuteList, hourList, day, minutesAway, gap, fold) => {
          const cron = read(`${minuteList} ${hourList} ${day}`, timezone, { gap, fold });
          const start = Date.parse(change) + minutesAway * MINUTE_MS;
          const found = cron.next(new Date(start));
          const asked = [0, 15, 30, 45, 60, 90].map((minute) => new Date(start + minute * MINUTE_MS));
          for (const date of [...asked, ...(found === null ? [] : [found, new Date(found.getTime() + 1)])]) {
            expect(cron.matches(date)).toBe(cron.latest(date)?.getTime() === date.getTime());
          }
        },
      ),
      { numRuns: 150 },
    );
  });
});
