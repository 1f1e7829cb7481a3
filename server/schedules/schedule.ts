import type { CalendarSpec } from "./calendar.js";
import type { ClockChange } from "./cron.js";
import type { StoredOccurrence } from "./occurrence-store.js";
import type { Catchup, OccurrenceKind, Outcome, OverlapPolicy } from "./policies.js";
import type { FiringSchedule, StoredSchedule } from "./store.js";

/** What the owner of a schedule sets. */
export interface ScheduleSettings extends ClockChange {
  readonly workflowId: string;
  readonly cron: string;
  readonly timezone: string;
  /** Input of its runs; null gives them `{}`. */
  readonly payload: Record<string, unknown> | null;
  readonly enabled: boolean;
  readonly note: string | null;
  readonly startAt: Date | null;
  readonly endAt: Date | null;
  readonly overlap: OverlapPolicy;
  readonly catchup: Catchup;
  /** After so many runs of its calendar it stops; null sets no limit. */
  readonly maxRuns: number | null;
  readonly jitterSeconds: number;
}

/** A schedule as clients read it. */
export interface Schedule extends ScheduleSettings {
  readonly id: string;
  readonly stoppedReason: string | null;
  readonly runCount: number;
  readonly nextFireAt: Date | null;
  readonly version: number;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** A row of the list: without the payload, of which a page could hold a hundred large ones. */
export type ScheduleSummary = Omit<Schedule, "payload">;

/** One instant of the ledger as clients read it. */
export interface Occurrence {
  readonly id: string;
  readonly kind: OccurrenceKind;
  readonly scheduledFor: Date;
  readonly firedAt: Date | null;
  readonly outcome: Outcome;
  readonly reason: string | null;
  readonly runId: string | null;
  readonly attempts: number;
  readonly nextAttemptAt: Date | null;
}

/** Settings of which some may be absent, `catchup` in parts. */
export type ScheduleSettingsInput = Absentable<Omit<ScheduleSettings, "catchup">> & {
  readonly catchup?: Absentable<Catchup> | undefined;
};

type Absentable<Value> = { readonly [Name in keyof Value]?: Value[Name] | undefined };

/** A new schedule; what is absent has its default. */
export interface NewSchedule extends ScheduleSettingsInput {
  readonly id?: string | undefined;
  readonly workflowId: string;
  readonly cron: string;
}

/** A change of a schedule; what is absent stays. */
export interface ScheduleChange extends ScheduleSettingsInput {
  readonly id: string;
  readonly expectedVersion?: number | undefined;
}

/** A calendar that need not be saved. */
export type PreviewRequest = Partial<{
  readonly [Name in keyof CalendarSpec]: CalendarSpec[Name] | undefined;
}> & {
  readonly cron: string;
  readonly count: number;
  readonly from?: Date | undefined;
};

/** What a schedule does unless its owner says otherwise. */
export const defaultSettings = {
  timezone: "UTC",
  gap: "next",
  fold: "first",
  payload: null,
  enabled: true,
  note: null,
  startAt: null,
  endAt: null,
  overlap: "allow",
  catchup: { mode: "latest", windowSeconds: null, max: 100 },
  maxRuns: null,
  jitterSeconds: 0,
} as const satisfies Omit<ScheduleSettings, "workflowId" | "cron">;

/** The settings with those of the input that are given. */
export function mergeSettings<Base extends Pick<ScheduleSettings, "catchup">>(
  base: Base,
  { catchup, ...input }: ScheduleSettingsInput,
): Base {
  return { ...base, ...given(input), catchup: { ...base.catchup, ...given(catchup ?? {}) } };
}

function given<Value extends object>(value: Value): Partial<Value> {
  return Object.fromEntries(Object.entries(value).filter(([, part]) => part !== undefined)) as Partial<Value>;
}

/** The settings of a stored schedule. */
export function settingsOf({ payload, ...stored }: StoredSchedule): ScheduleSettings {
  return { payload, ...smallSettingsOf(stored) };
}

function smallSettingsOf(stored: FiringSchedule): Omit<ScheduleSettings, "payload"> {
  const { workflowId, cron, timezone, gap, fold, isEnabled, note, startAt, endAt } = stored;
  const { overlap, maxRuns, jitterSeconds, catchupMode, catchupWindowSeconds, catchupMax } = stored;
  return {
    workflowId,
    cron,
    timezone,
    gap,
    fold,
    enabled: isEnabled,
    note,
    startAt,
    endAt,
    overlap,
    catchup: { mode: catchupMode, windowSeconds: catchupWindowSeconds, max: catchupMax },
    maxRuns,
    jitterSeconds,
  };
}

/** The columns of settings. */
export function toColumns({ enabled, catchup, ...settings }: ScheduleSettings) {
  return {
    ...settings,
    isEnabled: enabled,
    catchupMode: catchup.mode,
    catchupWindowSeconds: catchup.windowSeconds,
    catchupMax: catchup.max,
  };
}

export function toSchedule({ payload, ...stored }: StoredSchedule): Schedule {
  return { payload, ...toScheduleSummary(stored) };
}

export function toScheduleSummary(stored: FiringSchedule): ScheduleSummary {
  const { id, runCount, nextFireAt, version, createdAt, updatedAt } = stored;
  const stoppedReason = stored.stoppedReason ?? endReason(stored);
  const settings = smallSettingsOf(stored);
  return { id, ...settings, stoppedReason, runCount, nextFireAt, version, createdAt, updatedAt };
}

/** Why a schedule that is switched on will not fire again, or null. */
function endReason({ isEnabled, nextFireAt, endAt }: FiringSchedule): string | null {
  if (!isEnabled || nextFireAt !== null) return null;
  return endAt === null
    ? "The cron expression has no further instant."
    : `No instant is left before endAt (${endAt.toISOString()}); set a later one to go on.`;
}

export function toOccurrence(stored: StoredOccurrence): Occurrence {
  const { id, kind, scheduledFor, firedAt, outcome, reason, runId, attempts, nextAttemptAt } = stored;
  return { id, kind, scheduledFor, firedAt, outcome, reason, runId, attempts, nextAttemptAt };
}
