import { Nothing } from "./schemas/common.js";
import * as schemas from "./schemas/schedule.js";
import { procedure, router } from "./trpc.js";

const tags = ["schedules"];
const exampleSchedule = {
  id: "sch_daily_report",
  workflowId: "0198c5f2-7b1e-4a39-9d0e-3f5f6a1c2b4d",
  cron: "0 9 * * 1-5",
  timezone: "Europe/Berlin",
  gap: "next",
  fold: "first",
  payload: { name: "Ada" },
  enabled: true,
  stoppedReason: null,
  note: null,
  startAt: null,
  endAt: null,
  overlap: "skip",
  catchup: { mode: "latest", windowSeconds: 3600, max: 100 },
  maxRuns: null,
  runCount: 1,
  jitterSeconds: 0,
  nextFireAt: "2026-11-23T08:00:00.000Z",
  version: 1,
  createdAt: "2026-11-22T09:00:00.000Z",
  updatedAt: "2026-11-22T09:00:00.000Z",
};
const { payload, ...exampleSummary } = exampleSchedule;
const { workflowId, cron, timezone, overlap, catchup } = exampleSummary;
const exampleOccurrence = {
  id: "0198c5f2-7b1e-4a39-9d0e-3f5f6a1c2b4f",
  kind: "calendar",
  scheduledFor: "2026-11-20T08:00:00.000Z",
  firedAt: "2026-11-20T08:00:00.012Z",
  outcome: "fired",
  reason: null,
  runId: "0198c5f2-7b1e-4a39-9d0e-3f5f6a1c2b4e",
  attempts: 1,
  nextAttemptAt: null,
};

export const schedulesRouter = router({
  create: procedure
    .meta({
      permission: "schedules:write",
      errors: ["invalid_cron", "workflow_not_found", "conflict"],
      openapi: {
        method: "POST",
        path: "/schedules",
        operationId: "createSchedule",
        summary: "Create a schedule",
        description:
          "The server starts a run of the workflow at every instant of the cron expression, exactly once.",
        tags,
      },
      rest: { status: 201, location: (output: { id: string }) => `/schedules/${output.id}`, hasEtag: true },
      examples: {
        body: { workflowId, cron, timezone, payload, overlap, catchup },
        output: { ...exampleSchedule, runCount: 0 },
      },
    })
    .input(schemas.CreateScheduleInput)
    .output(schemas.Schedule)
    .mutation(({ ctx, input }) => ctx.services.schedules.create(ctx.principal, input)),

  list: procedure
    .meta({
      permission: "schedules:read",
      openapi: {
        method: "GET",
        path: "/schedules",
        operationId: "listSchedules",
        summary: "List schedules",
        description: "Newest first, without their payloads.",
        tags,
      },
      examples: { output: { data: [exampleSummary], pagination: { next: null, prev: null } } },
    })
    .input(schemas.ListSchedulesInput)
    .output(schemas.SchedulePage)
    .query(({ ctx, input }) => ctx.services.schedules.list(ctx.principal, input)),

  get: procedure
    .meta({
      permission: "schedules:read",
      openapi: {
        method: "GET",
        path: "/schedules/{id}",
        operationId: "getSchedule",
        summary: "Get a schedule",
        description: "The schedule with its next instant and the last five.",
        tags,
      },
      rest: { hasEtag: true },
      examples: { output: { ...exampleSchedule, recent: [exampleOccurrence] } },
    })
    .input(schemas.ScheduleIdInput)
    .output(schemas.ScheduleWithRecent)
    .query(({ ctx, input }) => ctx.services.schedules.get(ctx.principal, input.id)),

  update: procedure
    .meta({
      permission: "schedules:write",
      errors: ["invalid_cron", "workflow_not_found", "conflict"],
      openapi: {
        method: "PATCH",
        path: "/schedules/{id}",
        operationId: "updateSchedule",
        summary: "Change, pause or resume a schedule",
        description:
          "Changes what is given; null clears. enabled false pauses, true resumes from now on: instants of the pause are not made up for.",
        tags,
      },
      rest: { hasEtag: true, readsIfMatch: true },
      examples: {
        body: { enabled: false, note: "The warehouse is closed until Monday." },
        output: {
          ...exampleSchedule,
          enabled: false,
          note: "The warehouse is closed until Monday.",
          nextFireAt: null,
          version: 2,
        },
      },
    })
    .input(schemas.UpdateScheduleInput)
    .output(schemas.Schedule)
    .mutation(({ ctx, input }) => ctx.services.schedules.update(ctx.principal, input)),

  remove: procedure
    .meta({
      permission: "schedules:write",
      openapi: {
        method: "DELETE",
        path: "/schedules/{id}",
        operationId: "removeSchedule",
        summary: "Delete a schedule",
        description: "Runs it has started go on.",
        tags,
      },
      rest: { status: 204 },
    })
    .input(schemas.ScheduleIdInput)
    .output(Nothing)
    .mutation(({ ctx, input }) => ctx.services.schedules.remove(ctx.principal, input.id)),

  trigger: procedure
    .meta({
      permission: "schedules:write",
      errors: ["workflow_not_found", "workflow_invalid", "idempotency_key_reused", "dispatch_failed"],
      openapi: {
        method: "POST",
        path: "/schedules/{id}/trigger",
        operationId: "triggerSchedule",
        summary: "Start a run of a schedule now",
        description:
          "Beside the calendar: whatever the overlap policy says, also while the schedule is paused, and without counting towards maxRuns.",
        tags,
      },
      rest: {
        status: 202,
        location: (output: { runId: string }) => `/runs/${output.runId}`,
        readsIdempotencyKey: true,
      },
      examples: {
        body: { payload: { name: "Grace" } },
        output: { runId: exampleOccurrence.runId, occurrenceId: exampleOccurrence.id },
      },
    })
    .input(schemas.TriggerScheduleInput)
    .output(schemas.ScheduleTriggered)
    .mutation(({ ctx, input }) => ctx.services.schedules.trigger(ctx.principal, input)),

  backfill: procedure
    .meta({
      permission: "schedules:write",
      errors: ["workflow_not_found", "workflow_invalid", "limit_exceeded", "dispatch_failed"],
      openapi: {
        method: "POST",
        path: "/schedules/{id}/backfill",
        operationId: "backfillSchedule",
        summary: "Run instants of the past",
        description:
          "Starts the runs of the calendar's instants in a range of the past, at most 1,000. An instant that has had its run never runs again; one that was missed, skipped or failed gets it now.",
        tags,
      },
      rest: { status: 202 },
      examples: {
        body: { from: "2026-11-16T00:00:00Z", to: "2026-11-21T00:00:00Z" },
        output: { accepted: 4, skipped: 1, reason: null },
      },
    })
    .input(schemas.BackfillInput)
    .output(schemas.BackfillResult)
    .mutation(({ ctx, input }) => ctx.services.schedules.backfill(ctx.principal, input)),

  occurrences: procedure
    .meta({
      permission: "schedules:read",
      openapi: {
        method: "GET",
        path: "/schedules/{id}/occurrences",
        operationId: "listScheduleOccurrences",
        summary: "List what became of a schedule's instants",
        description:
          "The ledger: one row per instant and one per run that was started by hand, newest first.",
        tags,
      },
      examples: { output: { data: [exampleOccurrence], pagination: { next: null, prev: null } } },
    })
    .input(schemas.ListOccurrencesInput)
    .output(schemas.OccurrencePage)
    .query(({ ctx, input }) => ctx.services.schedules.listOccurrences(ctx.principal, input)),

  preview: procedure
    .meta({
      permission: "schedules:read",
      errors: ["invalid_cron"],
      openapi: {
        method: "POST",
        path: "/schedules/preview",
        operationId: "previewSchedule",
        summary: "Preview a cron expression",
        description: "The next instants of an expression, without saving anything.",
        tags,
      },
      examples: {
        body: { cron, timezone, count: 1 },
        output: {
          instants: ["2026-11-23T08:00:00.000Z"],
          firings: [{ scheduledFor: "2026-11-23T08:00:00.000Z", fireAt: "2026-11-23T08:00:00.000Z" }],
        },
      },
    })
    .input(schemas.PreviewInput)
    .output(schemas.Preview)
    .query(({ ctx, input }) => ctx.services.schedules.preview(input)),
});

export const adminRouter = router({
  tick: procedure
    .meta({
      permission: "schedules:write",
      openapi: {
        method: "POST",
        path: "/admin/tick",
        operationId: "tickSchedules",
        summary: "Fire what is due this minute",
        description:
          "One tick for your organization, for the current minute. The server also ticks by itself.",
        tags,
      },
      examples: {
        output: { fired: [], failed: [], skippedAlreadyFired: 1, skippedNotMatching: 0, skippedExpired: 0 },
      },
    })
    .output(schemas.TickResult)
    .mutation(({ ctx }) => ctx.services.schedules.tick(ctx.principal)),
});
