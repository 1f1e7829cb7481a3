import { randomUUID } from "node:crypto";
import type { Db, Transaction } from "../db/client.js";
import { AppError } from "../errors/app-error.js";
import type { RunService } from "../runs/service.js";
import { type Candidate, type Decision, decide, type Progress, type Verdict } from "./decide-candidate.js";
import * as store from "./occurrence-store.js";
import type { Outcome } from "./policies.js";
import { keyOf } from "./progress.js";
import type { FiringSchedule } from "./store.js";

export type { Candidate } from "./decide-candidate.js";

/** What became of a candidate; `outcome` null: its instant was in the ledger before. */
export interface Settled {
  readonly candidate: Candidate;
  /** Of its row. */
  readonly id: string;
  readonly outcome: Outcome | null;
  readonly runId: string | null;
  readonly reason: string | null;
}

export interface LedgerOptions {
  readonly runs: RunService;
  readonly now: () => Date;
}

/** When a row that waits for a run looks again by itself, in milliseconds; the run's end is notified before. */
const LOOK_AGAIN_MS = 60_000;
/** Pause before a failed dispatch is tried again, in milliseconds; doubled with every attempt up to the most. */
const RETRY_MS = 1_000;
const MAX_RETRY_MS = 300_000;

/** What is said of an instant whose dispatch failed on the server's side. */
export const RETRIED = "The run could not be handed to the engine; it is tried again.";

/** The one way in which an instant gets its run: its row and its run are written in one transaction. */
export class Ledger {
  readonly #options: LedgerOptions;

  constructor(options: LedgerOptions) {
    this.#options = options;
  }

  /**
   * Decides the candidates in their order and writes what becomes of each, with a number of statements that does not
   * grow with theirs. One whose instant is in the ledger already may be left out of
   * what this returns. Throws when the server could not do it: then nothing is written, and `defer` keeps the candidates.
   */
  async settle(tx: Transaction, all: readonly Candidate[]): Promise<Settled[]> {
    const candidates = await this.#dropTaken(tx.db, all);
    if (candidates.length === 0) return [];
    const now = this.#options.now();
    const [verdicts, progress] = await Promise.all([
      this.#check(tx.db, candidates),
      this.#readProgress(tx.db, candidates),
    ]);
    const decisions: Decision[] = [];
    for (const candidate of candidates) {
      const own = progress.get(keyOf(candidate.schedule));
      const verdict = verdicts.get(workflowKeyOf(candidate.schedule));
      if (own !== undefined && verdict !== undefined) decisions.push(decide(candidate, verdict, own));
    }
    const written = await this.#write(tx.db, decisions, now);
    const starting = written.filter(({ run }) => run !== null);
    await Promise.all([
      this.#cancelPrevious(tx, starting),
      this.#dispatch(tx, starting, now),
      this.#promoteQueued(tx.db, written, now),
    ]);
    const ids = new Set(written.map(({ id }) => id));
    return decisions.map(({ candidate, id, outcome, runId, reason }) =>
      ids.has(id)
        ? { candidate, id, outcome, runId, reason }
        : { candidate, id, outcome: null, runId: null, reason: null },
    );
  }

  /**
   * Keeps candidates that were not settled as pending rows, each of which is tried on its own: `failed` on the server's
   * side, later with every attempt; `changed`, because their schedule does, at `dueAt`, which is now when absent.
   */
  async defer(
    tx: Transaction,
    candidates: readonly Candidate[],
    cause: "failed" | "changed",
    dueAt = this.#options.now(),
  ): Promise<void> {
    const hasFailed = cause === "failed";
    const rows = candidates.map((candidate) => {
      const attempts = (candidate.occurrence?.attempts ?? 0) + (hasFailed ? 1 : 0);
      const pauseMs = hasFailed ? Math.min(RETRY_MS * 2 ** (attempts - 1), MAX_RETRY_MS) : 0;
      return {
        ...rowOf(candidate, candidate.occurrence?.id ?? randomUUID()),
        outcome: "pending" as const,
        intent: candidate.intent,
        reason: hasFailed ? RETRIED : "The schedule was changed before the run of this instant could start.",
        attempts,
        nextAttemptAt: new Date(dueAt.getTime() + pauseMs),
      };
    });
    if (rows.length > 0) await writeRows(tx.db, rows, candidates);
  }

  /** Writes instants that get no run, unless they are in the ledger already. */
  async miss(
    tx: Transaction,
    instants: readonly {
      readonly schedule: FiringSchedule;
      readonly scheduledFor: Date;
      readonly reason: string;
    }[],
  ): Promise<void> {
    if (instants.length === 0) return;
    const rows = instants.map(({ schedule, scheduledFor, reason }) => ({
      ...store.blankOccurrence(schedule, scheduledFor),
      outcome: "missed" as const,
      reason,
    }));
    await store.insertOccurrences(tx.db, rows);
  }

  /**
   * Returns when the schedule's workflow can run.
   * @throws AppError `workflow_not_found`, `workflow_invalid`, `dispatch_failed` (a secret is missing).
   */
  async requireRunnable(db: Db, schedule: FiringSchedule): Promise<void> {
    const [verdict] = await this.#judge(db, [schedule]);
    if (verdict instanceof AppError) throw verdict;
  }

  /** Of several new instants of a schedule, one that had its turn before must not decide about the others. */
  async #dropTaken(db: Db, candidates: readonly Candidate[]): Promise<readonly Candidate[]> {
    const counts = new Map<string, number>();
    const fresh = candidates.filter(({ kind, occurrence }) => kind === "calendar" && occurrence === null);
    for (const { schedule } of fresh) counts.set(keyOf(schedule), (counts.get(keyOf(schedule)) ?? 0) + 1);
    const several = fresh.filter(({ schedule }) => (counts.get(keyOf(schedule)) ?? 0) > 1);
    if (several.length === 0) return candidates;
    const instants = several.map(({ schedule: { organizationId, id: scheduleId }, scheduledFor }) => ({
      organizationId,
      scheduleId,
      scheduledFor,
    }));
    const taken = await store.findTaken(db, instants);
    const dropped = new Set(several.filter((_, index) => taken.has(index)));
    return candidates.filter((candidate) => !dropped.has(candidate));
  }

  /** A workflow that cannot run is an outcome of the instant, not a reason to try again. */
  async #check(db: Db, candidates: readonly Candidate[]): Promise<ReadonlyMap<string, Verdict>> {
    const byWorkflow = new Map(candidates.map(({ schedule }) => [workflowKeyOf(schedule), schedule]));
    const keys = [...byWorkflow.keys()];
    const verdicts = await this.#judge(db, [...byWorkflow.values()]);
    return new Map(verdicts.map((verdict, index) => [keys[index] ?? "", verdict]));
  }

  async #judge(db: Db, schedules: readonly FiringSchedule[]): Promise<Verdict[]> {
    const keys = schedules.map(({ organizationId, workflowId }) => ({ organizationId, workflowId }));
    const verdicts = await this.#options.runs.checkNewest(db, keys);
    return verdicts.map((verdict) => {
      const isGone = verdict instanceof AppError && verdict.errorCode === "not_found";
      return isGone ? new AppError("workflow_not_found") : verdict;
    });
  }

  async #readProgress(db: Db, candidates: readonly Candidate[]): Promise<Map<string, Progress>> {
    const progress = new Map<string, Progress>();
    for (const { schedule } of candidates) {
      const { maxRuns, runCount } = schedule;
      progress.set(keyOf(schedule), {
        activeRunIds: [],
        hasWaiting: false,
        remaining: maxRuns === null ? Number.POSITIVE_INFINITY : maxRuns - runCount,
        starting: [],
      });
    }
    const exclusive = candidates.filter(({ overlap }) => overlap !== "allow");
    if (exclusive.length === 0) return progress;
    const active = await this.#options.runs.listActiveOfSchedules(db, keysOf(exclusive));
    for (const { organizationId, scheduleId: id, runId } of active) {
      progress.get(keyOf({ organizationId, id }))?.activeRunIds.push(runId);
    }
    const buffering = exclusive.filter(({ overlap }) => overlap === "buffer_one");
    if (buffering.length === 0) return progress;
    const waiting = await store.listWaitingSchedules(db, keysOf(buffering));
    for (const { organizationId, scheduleId: id } of waiting) {
      const own = progress.get(keyOf({ organizationId, id }));
      if (own !== undefined) own.hasWaiting = true;
    }
    return progress;
  }

  async #write(db: Db, decisions: readonly Decision[], now: Date): Promise<Decision[]> {
    const rows = decisions.map((decision) => toRow(decision, now));
    const taken = await writeRows(
      db,
      rows,
      decisions.map(({ candidate }) => candidate),
    );
    return decisions.filter(({ id }) => taken.has(id));
  }

  async #cancelPrevious(tx: Transaction, starting: readonly Decision[]): Promise<void> {
    const previous = starting.flatMap(({ candidate: { schedule }, cancels }) =>
      cancels.map((runId) => ({ organizationId: schedule.organizationId, runId })),
    );
    if (previous.length > 0) await this.#options.runs.endMany(tx, previous);
  }

  async #dispatch(tx: Transaction, starting: readonly Decision[], now: Date): Promise<void> {
    const runs = starting.flatMap(({ candidate, run, id, runId }) => {
      if (run === null || runId === null) return [];
      const { schedule, scheduledFor, kind, input, requestedBy } = candidate;
      const trigger = {
        kind: "schedule" as const,
        scheduleId: schedule.id,
        scheduledFor: scheduledFor.toISOString(),
        firedAt: now.toISOString(),
        occurrenceId: id,
        ...(kind === "manual" ? { isManual: true } : {}),
      };
      const request = {
        version: null,
        input,
        trigger,
        idempotencyKey: null,
        createdBy: schedule.id,
        requestedBy,
      };
      return [{ ...run, ...request, id: runId }];
    });
    if (runs.length > 0) await this.#options.runs.dispatchMany(tx, runs);
  }

  /** The next instant of a backfill that goes one after another waits for the run of the one before. */
  async #promoteQueued(db: Db, written: readonly Decision[], now: Date): Promise<void> {
    const ended = written.filter(
      ({ candidate, outcome }) => candidate.occurrence?.overlap === "buffer_one" && outcome !== "pending",
    );
    if (ended.length === 0) return;
    const next = ended.map(({ candidate: { schedule }, runId }) => ({
      organizationId: schedule.organizationId,
      scheduleId: schedule.id,
      awaitsRunId: runId,
      nextAttemptAt: runId === null ? now : new Date(now.getTime() + LOOK_AGAIN_MS),
    }));
    await store.promoteQueued(db, next);
  }
}

const keysOf = (candidates: readonly Candidate[]) =>
  candidates.map(({ schedule: { organizationId, id } }) => ({ organizationId, scheduleId: id }));

const workflowKeyOf = ({ organizationId, workflowId }: FiringSchedule) => `${organizationId}/${workflowId}`;

/** Writes new rows and claimed ones; returns the ids of those that hold their instant now. */
async function writeRows(
  db: Db,
  rows: readonly store.StoredOccurrence[],
  candidates: readonly Candidate[],
): Promise<ReadonlySet<string>> {
  const isClaimed = (_: unknown, index: number) => candidates[index]?.occurrence != null;
  const claimed = rows.filter(isClaimed);
  const fresh = rows.filter((row, index) => !isClaimed(row, index));
  if (claimed.length > 0) await store.updateOccurrences(db, claimed);
  const inserted = fresh.length > 0 ? await store.insertOccurrences(db, fresh) : new Set<string>();
  return new Set([...inserted, ...claimed.map(({ id }) => id)]);
}

function rowOf(candidate: Candidate, id: string): store.StoredOccurrence {
  const { schedule, scheduledFor, kind, requestedBy, occurrence } = candidate;
  const { attempts = 0, overlap = null } = occurrence ?? {};
  const blank = store.blankOccurrence(schedule, scheduledFor);
  return {
    ...blank,
    id,
    kind,
    attempts,
    overlap,
    requestedBy,
    idempotencyKey: candidate.idempotencyKey ?? null,
  };
}

function toRow(decision: Decision, now: Date): store.StoredOccurrence {
  const { candidate, id, outcome, reason, runId, awaitsRunId } = decision;
  const row = { ...rowOf(candidate, id), outcome, reason };
  if (outcome === "pending") {
    return {
      ...row,
      awaitsRunId,
      intent: candidate.intent,
      nextAttemptAt: new Date(now.getTime() + LOOK_AGAIN_MS),
    };
  }
  return runId === null ? row : { ...row, runId, firedAt: now, attempts: row.attempts + 1 };
}
