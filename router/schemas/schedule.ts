import { z } from "zod";
import { isTimezone } from "../../server/schedules/cron.js";
import { catchupModes, occurrenceKinds, outcomes, overlapPolicies } from "../../server/schedules/policies.js";
import { ExpectedVersion, Id, Instant, InstantInput, pageInput, pageOf, Version } from "./common.js";

const Cron = z.string().max(200).meta({
  description: "Five fields (minute hour day-of-month month day-of-week) or a macro such as @daily.",
  example: "0 9 * * 1-5",
});

const Timezone = z
  .string()
  .max(100)
  .refine(isTimezone, "is not an IANA time zone, such as Europe/Berlin")
  .meta({ description: "IANA time zone.", example: "Europe/Berlin" });

const ScheduleId = z
  .string()
  .regex(/^sch_[A-Za-z0-9_-]{1,60}$/, "must be sch_ and 1 to 60 letters, digits, _ or -")
  .meta({ example: "sch_daily_report" });

const Payload = z.record(z.string(), z.json());
const Gap = z.enum(["skip", "next"]).meta({
  description:
    "A fixed time that the clock jumps over comes as much later as the clock jumps (next) or not at all that day (skip). Expressions for every hour follow the clock.",
});
const Fold = z.enum(["first", "both"]).meta({
  description:
    "A fixed time that the clock shows twice comes at its first showing (first) or at each (both). Expressions for every hour follow the clock.",
});
const Overlap = z.enum(overlapPolicies).meta({
  description:
    "While an earlier run of the schedule has not ended: start beside it, skip the instant, let one instant wait for its end, or cancel it.",
});
const JitterSeconds = z
  .int()
  .min(0)
  .max(86_400)
  .meta({ description: "Longest delay behind the instant; fixed for each schedule and instant." });
const StartAt = InstantInput.meta({ description: "No run before this instant." });
const EndAt = InstantInput.meta({ description: "No run at or after this instant." });
const MaxRuns = z
  .int()
  .min(1)
  .max(2_147_483_647)
  .meta({ description: "The schedule stops after so many runs of its calendar." });
const Note = z.string().max(1_000).meta({
  description: "Your own words, such as why it is paused. Resuming clears it unless another is given.",
});
const CatchupMode = z.enum(catchupModes).meta({
  description: "Which instants that are late by more than a minute get a run: none, the latest, or all.",
});
const CatchupWindow = z
  .int()
  .min(1)
  .max(31_536_000)
  .nullable()
  .meta({ description: "Instants that are older are missed; null sets no limit." });
const CatchupMax = z
  .int()
  .min(1)
  .max(1_000)
  .meta({ description: "Most instants that `all` starts at once." });

const isRange = (input: { startAt?: Date | null | undefined; endAt?: Date | null | undefined }) =>
  input.startAt == null || input.endAt == null || input.startAt < input.endAt;
const rangeError = { path: ["endAt"], error: "must be later than startAt" };

const CatchupInput = z.strictObject({
  mode: CatchupMode.optional(),
  windowSeconds: CatchupWindow.optional(),
  max: CatchupMax.optional(),
});

/** What follows from the expression alone; absent parts have their defaults. */
const calendarInput = {
  timezone: Timezone.optional(),
  gap: Gap.optional(),
  fold: Fold.optional(),
  jitterSeconds: JitterSeconds.optional(),
};

export const CreateScheduleInput = z
  .object({
    id: ScheduleId.optional().meta({ description: "Your own id; one is made when absent." }),
    workflowId: Id,
    cron: Cron,
    ...calendarInput,
    payload: Payload.optional().meta({ description: "Input of every run." }),
    enabled: z.boolean().optional(),
    startAt: StartAt.optional(),
    endAt: EndAt.optional(),
    overlap: Overlap.optional(),
    catchup: CatchupInput.optional(),
    maxRuns: MaxRuns.optional(),
    note: Note.optional(),
  })
  .refine(isRange, rangeError);

export const UpdateScheduleInput = z
  .object({
    id: Id,
    expectedVersion: ExpectedVersion,
    workflowId: Id.optional(),
    cron: Cron.optional(),
    ...calendarInput,
    payload: Payload.nullable().optional(),
    enabled: z.boolean().optional(),
    startAt: StartAt.nullable().optional(),
    endAt: EndAt.nullable().optional(),
    overlap: Overlap.optional(),
    catchup: CatchupInput.optional(),
    maxRuns: MaxRuns.nullable().optional(),
    note: Note.nullable().optional(),
  })
  .refine(isRange, rangeError);

export const Schedule = z
  .object({
    id: z.string(),
    workflowId: z.uuid(),
    cron: z.string(),
    timezone: z.string(),
    gap: Gap,
    fold: Fold,
    payload: z.record(z.string(), z.unknown()).nullable(),
    enabled: z.boolean(),
    stoppedReason: z
      .string()
      .nullable()
      .meta({ description: "Why the server switched it off, or why it will not fire again." }),
    note: z.string().nullable(),
    startAt: Instant.nullable(),
    endAt: Instant.nullable(),
    overlap: Overlap,
    catchup: z.object({ mode: CatchupMode, windowSeconds: CatchupWindow, max: CatchupMax }),
    maxRuns: z.int().nullable(),
    runCount: z.int().min(0).meta({ description: "Runs that its calendar has started." }),
    jitterSeconds: JitterSeconds,
    nextFireAt: Instant.nullable().meta({
      description: "When the next run starts, jitter included; null when it will not fire again.",
    }),
    version: Version,
    createdAt: Instant,
    updatedAt: Instant,
  })
  .meta({ id: "Schedule" });

const Outcome = z.enum(outcomes).meta({
  description:
    "pending: waits for its run, by reason. fired, caught_up (late, by catchup) and backfilled have a run. skipped_overlap, missed and failed have none, by reason.",
});

export const Occurrence = z
  .object({
    id: z.uuid(),
    kind: z.enum(occurrenceKinds).meta({ description: "manual: started by hand beside the calendar." }),
    scheduledFor: Instant,
    firedAt: Instant.nullable(),
    outcome: Outcome,
    reason: z.string().nullable(),
    runId: z.uuid().nullable(),
    attempts: z.int().min(0).meta({ description: "How often its run was handed to the engine." }),
    nextAttemptAt: Instant.nullable().meta({ description: "When a pending one is looked at again." }),
  })
  .meta({ id: "ScheduleOccurrence" });

export const ScheduleWithRecent = Schedule.extend({
  recent: z.array(Occurrence).meta({ description: "The last five instants, newest first." }),
}).meta({ id: "ScheduleWithRecent" });

export const ListSchedulesInput = z.object({ workflowId: Id.optional(), ...pageInput });

export const ScheduleSummary = Schedule.omit({ payload: true }).meta({ id: "ScheduleSummary" });

export const SchedulePage = pageOf(ScheduleSummary);

export const ScheduleIdInput = z.object({ id: Id });

export const ListOccurrencesInput = z.object({ id: Id, outcome: Outcome.optional(), ...pageInput });

export const OccurrencePage = pageOf(Occurrence);

export const TriggerScheduleInput = z.object({
  id: Id,
  payload: Payload.optional().meta({ description: "Input of this run; the schedule's own when absent." }),
  idempotencyKey: z.string().min(1).max(255).optional().meta({
    description:
      "Same key of the schedule, same payload or none: same run. Over REST also the Idempotency-Key header.",
  }),
});

export const ScheduleTriggered = z.object({
  runId: z.uuid(),
  occurrenceId: z.uuid().meta({ description: "Its row in the schedule's occurrences." }),
});

export const BackfillInput = z
  .object({
    id: Id,
    from: InstantInput.meta({ description: "The first instant that may run." }),
    to: InstantInput.meta({ description: "Instants run before this one, and none that is still to come." }),
    overlap: z.enum(["allow", "buffer_one"]).optional().meta({
      description: "All at once, or one after another; the schedule's own policy decides when absent.",
    }),
  })
  .refine(({ from, to }) => from < to, { path: ["to"], error: "must be later than from" });

export const BackfillResult = z.object({
  accepted: z.int().min(0).meta({ description: "Instants that get a run." }),
  skipped: z.int().min(0).meta({ description: "Instants that have had their run or wait for it." }),
  reason: z.string().nullable().meta({ description: "Why the range has no instant; null when it has." }),
});

export const PreviewInput = z
  .object({
    cron: Cron,
    ...calendarInput,
    startAt: StartAt.optional(),
    endAt: EndAt.optional(),
    id: z.string().max(100).optional().meta({
      description: "The schedule's id, on which the share of each instant in the jitter depends.",
    }),
    count: z.int().min(1).max(100).default(5),
    from: InstantInput.optional().meta({ description: "Instants after this one; now when absent." }),
  })
  .refine(isRange, rangeError);

export const Preview = z
  .object({
    instants: z.array(Instant),
    firings: z
      .array(z.object({ scheduledFor: Instant, fireAt: Instant }))
      .meta({ description: "The same instants and when their runs start, jitter included." }),
  })
  .meta({ id: "SchedulePreview" });

export const TickResult = z
  .object({
    fired: z.array(z.object({ scheduleId: z.string(), runId: z.uuid() })),
    failed: z.array(z.object({ scheduleId: z.string(), error: z.string() })),
    skippedAlreadyFired: z.int().min(0).meta({
      description: "Their instant is in the ledger: fired before, waiting, or skipped by the overlap policy.",
    }),
    skippedNotMatching: z.int().min(0),
    skippedExpired: z.int().min(0),
  })
  .meta({ id: "TickResult" });
