import type { Logger } from "pino";
import type { Database, Transaction } from "../db/client.js";
import { describeCause } from "../errors/describe-cause.js";
import type { RunService } from "../runs/service.js";
import type { CalendarReader } from "./calendar-reader.js";
import { type DueInstants, dueInstants, ON_TIME_MS } from "./due-instants.js";
import type { Candidate, Ledger, Settled } from "./ledger.js";
import * as ledgerStore from "./occurrence-store.js";
import type { Catchup } from "./policies.js";
import { countedProgress, countStarted, keyOf } from "./progress.js";
import * as store from "./store.js";
import { CronError } from "./wall-times.js";

/** How many due schedules or pending rows one transaction takes. */
const BATCH = 500;
/** How many rows one transaction writes before it leaves further schedules to the next. */
const BATCH_ROWS = 2_000;
/** After how many whole batches that are on time come late and pending ones, of which there may be many too. */
const OTHERS_AFTER = 4;
/** How long a schedule waits whose instants could not even be written down, in milliseconds. */
const POSTPONE_MS = 2_000;

export interface DueFiringOptions {
  readonly database: Database;
  readonly runs: RunService;
  readonly ledger: Ledger;
  readonly calendars: CalendarReader;
  readonly now: () => Date;
  readonly logger: Logger;
  /** Told of every instant that got its run. */
  readonly onFired: (firing: { readonly scheduledFor: Date; readonly at: Date }) => void;
}

/** A due schedule with what its calendar asks for. */
interface DueSchedule {
  readonly schedule: store.FiringSchedule;
  readonly due: DueInstants;
  /** Why it can never fire again, or null. */
  readonly stoppedReason: string | null;
}

/** Fires what is due in every organization; any number of processes may do so at once. */
export class DueFiring {
  readonly #options: DueFiringOptions;
  /** How many whole batches that are on time came one after another. */
  #wholeBatches = 0;

  constructor(options: DueFiringOptions) {
    this.#options = options;
  }

  /** Whether more was on time than one batch takes when it was looked last. */
  get isBehind(): boolean {
    return this.#wholeBatches > 0;
  }

  /**
   * Takes a batch of schedules that are on time, then one of those that are late and one of pending rows; false when
   * nothing was due or free. While whole batches are on time only every fourth is followed by the others, so that neither
   * do instants that come wait for those to be made up for, nor the other way round.
   */
  async fire(): Promise<boolean> {
    const at = this.#options.now();
    const late = new Date(at.getTime() - ON_TIME_MS);
    const onTime = await this.#fireSchedules({ after: late, until: at }, at);
    this.#wholeBatches = onTime === BATCH ? this.#wholeBatches + 1 : 0;
    if (this.#wholeBatches % OTHERS_AFTER !== 0) return true;
    const others = [await this.#fireSchedules({ until: late }, at), await this.#firePending()];
    return [onTime, ...others].some((count) => count > 0);
  }

  /** When the next work is due, and the runs whose end pending rows wait for; releases those whose run has ended. */
  async outlook(): Promise<ledgerStore.Outlook> {
    const { database, runs, now } = this.#options;
    const outlook = await ledgerStore.findOutlook(database.db);
    if (outlook.awaitedRunIds.length === 0) return outlook;
    const ended = new Set(await runs.listEnded(database.db, outlook.awaitedRunIds));
    if (ended.size === 0) return outlook;
    const at = now();
    await ledgerStore.releaseAwaiting(database.db, [...ended], at);
    return { dueAt: at, awaitedRunIds: outlook.awaitedRunIds.filter((id) => !ended.has(id)) };
  }

  /**
   * Writes the instants of a schedule that have come as pending, in the caller's transaction: before its calendar
   * changes, so that none of the old one gets lost. One whose run the jitter delays keeps its time.
   */
  async keepDue(tx: Transaction, schedule: store.FiringSchedule): Promise<void> {
    const now = this.#options.now();
    const first = firstUndecided(schedule);
    if (first === null || first > now) return;
    const read = this.#read(schedule, now);
    await this.#defer(tx, read, now, "changed");
    const { next } = read.due;
    if (next === null || next.scheduledFor > now) return;
    const delayed = toCandidate(schedule, next.scheduledFor, "fired");
    await this.#options.ledger.defer(tx, [delayed], "changed", next.fireAt);
  }

  /** How many it has taken. */
  async #fireSchedules(due: { readonly after?: Date; readonly until: Date }, at: Date): Promise<number> {
    const { database } = this.#options;
    let claimed: store.FiringSchedule[] = [];
    try {
      const settled = await database.transaction(async (tx) => {
        claimed = await store.claimDueSchedules(tx.db, due, BATCH);
        return claimed.length === 0 ? [] : this.#settle(tx, claimed, at);
      });
      this.#tell(settled);
    } catch (error) {
      if (claimed.length === 0) throw error;
      // One that cannot be fired must not hold up the others.
      for (const schedule of claimed) await this.#fireAlone(schedule, at);
    }
    return claimed.length;
  }

  async #fireAlone({ organizationId, id }: store.FiringSchedule, at: Date): Promise<void> {
    const { database, logger } = this.#options;
    const alone = (work: (tx: Transaction, schedule: store.FiringSchedule) => Promise<Settled[]>) =>
      database.transaction(async (tx) => {
        const schedule = await store.claimDueSchedule(tx.db, organizationId, id, at);
        return schedule === null ? [] : work(tx, schedule);
      });
    try {
      this.#tell(await alone((tx, schedule) => this.#settle(tx, [schedule], at)));
      return;
    } catch (error) {
      logger.error(
        { cause: describeCause(error), organizationId, scheduleId: id },
        "Firing a schedule failed; it is tried again.",
      );
    }
    try {
      await alone(async (tx, schedule) => {
        await this.#defer(tx, this.#read(schedule, at), at, "failed");
        return [];
      });
    } catch {
      const until = new Date(at.getTime() + POSTPONE_MS);
      await store.postponeSchedule(database.db, organizationId, id, until);
    }
  }

  /** How many it has taken. */
  async #firePending(): Promise<number> {
    const { database, now } = this.#options;
    const at = now();
    let claimed: ledgerStore.ClaimedOccurrence[] = [];
    try {
      const settled = await database.transaction(async (tx) => {
        claimed = await ledgerStore.claimPending(tx.db, at, BATCH);
        return claimed.length === 0 ? [] : this.#settlePending(tx, claimed, at);
      });
      this.#tell(settled);
    } catch (error) {
      if (claimed.length === 0) throw error;
      for (const { occurrence } of claimed) await this.#firePendingAlone(occurrence, at);
    }
    return claimed.length;
  }

  async #firePendingAlone(occurrence: ledgerStore.StoredOccurrence, at: Date): Promise<void> {
    const { database, ledger, logger } = this.#options;
    const alone = (work: (tx: Transaction, claimed: ledgerStore.ClaimedOccurrence) => Promise<Settled[]>) =>
      database.transaction(async (tx) => {
        const claimed = await ledgerStore.claimPendingOne(tx.db, occurrence, at);
        return claimed === null ? [] : work(tx, claimed);
      });
    try {
      this.#tell(await alone((tx, claimed) => this.#settlePending(tx, [claimed], at)));
    } catch (error) {
      const { id, organizationId, scheduleId } = occurrence;
      logger.error(
        { cause: describeCause(error), organizationId, scheduleId, occurrenceId: id },
        "Firing an instant failed again.",
      );
      await alone(async (tx, claimed) => {
        await ledger.defer(tx, [toPendingCandidate(claimed)], "failed");
        return [];
      });
    }
  }

  async #settle(tx: Transaction, schedules: readonly store.FiringSchedule[], at: Date): Promise<Settled[]> {
    const { ledger } = this.#options;
    const due: DueSchedule[] = [];
    let rows = 0;
    for (const schedule of schedules) {
      if (rows >= BATCH_ROWS) break;
      const read = this.#read(schedule, at);
      rows += read.due.firings.length + read.due.missed.length;
      due.push(read);
    }
    const settled = await ledger.settle(tx, due.flatMap(toCandidates));
    const started = countStarted(settled);
    const progress = due.map((each) => progressOf(each, started));
    await Promise.all([this.#writeMissed(tx, due), store.advanceSchedules(tx.db, progress, at)]);
    return settled;
  }

  async #settlePending(
    tx: Transaction,
    claimed: readonly ledgerStore.ClaimedOccurrence[],
    at: Date,
  ): Promise<Settled[]> {
    const settled = await this.#options.ledger.settle(tx, claimed.map(toPendingCandidate));
    const started = countStarted(settled);
    const schedules = new Map(claimed.map(({ schedule }) => [keyOf(schedule), schedule]));
    const counted = [...schedules].flatMap(([key, schedule]) =>
      started.has(key) ? [countedProgress(schedule, started)] : [],
    );
    if (counted.length > 0) await store.advanceSchedules(tx.db, counted, at);
    return settled;
  }

  async #defer(tx: Transaction, due: DueSchedule, at: Date, cause: "failed" | "changed"): Promise<void> {
    await this.#options.ledger.defer(tx, toCandidates(due), cause);
    await this.#writeMissed(tx, [due]);
    await store.advanceSchedules(tx.db, [progressOf(due, new Map())], at);
  }

  async #writeMissed(tx: Transaction, due: readonly DueSchedule[]): Promise<void> {
    const missed = due.flatMap(({ schedule, due: { missed } }) =>
      missed.map(({ scheduledFor, reason }) => ({ schedule, scheduledFor, reason })),
    );
    await this.#options.ledger.miss(tx, missed);
  }

  #read(schedule: store.FiringSchedule, at: Date): DueSchedule {
    const nothing = { firings: [], missed: [], next: null };
    const first = firstUndecided(schedule);
    if (first === null) return { schedule, due: nothing, stoppedReason: null };
    try {
      const calendar = this.#options.calendars.read(schedule);
      return { schedule, due: dueInstants(calendar, first, at, catchupOf(schedule)), stoppedReason: null };
    } catch (error) {
      // It was valid when it was saved; another version of the parser or of the time zones may think otherwise.
      if (error instanceof CronError || error instanceof RangeError) {
        return {
          schedule,
          due: nothing,
          stoppedReason: `The calendar cannot be read any more: ${error.message}`,
        };
      }
      throw error;
    }
  }

  #tell(settled: readonly Settled[]): void {
    const at = this.#options.now();
    for (const { candidate, runId } of settled) {
      if (runId !== null) this.#options.onFired({ scheduledFor: candidate.scheduledFor, at });
    }
  }
}

/** Rows of an earlier version know only when they are due. */
function firstUndecided({ nextScheduledFor, nextFireAt }: store.FiringSchedule): Date | null {
  return nextScheduledFor ?? nextFireAt;
}

/** The catch-up policy of a stored schedule. */
function catchupOf(schedule: store.FiringSchedule): Catchup {
  const { catchupMode: mode, catchupWindowSeconds: windowSeconds, catchupMax: max } = schedule;
  return { mode, windowSeconds, max };
}

function toCandidates({ schedule, due }: DueSchedule): Candidate[] {
  return due.firings.map(({ scheduledFor, outcome }) => toCandidate(schedule, scheduledFor, outcome));
}

/** An instant of a schedule's calendar. */
export function toCandidate(
  schedule: store.FiringSchedule,
  scheduledFor: Date,
  intent: Candidate["intent"],
): Candidate {
  return {
    schedule,
    scheduledFor,
    kind: "calendar",
    intent,
    overlap: schedule.overlap,
    input: null,
    requestedBy: null,
    occurrence: null,
  };
}

function toPendingCandidate({ schedule, occurrence }: ledgerStore.ClaimedOccurrence): Candidate {
  const candidate = toCandidate(schedule, occurrence.scheduledFor, occurrence.intent ?? "fired");
  const { kind, overlap, requestedBy } = occurrence;
  return { ...candidate, kind, overlap: overlap ?? schedule.overlap, requestedBy, occurrence };
}

function progressOf(
  { schedule, due: { next }, stoppedReason }: DueSchedule,
  started: ReadonlyMap<string, number>,
): store.ScheduleProgress {
  const counted = countedProgress(
    { ...schedule, nextScheduledFor: next?.scheduledFor ?? null, nextFireAt: next?.fireAt ?? null },
    started,
  );
  return stoppedReason === null ? counted : { ...counted, stoppedReason };
}
