import { setImmediate } from "node:timers/promises";
import type { Principal } from "../auth/principal.js";
import type { Database, Transaction } from "../db/client.js";
import { AppError } from "../errors/app-error.js";
import type { RunService } from "../runs/service.js";
import { isDueAt } from "./calendar.js";
import type { CalendarReader } from "./calendar-reader.js";
import { toCandidate } from "./due-firing.js";
import { type Candidate, type Ledger, RETRIED, type Settled } from "./ledger.js";
import * as ledgerStore from "./occurrence-store.js";
import { countedProgress, countStarted } from "./progress.js";
import * as store from "./store.js";

/** What one tick did for an organization. */
export interface TickResult {
  readonly fired: { readonly scheduleId: string; readonly runId: string }[];
  readonly failed: { readonly scheduleId: string; readonly error: string }[];
  /** Their instant has its row: it was fired before, waits for its run or was skipped by the overlap policy. */
  readonly skippedAlreadyFired: number;
  readonly skippedNotMatching: number;
  readonly skippedExpired: number;
}

/** A run beside the calendar. */
export interface TriggerRequest {
  readonly id: string;
  /** Absent: the schedule's own. */
  readonly payload?: Record<string, unknown> | undefined;
  readonly idempotencyKey?: string | undefined;
}

/** What a run beside the calendar is known by. */
export interface Triggered {
  readonly runId: string;
  readonly occurrenceId: string;
}

/** A range of instants to run that the calendar has left behind. */
export interface BackfillRequest {
  readonly id: string;
  readonly from: Date;
  /** Exclusive. */
  readonly to: Date;
  /** Absent: as the schedule's own policy, `allow` or else one after another. */
  readonly overlap?: "allow" | "buffer_one" | undefined;
}

/** What a backfill has taken. */
export interface Backfilled {
  readonly accepted: number;
  readonly skipped: number;
  /** Why the range has no instant, or null. */
  readonly reason: string | null;
}

export interface ManualFiringOptions {
  readonly database: Database;
  readonly runs: RunService;
  readonly ledger: Ledger;
  readonly calendars: CalendarReader;
  readonly now: () => Date;
}

/** What a tick made of a schedule. */
type Ticked = Omit<Settled, "id">;

const MINUTE_MS = 60_000;
/** How many schedules a tick fires in one transaction. */
const BATCH = 100;
/** After how many schedules a tick, and instants a backfill, lets other requests have their turn. */
const TURN = 250;
/** Most instants of one backfill. */
const MAX_BACKFILL = 1_000;

/** Fires at the word of a caller: the current minute, once beside the calendar, or a range of the past. */
export class ManualFiring {
  readonly #options: ManualFiringOptions;

  constructor(options: ManualFiringOptions) {
    this.#options = options;
  }

  /** Fires what matches the current minute in the caller's organization and was not fired for it before. */
  async tick({ organizationId }: Principal): Promise<TickResult> {
    const { database, calendars, now } = this.#options;
    const instant = now();
    const minute = new Date(Math.floor(instant.getTime() / MINUTE_MS) * MINUTE_MS);
    const skipped = { skippedNotMatching: 0, skippedExpired: 0 };
    const matching: string[] = [];
    const enabled = await store.listEnabledSchedules(database.db, organizationId);
    for (const [index, schedule] of enabled.entries()) {
      if (index % TURN === TURN - 1) await setImmediate();
      if (schedule.endAt !== null && minute >= schedule.endAt) skipped.skippedExpired += 1;
      else if (isDueAt(calendars.readCron(schedule), minute, instant, schedule)) matching.push(schedule.id);
      else skipped.skippedNotMatching += 1;
    }
    const result: Pick<TickResult, "fired" | "failed"> = { fired: [], failed: [] };
    for (let first = 0; first < matching.length; first += BATCH) {
      const ids = matching.slice(first, first + BATCH);
      const instants = ids.map((scheduleId) => ({ organizationId, scheduleId, scheduledFor: minute }));
      const taken = await ledgerStore.findTaken(database.db, instants);
      const due = ids.filter((_, index) => !taken.has(index));
      if (due.length > 0) record(result, await this.#tickBatch(organizationId, due, minute));
    }
    const skippedAlreadyFired = matching.length - result.fired.length - result.failed.length;
    return { ...result, ...skipped, skippedAlreadyFired };
  }

  /**
   * Starts a run now, beside the calendar and whatever the overlap policy says. A key that has a run already gives that
   * run, also when the workflow could not run any more.
   */
  async trigger(
    { organizationId, userId: requestedBy }: Principal,
    { id, payload, idempotencyKey }: TriggerRequest,
  ): Promise<Triggered> {
    const { database, ledger, now } = this.#options;
    try {
      return await database.transaction(async (tx) => {
        const schedule = await this.#lock(tx, organizationId, id);
        const first =
          idempotencyKey === undefined ? null : await this.#repeat(tx, schedule, idempotencyKey, payload);
        if (first !== null) return first;
        await ledger.requireRunnable(tx.db, schedule);
        const candidate: Candidate = {
          ...toCandidate(schedule, now(), "fired"),
          kind: "manual",
          overlap: "allow",
          input: payload ?? null,
          requestedBy,
          idempotencyKey: idempotencyKey ?? null,
        };
        const [settled] = await ledger.settle(tx, [candidate]);
        if (settled == null || settled.runId === null) throw new AppError("dispatch_failed");
        return { runId: settled.runId, occurrenceId: settled.id };
      });
    } catch (cause) {
      if (cause instanceof AppError) throw cause;
      throw new AppError("dispatch_failed", { cause });
    }
  }

  /** Takes the instants of a range that have had no run; the scheduler starts them. */
  async backfill(
    { organizationId, userId: requestedBy }: Principal,
    { id, from, to, overlap }: BackfillRequest,
  ): Promise<Backfilled> {
    const { database, ledger, now } = this.#options;
    return database.transaction(async (tx) => {
      const schedule = await this.#lock(tx, organizationId, id);
      await ledger.requireRunnable(tx.db, schedule);
      const instants = await this.#instantsBetween(schedule, from, to);
      if (instants.length === 0) {
        return { accepted: 0, skipped: 0, reason: emptyReason(schedule, from, to, now()) };
      }
      const policy = overlap ?? (schedule.overlap === "allow" ? "allow" : "buffer_one");
      const at = now();
      const accepted = await ledgerStore.queueOccurrences(
        tx.db,
        instants.map((scheduledFor) => ({
          ...ledgerStore.blankOccurrence(schedule, scheduledFor),
          intent: "backfilled" as const,
          overlap: policy,
          requestedBy,
          nextAttemptAt: policy === "allow" ? at : null,
        })),
      );
      if (policy === "buffer_one") {
        const key = { organizationId, scheduleId: id };
        await ledgerStore.promoteQueued(tx.db, [{ ...key, awaitsRunId: null, nextAttemptAt: at }]);
      }
      await store.wakeSchedulers(tx.db);
      return { accepted, skipped: instants.length - accepted, reason: null };
    });
  }

  /** The run that the key started before, or null. @throws AppError `idempotency_key_reused`: another payload. */
  async #repeat(
    tx: Transaction,
    { organizationId, id: scheduleId }: store.FiringSchedule,
    idempotencyKey: string,
    payload: Record<string, unknown> | undefined,
  ): Promise<Triggered | null> {
    const first = await ledgerStore.findByKey(tx.db, { organizationId, scheduleId }, idempotencyKey);
    if (first === null || first.runId === null) return null;
    const { id: occurrenceId, runId } = first;
    if (payload !== undefined) await this.#options.runs.requireInput(tx.db, organizationId, runId, payload);
    return { runId, occurrenceId };
  }

  async #tickBatch(organizationId: string, ids: readonly string[], minute: Date): Promise<Ticked[]> {
    const { database } = this.#options;
    try {
      return await database.transaction(async (tx) => {
        const candidates = await this.#lockCandidates(tx, organizationId, ids, minute);
        const settled = await this.#options.ledger.settle(tx, candidates);
        await this.#countRuns(tx, settled);
        // They learn for which runs instants wait now.
        if (settled.some(({ outcome }) => outcome === "pending")) await store.wakeSchedulers(tx.db);
        return settled;
      });
    } catch (error) {
      if (ids.length > 1) {
        const alone: Ticked[] = [];
        for (const id of ids) alone.push(...(await this.#tickBatch(organizationId, [id], minute)));
        return alone;
      }
      if (error instanceof AppError) throw error;
      return this.#deferTick(organizationId, ids, minute, error);
    }
  }

  /** What cannot be dispatched now is kept in the ledger; the scheduler tries it again. */
  async #deferTick(
    organizationId: string,
    ids: readonly string[],
    minute: Date,
    cause: unknown,
  ): Promise<Ticked[]> {
    const { database, ledger } = this.#options;
    try {
      return await database.transaction(async (tx) => {
        const candidates = await this.#lockCandidates(tx, organizationId, ids, minute);
        await ledger.defer(tx, candidates, "failed");
        await store.wakeSchedulers(tx.db);
        return candidates.map((candidate) => ({
          candidate,
          outcome: "failed" as const,
          runId: null,
          reason: RETRIED,
        }));
      });
    } catch {
      throw new AppError("dispatch_failed", { cause });
    }
  }

  async #lockCandidates(
    tx: Transaction,
    organizationId: string,
    ids: readonly string[],
    minute: Date,
  ): Promise<Candidate[]> {
    const schedules = await store.lockSchedules(tx.db, organizationId, ids);
    return schedules
      .filter(({ isEnabled }) => isEnabled)
      .map((schedule) => toCandidate(schedule, minute, "fired"));
  }

  async #countRuns(tx: Transaction, settled: readonly Settled[]): Promise<void> {
    const started = countStarted(settled);
    const progress = settled
      .filter(({ runId }) => runId !== null)
      .map(({ candidate }) => countedProgress(candidate.schedule, started));
    if (progress.length > 0) await store.advanceSchedules(tx.db, progress, this.#options.now());
  }

  async #lock(tx: Transaction, organizationId: string, id: string): Promise<store.FiringSchedule> {
    const [schedule] = await store.lockSchedules(tx.db, organizationId, [id]);
    if (schedule === undefined) throw new AppError("not_found");
    return schedule;
  }

  /** What the calendar has in a range, without what is to come. @throws AppError `limit_exceeded`. */
  async #instantsBetween(schedule: store.FiringSchedule, from: Date, to: Date): Promise<Date[]> {
    const calendar = this.#options.calendars.read(schedule);
    const now = this.#options.now();
    const instants: Date[] = [];
    let firing = calendar.next(new Date(from.getTime() - 1));
    while (firing !== null && firing.scheduledFor < to && firing.scheduledFor <= now) {
      if (instants.length === MAX_BACKFILL) {
        throw new AppError("limit_exceeded", {
          message: `The range holds more than ${MAX_BACKFILL} instants; backfill it in parts.`,
          details: { limit: MAX_BACKFILL },
        });
      }
      instants.push(firing.scheduledFor);
      if (instants.length % TURN === 0) await setImmediate();
      firing = calendar.next(firing.scheduledFor);
    }
    return instants;
  }
}

/** Why a schedule has no instant in a range that a backfill could run. */
function emptyReason(
  { startAt, endAt, cron, timezone }: store.FiringSchedule,
  from: Date,
  to: Date,
  now: Date,
): string {
  if (from > now) return "The range begins in the future; a backfill runs instants of the past.";
  if (startAt !== null && startAt >= to) {
    return `The range ends before startAt (${startAt.toISOString()}), the first instant that the schedule may have.`;
  }
  if (endAt !== null && endAt <= from) {
    return `The range begins at or after endAt (${endAt.toISOString()}), before which the schedule has its instants.`;
  }
  return `The cron expression (${cron} in ${timezone}) has no instant of the past in the range.`;
}

function record(result: Pick<TickResult, "fired" | "failed">, settled: readonly Ticked[]): void {
  for (const { candidate, outcome, runId, reason } of settled) {
    const scheduleId = candidate.schedule.id;
    if (runId !== null) result.fired.push({ scheduleId, runId });
    else if (outcome === "failed") result.failed.push({ scheduleId, error: reason ?? "" });
  }
}
