import { z } from "zod";
import { isTimezone } from "../../server/schedules/cron.js";
import { Id, Instant, InstantInput, pageInput, pageOf } from "./common.js";

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

export const CreateScheduleInput = z
  .object({
    id: ScheduleId.optional().meta({ description: "Your own id; one is made when absent." }),
    workflowId: Id,
    cron: Cron,
    timezone: Timezone.default("UTC"),
    payload: z.record(z.string(), z.json()).optional().meta({ description: "Input of every run." }),
    enabled: z.boolean().default(true),
    startAt: InstantInput.optional().meta({ description: "No run before this instant." }),
    endAt: InstantInput.optional().meta({ description: "No run at or after this instant." }),
  })
  .refine(
    (input) => input.startAt === undefined || input.endAt === undefined || input.startAt < input.endAt,
    {
      path: ["endAt"],
      error: "must be later than startAt",
    },
  );

export const Schedule = z
  .object({
    id: z.string(),
    workflowId: z.uuid(),
    cron: z.string(),
    timezone: z.string(),
    payload: z.record(z.string(), z.unknown()).nullable(),
    enabled: z.boolean(),
    stoppedReason: z.string().nullable().meta({ description: "Why the server switched it off." }),
    startAt: Instant.nullable(),
    endAt: Instant.nullable(),
    nextFireAt: Instant.nullable().meta({ description: "Null when it will not fire again." }),
    createdAt: Instant,
    updatedAt: Instant,
  })
  .meta({ id: "Schedule" });

export const ListSchedulesInput = z.object({ workflowId: Id.optional(), ...pageInput });

export const SchedulePage = pageOf(Schedule);

export const ScheduleIdInput = z.object({ id: Id });

export const PreviewInput = z.object({
  cron: Cron,
  timezone: Timezone.default("UTC"),
  count: z.int().min(1).max(100).default(5),
  from: InstantInput.optional().meta({ description: "Instants after this one; now when absent." }),
});

export const Preview = z.object({ instants: z.array(Instant) }).meta({ id: "SchedulePreview" });

export const TickResult = z
  .object({
    fired: z.array(z.object({ scheduleId: z.string(), runId: z.uuid() })),
    failed: z.array(z.object({ scheduleId: z.string(), error: z.string() })),
    skippedAlreadyFired: z.int().min(0),
    skippedNotMatching: z.int().min(0),
    skippedExpired: z.int().min(0),
  })
  .meta({ id: "TickResult" });
