const DAY_MS = 86_400_000;
/** Zones change their offset on quarters of an hour only, so one look serves a whole quarter. */
const QUARTER_MS = 900_000;
/** Most looks that a clock keeps. */
const KEPT_LOOKS = 1_000;

/** The instants at which a clock shows a wall time, earliest first. */
export interface Showings {
  readonly instants: readonly number[];
  /** No instant shows it because the clock jumps over it; `instants` holds the one as far behind the jump. */
  readonly isSkipped: boolean;
}

/**
 * The wall clock of a time zone. Instants are milliseconds since 1970; a wall time is written as the instant at which
 * a clock in UTC shows it.
 */
export interface WallClock {
  /** The least and the most that the clock is ahead of UTC within a day of the time; they differ around a change. */
  offsetsAround(time: number): { readonly min: number; readonly max: number };
  /** The instants of a wall time: two where the clock is set back. */
  showingsOf(wall: number): Showings;
}

/** Makes the clock of an IANA time zone. @throws RangeError when the runtime does not know the zone. */
export function wallClockOf(timezone: string): WallClock {
  const format = new Intl.DateTimeFormat("en-US", { timeZone: timezone, timeZoneName: "longOffset" });
  const looks = new Map<number, number>();
  const look = (instant: number): number => {
    const text = format.formatToParts(instant).find(({ type }) => type === "timeZoneName")?.value ?? "";
    const [, sign = "+", hours = "0", minutes = "0"] = /([+-])(\d\d):(\d\d)/.exec(text) ?? [];
    return Number(`${sign}1`) * (Number(hours) * 60 + Number(minutes)) * 60_000;
  };
  const offsetAt = (instant: number): number => {
    const quarter = Math.floor(instant / QUARTER_MS);
    const known = looks.get(quarter);
    if (known !== undefined) return known;
    if (looks.size >= KEPT_LOOKS) looks.clear();
    const offset = look(instant);
    looks.set(quarter, offset);
    return offset;
  };
  const offsetsBeside = (time: number) => [offsetAt(time - DAY_MS), offsetAt(time + DAY_MS)] as const;
  return {
    offsetsAround(time) {
      const offsets = offsetsBeside(time);
      return { min: Math.min(...offsets), max: Math.max(...offsets) };
    },
    showingsOf(wall) {
      const [before, after] = offsetsBeside(wall);
      if (before === after) return { instants: [wall - before], isSkipped: false };
      const instants = [before, after]
        .filter((offset) => offsetAt(wall - offset) === offset)
        .map((offset) => wall - offset);
      return instants.length > 0
        ? { instants, isSkipped: false }
        : { instants: [wall - before], isSkipped: true };
    },
  };
}
