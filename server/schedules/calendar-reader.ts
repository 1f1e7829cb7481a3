import { LRUCache } from "lru-cache";
import { type Calendar, type CalendarSpec, calendarOf } from "./calendar.js";
import { type ClockChange, type Cron, parseCron } from "./cron.js";
import { type WallClock, wallClockOf } from "./wall-clock.js";

/** What an expression is read with. */
interface CronSpec extends ClockChange {
  readonly cron: string;
  readonly timezone: string;
}

/** Reads calendars and keeps what is expensive to make: parsed expressions and the clocks of time zones. */
export class CalendarReader {
  readonly #crons = new LRUCache<string, Cron>({ max: 10_000 });
  readonly #clocks = new LRUCache<string, WallClock>({ max: 600 });

  /** @throws CronError */
  readCron({ cron, timezone, gap, fold }: CronSpec): Cron {
    const key = `${timezone} ${gap} ${fold} ${cron}`;
    const known = this.#crons.get(key);
    if (known !== undefined) return known;
    const clock = this.#clocks.get(timezone) ?? wallClockOf(timezone);
    this.#clocks.set(timezone, clock);
    const read = parseCron(cron, clock, { gap, fold });
    this.#crons.set(key, read);
    return read;
  }

  /** @throws CronError */
  read(spec: CalendarSpec): Calendar {
    return calendarOf(this.readCron(spec), spec);
  }
}
