import { randomBytes } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import type { Logger } from "pino";
import type { Principal } from "../auth/principal.js";
import type { Database, Transaction } from "../db/client.js";
import { type Page, type PageRequest, pageWindow } from "../db/page.js";
import { isUuid } from "../db/uuid.js";
import { AppError } from "../errors/app-error.js";
import { invalidBody } from "../errors/invalid-body.js";
import type { RunService } from "../runs/service.js";
import type { WorkflowService } from "../workflows/service.js";
import type { CalendarSpec, Firing } from "./calendar.js";
import { CalendarReader } from "./calendar-reader.js";
import { spentReason } from "./decide-candidate.js";
import { DueFiring, type DueFiringOptions } from "./due-firing.js";
import { Ledger } from "./ledger.js";
import {
  type Backfilled,
  type BackfillRequest,
  ManualFiring,
  type TickResult,
  type Triggered,
  type TriggerRequest,
} from "./manual-firing.js";
import * as ledgerStore from "./occurrence-store.js";
import type { Outcome } from "./policies.js";
import {
  defaultSettings,
  mergeSettings,
  type NewSchedule,
  type Occurrence,
  type PreviewRequest,
  type Schedule,
  type ScheduleChange,
  type ScheduleSettings,
  type ScheduleSummary,
  settingsOf,
  toColumns,
  toOccurrence,
  toSchedule,
  toScheduleSummary,
} from "./schedule.js";
import * as store from "./store.js";
import { CronError } from "./wall-times.js";

export interface ScheduleServiceOptions {
  readonly database: Database;
  readonly workflows: WorkflowService;
  readonly runs: RunService;
  readonly now: () => Date;
  readonly logger: Logger;
  readonly onFired: DueFiringOptions["onFired"];
}

/** How many instants a schedule shows with itself. */
const RECENT = 5;

/** Schedules of an organization, their ledger, and what fires them. */
export class ScheduleService {
  /** What the scheduler does, for every organization. */
  readonly firing: DueFiring;
  readonly #options: ScheduleServiceOptions;
  readonly #calendars = new CalendarReader();
  readonly #manual: ManualFiring;

  constructor(options: ScheduleServiceOptions) {
    this.#options = options;
    const shared = { ...options, calendars: this.#calendars, ledger: new Ledger(options) };
    this.firing = new DueFiring(shared);
    this.#manual = new ManualFiring(shared);
  }

  /** @throws AppError `invalid_cron`, `workflow_not_found`, `conflict` (the id is taken). */
  async create(principal: Principal, { id: givenId, ...input }: NewSchedule): Promise<Schedule> {
    const { organizationId } = principal;
    const now = this.#options.now();
    const id = givenId ?? `sch_${randomBytes(12).toString("hex")}`;
    const settings = mergeSettings(
      { ...defaultSettings, workflowId: input.workflowId, cron: input.cron },
      input,
    );
    const schedule: store.StoredSchedule = {
      id,
      organizationId,
      ...toColumns(settings),
      stoppedReason: null,
      runCount: 0,
      ...this.#firstFiring({ id, ...settings }, now),
      version: 1,
      createdAt: now,
      updatedAt: now,
      createdBy: principal.id,
    };
    const isWritten = await this.#options.database.transaction(async (tx) => {
      await this.#requireWorkflow(tx, organizationId, input.workflowId);
      return store.insertSchedule(tx.db, organizationId, schedule);
    });
    if (!isWritten)
      throw new AppError("conflict", { message: `A schedule with the id ${id} exists already.` });
    return toSchedule(schedule);
  }

  /** The schedule with its newest instants. @throws AppError `not_found`. */
  async get(
    { organizationId }: Principal,
    id: string,
  ): Promise<Schedule & { readonly recent: Occurrence[] }> {
    const { db } = this.#options.database;
    const window = pageWindow({ limit: RECENT });
    const [found, recent] = await Promise.all([
      store.findSchedule(db, organizationId, id),
      ledgerStore.listOccurrences(db, organizationId, id, window, {}),
    ]);
    if (found === null) throw new AppError("not_found");
    return { ...toSchedule(found), recent: recent.data.map(toOccurrence) };
  }

  /** @throws AppError `invalid_body` for a bad cursor. */
  async list(
    principal: Principal,
    request: PageRequest & { readonly workflowId?: string | undefined },
  ): Promise<Page<ScheduleSummary>> {
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
    return { ...page, data: page.data.map(toScheduleSummary) };
  }

  /**
   * Changes what is given; a change that changes nothing leaves the version as it was. Another calendar counts from now
   * on, and so does one that is switched on again: instants of the time between are not made up for.
   * @throws AppError `not_found`, `version_mismatch`, `invalid_cron`, `invalid_body` (endAt), `workflow_not_found`,
   * `conflict` (switched on although it has started `maxRuns`).
   */
  async update(
    { organizationId }: Principal,
    { id, expectedVersion, ...change }: ScheduleChange,
  ): Promise<Schedule> {
    const now = this.#options.now();
    return this.#options.database.transaction(async (tx) => {
      const stored = await store.lockSchedule(tx.db, organizationId, id);
      if (stored === null) throw new AppError("not_found");
      if (expectedVersion !== undefined && expectedVersion !== stored.version) {
        throw new AppError("version_mismatch", {
          message: "The schedule was changed since the version you sent.",
          details: { current: stored.version },
        });
      }
      const before = settingsOf(stored);
      const merged = mergeSettings(before, change);
      const isResumed = merged.enabled && !before.enabled;
      // It said why the schedule was paused.
      const settings = isResumed && change.note === undefined ? { ...merged, note: null } : merged;
      assertRange(settings);
      if (isDeepStrictEqual(settings, before)) return toSchedule(stored);
      if (isResumed || settings.workflowId !== before.workflowId) {
        await this.#requireWorkflow(tx, organizationId, settings.workflowId);
      }
      const changed = this.#change(stored, settings, now, change.enabled === true);
      if (changed.nextScheduledFor?.getTime() !== stored.nextScheduledFor?.getTime()) {
        await this.firing.keepDue(tx, stored);
      }
      await store.updateSchedule(tx.db, organizationId, id, changed);
      return toSchedule({ ...stored, ...changed });
    });
  }

  /** @throws AppError `not_found`. */
  async remove(principal: Principal, id: string): Promise<void> {
    const isDeleted = await store.deleteSchedule(this.#options.database.db, principal.organizationId, id);
    if (!isDeleted) throw new AppError("not_found");
  }

  /** The ledger of a schedule, newest instant first. @throws AppError `not_found`; `invalid_body` for a bad cursor. */
  async listOccurrences(
    { organizationId }: Principal,
    { id, ...request }: PageRequest & { readonly id: string; readonly outcome?: Outcome | undefined },
  ): Promise<Page<Occurrence>> {
    const { db } = this.#options.database;
    const window = pageWindow(request);
    const [schedule, page] = await Promise.all([
      store.findSchedule(db, organizationId, id),
      ledgerStore.listOccurrences(db, organizationId, id, window, request),
    ]);
    if (schedule === null) throw new AppError("not_found");
    return { ...page, data: page.data.map(toOccurrence) };
  }

  /** The next instants of a calendar, saved or not. @throws AppError `invalid_cron`. */
  preview({ count, from, ...input }: PreviewRequest) {
    const settings = mergeSettings({ ...defaultSettings, workflowId: "", cron: input.cron }, input);
    const calendar = this.#readCalendar({ ...settings, id: input.id ?? "" });
    const firings: Firing[] = [];
    let last = calendar.next(from ?? this.#options.now());
    while (last !== null && firings.length < count) {
      firings.push(last);
      last = calendar.next(last.scheduledFor);
    }
    return { instants: firings.map(({ scheduledFor }) => scheduledFor), firings };
  }

  /** Switches the schedules of a removed workflow off, in the transaction that removes it; keeps what was due. */
  async stopForWorkflow(tx: Transaction, organizationId: string, workflowId: string): Promise<void> {
    const stopped = await store.lockSchedulesOf(tx.db, organizationId, workflowId);
    for (const schedule of stopped) await this.firing.keepDue(tx, schedule);
    await store.stopSchedules(tx.db, organizationId, {
      workflowId,
      reason: "The workflow was removed.",
      now: this.#options.now(),
    });
    if (stopped.length > 0) await store.wakeSchedulers(tx.db);
  }

  /** Fires what matches the current minute in the caller's organization and was not fired for it before. */
  tick(principal: Principal): Promise<TickResult> {
    return this.#manual.tick(principal);
  }

  /**
   * Starts a run now, beside the calendar and whatever the overlap policy says. A key that has a run already gives that
   * run, also when the workflow could not run any more.
   * @throws AppError `not_found`, `workflow_not_found`, `workflow_invalid`, `idempotency_key_reused`, `dispatch_failed`.
   */
  trigger(principal: Principal, request: TriggerRequest): Promise<Triggered> {
    return this.#manual.trigger(principal, request);
  }

  /** Runs the instants of a range of the past that have had no run. @throws AppError `not_found`, `limit_exceeded`. */
  backfill(principal: Principal, request: BackfillRequest): Promise<Backfilled> {
    return this.#manual.backfill(principal, request);
  }

  #change(
    stored: store.StoredSchedule,
    settings: ScheduleSettings,
    now: Date,
    isAsked: boolean,
  ): store.ScheduleChange {
    const { maxRuns } = settings;
    const isSpent = maxRuns !== null && stored.runCount >= maxRuns;
    if (isSpent && isAsked) {
      throw new AppError("conflict", { message: `${spentReason(maxRuns)} Raise maxRuns to switch it on.` });
    }
    const enabled = settings.enabled && !isSpent;
    const hasStopped = settings.enabled && isSpent;
    const isSameCalendar = isDeepStrictEqual(calendarPart(settings), calendarPart(settingsOf(stored)));
    const { nextScheduledFor, nextFireAt } =
      enabled && stored.isEnabled && isSameCalendar
        ? stored
        : this.#firstFiring({ id: stored.id, ...settings, enabled }, now);
    return {
      ...toColumns({ ...settings, enabled }),
      stoppedReason: hasStopped ? spentReason(maxRuns) : enabled ? null : stored.stoppedReason,
      nextScheduledFor,
      nextFireAt,
      version: stored.version + 1,
      updatedAt: now,
    };
  }

  #firstFiring(settings: CalendarSpec & Pick<ScheduleSettings, "enabled">, now: Date) {
    const next = this.#readCalendar(settings).next(now);
    const first = settings.enabled ? next : null;
    return { nextScheduledFor: first?.scheduledFor ?? null, nextFireAt: first?.fireAt ?? null };
  }

  #readCalendar(spec: CalendarSpec) {
    try {
      return this.#calendars.read(spec);
    } catch (error) {
      if (error instanceof CronError) throw new AppError("invalid_cron", { message: error.message });
      throw error;
    }
  }

  async #requireWorkflow(tx: Transaction, organizationId: string, workflowId: string): Promise<void> {
    const isThere = await this.#options.workflows.hold(tx, organizationId, workflowId);
    if (!isThere) throw new AppError("workflow_not_found");
  }
}

function calendarPart({ cron, timezone, gap, fold, startAt, endAt, jitterSeconds }: ScheduleSettings) {
  return { cron, timezone, gap, fold, startAt, endAt, jitterSeconds };
}

function assertRange({ startAt, endAt }: ScheduleSettings): void {
  if (startAt === null || endAt === null || startAt < endAt) return;
  throw invalidBody([{ path: ["endAt"], code: "custom", message: "must be later than startAt" }]);
}
