import { randomBytes } from "node:crypto";
import type { Principal } from "../auth/principal.js";
import type { Database, Transaction } from "../db/client.js";
import { type Page, type PageRequest, pageWindow } from "../db/page.js";
import { isUuid } from "../db/uuid.js";
import { AppError } from "../errors/app-error.js";
import type { RunService } from "../runs/service.js";
import type { WorkflowService } from "../workflows/service.js";
import { CronError, parseCron } from "./cron.js";
import { isDueAt, newestWithin, nextWithin } from "./firing-range.js";
import * as store from "./store.js";

/** A schedule as clients read it. */
export interface Schedule {
  readonly id: string;
  readonly workflowId: string;
  readonly cron: string;
  readonly timezone: string;
  readonly payload: Record<string, unknown> | null;
  readonly enabled: boolean;
  readonly stoppedReason: string | null;
  readonly startAt: Date | null;
  readonly endAt: Date | null;
  readonly nextFireAt: Date | null;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

export interface NewSchedule {
  readonly id?: string | undefined;
  readonly workflowId: string;
  readonly cron: string;
  readonly timezone: string;
  readonly payload?: Record<string, unknown> | undefined;
  readonly enabled: boolean;
  readonly startAt?: Date | undefined;
  readonly endAt?: Date | undefined;
}

/** What one tick did for an organization. */
export interface TickResult {
  readonly fired: { readonly scheduleId: string; readonly runId: string }[];
  readonly failed: { readonly scheduleId: string; readonly error: string }[];
  readonly skippedAlreadyFired: number;
  readonly skippedNotMatching: number;
  readonly skippedExpired: number;
}

/** What became of one instant. */
type FireResult =
  | { readonly outcome: "fired"; readonly runId: string }
  | { readonly outcome: "failed"; readonly error: string }
  | { readonly outcome: "already_fired" };

export interface ScheduleServiceOptions {
  readonly database: Database;
  readonly workflows: WorkflowService;
  readonly runs: RunService;
  readonly now: () => Date;
}

const MINUTE_MS = 60_000;
/** How long a schedule whose firing failed on the server's side waits, in milliseconds. */
const POSTPONE_MS = 2_000;

/** Schedules of an organization, and the one way in which an instant starts its run. */
export class ScheduleService {
  readonly #options: ScheduleServiceOptions;

  constructor(options: ScheduleServiceOptions) {
    this.#options = options;
  }

  /** @throws AppError `invalid_cron`, `workflow_not_found`, `conflict` (the id is taken). */
  async create(principal: Principal, input: NewSchedule): Promise<Schedule> {
    const { organizationId } = principal;
    const createdAt = this.#options.now();
    const cron = requireCron(input.cron, input.timezone);
    const range = { startAt: input.startAt ?? null, endAt: input.endAt ?? null };
    const schedule: store.StoredSchedule = {
      id: input.id ?? `sch_${randomBytes(12).toString("hex")}`,
      organizationId,
      workflowId: input.workflowId,
      cron: input.cron,
      timezone: input.timezone,
      payload: input.payload ?? null,
      isEnabled: input.enabled,
      stoppedReason: null,
      ...range,
      nextFireAt: input.enabled ? nextWithin(cron, createdAt, range) : null,
      createdAt,
      updatedAt: createdAt,
      createdBy: principal.id,
    };
    const isWritten = await this.#options.database.transaction(async (tx) => {
      const isThere = await this.#options.workflows.hold(tx, organizationId, input.workflowId);
      if (!isThere) throw new AppError("workflow_not_found");
      return store.insertSchedule(tx.db, organizationId, schedule);
    });
    if (!isWritten)
      throw new AppError("conflict", { message: `A schedule with the id ${schedule.id} exists already.` });
    return toSchedule(schedule);
  }

  /** @throws AppError `not_found`. */
  async get(principal: Principal, id: string): Promise<Schedule> {
    const found = await store.findSchedule(this.#options.database.db, principal.organizationId, id);
    if (found === null) throw new AppError("not_found");
    return toSchedule(found);
  }

  /** @throws AppError `invalid_body` for a bad cursor. */
  async list(
    principal: Principal,
    request: PageRequest & { readonly workflowId?: string | undefined },
  ): Promise<Page<Schedule>> {
    const window = pageWindow(request, (id) => id.startsWith("sch_"));
    if (request.workflowId !== undefined && !isUuid(request.workflowId)) {
      return { data: [], pagination: { next: null, prev: null } };
    }
    const page = await store.listSchedules(
      this.#options.database.db,
      principal.organizationId,
      window,
      request,
    );
    return { ...page, data: page.data.map(toSchedule) };
  }

  /** @throws AppError `not_found`. */
  async remove(principal: Principal, id: string): Promise<void> {
    const isDeleted = await store.deleteSchedule(this.#options.database.db, principal.organizationId, id);
    if (!isDeleted) throw new AppError("not_found");
  }

  /** The next instants of a cron expression, saved or not. @throws AppError `invalid_cron`. */
  preview(input: {
    readonly cron: string;
    readonly timezone: string;
    readonly count: number;
    readonly from?: Date | undefined;
  }) {
    const cron = requireCron(input.cron, input.timezone);
    const instants: Date[] = [];
    let last: Date | null = input.from ?? this.#options.now();
    while (instants.length < input.count) {
      last = cron.next(last);
      if (last === null) break;
      instants.push(last);
    }
    return { instants };
  }

  /** Switches the schedules of a removed workflow off, in the transaction that removes it. */
  stopForWorkflow(tx: Transaction, organizationId: string, workflowId: string): Promise<void> {
    return store.stopSchedules(tx.db, organizationId, {
      workflowId,
      reason: "The workflow was removed.",
      now: this.#options.now(),
    });
  }

  /** Fires what matches the current minute in the caller's organization and was not fired for it before. */
  async tick(principal: Principal): Promise<TickResult> {
    const { organizationId } = principal;
    const instant = this.#options.now();
    const minute = new Date(Math.floor(instant.getTime() / MINUTE_MS) * MINUTE_MS);
    const [enabled, taken] = await Promise.all([
      store.listEnabledSchedules(this.#options.database.db, organizationId),
      store.listTakenSchedules(this.#options.database.db, organizationId, minute),
    ]);
    const result = {
      fired: [],
      failed: [],
      skippedAlreadyFired: 0,
      skippedNotMatching: 0,
      skippedExpired: 0,
    } as {
      -readonly [Key in keyof TickResult]: TickResult[Key];
    };
    for (const schedule of enabled) {
      if (schedule.endAt !== null && minute >= schedule.endAt) result.skippedExpired += 1;
      else if (!isDueAt(requireCron(schedule.cron, schedule.timezone), minute, instant, schedule))
        result.skippedNotMatching += 1;
      else if (taken.has(schedule.id)) result.skippedAlreadyFired += 1;
      else record(result, schedule.id, await this.#attempt(schedule, minute));
    }
    return result;
  }

  /**
   * Fires one due schedule of any organization; false when none is due or free. An instant that was missed while
   * no server ran is fired once, late, as the newest one that is due.
   */
  async fireDue(): Promise<boolean> {
    const instant = this.#options.now();
    let claimed: store.StoredSchedule | null = null;
    try {
      return await this.#options.database.transaction(async (tx) => {
        claimed = await store.claimDueSchedule(tx.db, instant);
        if (claimed === null) return false;
        await this.#fireNewest(tx, claimed, instant);
        return true;
      });
    } catch (error) {
      if (claimed !== null) await this.#postpone(claimed, instant);
      throw error;
    }
  }

  /** When the next schedule of any organization is due, or null. */
  nextDueAt(): Promise<Date | null> {
    return store.findNextDueAt(this.#options.database.db);
  }

  /** Takes the instant in the ledger and starts its run in the caller's transaction: both or neither. */
  async #fire(tx: Transaction, schedule: store.StoredSchedule, scheduledFor: Date): Promise<FireResult> {
    const { organizationId, id: scheduleId } = schedule;
    const firedAt = this.#options.now();
    const checked = await this.#checkRun(tx, schedule, scheduledFor, firedAt);
    const occurrence = { scheduleId, scheduledFor, firedAt, runId: null };
    if ("error" in checked) {
      const isTaken = await store.insertOccurrence(tx.db, organizationId, {
        ...occurrence,
        outcome: "failed",
        reason: checked.error,
      });
      return isTaken ? { outcome: "failed", error: checked.error } : { outcome: "already_fired" };
    }
    const isTaken = await store.insertOccurrence(tx.db, organizationId, {
      ...occurrence,
      outcome: "fired",
      reason: null,
    });
    if (!isTaken) return { outcome: "already_fired" };
    const runId = await this.#options.runs.dispatch(tx, checked.run);
    await store.setOccurrenceRun(tx.db, organizationId, { scheduleId, scheduledFor, runId });
    return { outcome: "fired", runId };
  }

  /** A workflow that cannot run is an outcome of the instant, not a reason to try again. */
  async #checkRun(tx: Transaction, schedule: store.StoredSchedule, scheduledFor: Date, firedAt: Date) {
    try {
      const run = await this.#options.runs.check(tx.db, schedule.organizationId, {
        workflowId: schedule.workflowId,
        version: null,
        input: schedule.payload ?? {},
        trigger: {
          kind: "schedule",
          scheduleId: schedule.id,
          scheduledFor: scheduledFor.toISOString(),
          firedAt: firedAt.toISOString(),
        },
        idempotencyKey: null,
        createdBy: schedule.id,
      });
      return { run };
    } catch (error) {
      if (error instanceof AppError && error.errorCode !== "internal_error") return { error: error.message };
      throw error;
    }
  }

  /** Fires the newest instant that is due and sets the next one. */
  async #fireNewest(tx: Transaction, schedule: store.StoredSchedule, instant: Date): Promise<void> {
    const cron = requireCron(schedule.cron, schedule.timezone);
    const due = newestWithin(cron, instant, schedule);
    if (due !== null) await this.#fire(tx, schedule, due);
    await store.setNextFireAt(
      tx.db,
      schedule.organizationId,
      schedule.id,
      nextWithin(cron, instant, schedule),
    );
  }

  /** Lets the other schedules go first after a failure; the instant stays due and is fired when its turn comes. */
  #postpone({ organizationId, id }: store.StoredSchedule, instant: Date): Promise<void> {
    return store.setNextFireAt(
      this.#options.database.db,
      organizationId,
      id,
      new Date(instant.getTime() + POSTPONE_MS),
    );
  }

  async #attempt(schedule: store.StoredSchedule, minute: Date): Promise<FireResult> {
    try {
      return await this.#options.database.transaction((tx) => this.#fire(tx, schedule, minute));
    } catch (error) {
      if (error instanceof AppError) return { outcome: "failed", error: error.message };
      throw new AppError("dispatch_failed", { cause: error });
    }
  }
}

function record(
  result: TickResult & { skippedAlreadyFired: number },
  scheduleId: string,
  fired: FireResult,
): void {
  if (fired.outcome === "fired") result.fired.push({ scheduleId, runId: fired.runId });
  else if (fired.outcome === "failed") result.failed.push({ scheduleId, error: fired.error });
  else result.skippedAlreadyFired += 1;
}

function requireCron(cron: string, timezone: string) {
  try {
    return parseCron(cron, timezone);
  } catch (error) {
    if (error instanceof CronError) throw new AppError("invalid_cron", { message: error.message });
    throw error;
  }
}

function toSchedule(stored: store.StoredSchedule): Schedule {
  const { isEnabled, organizationId: _, createdBy: __, ...rest } = stored;
  return { ...rest, enabled: isEnabled };
}
