import { Nothing } from "./schemas/common.js";
import * as schemas from "./schemas/schedule.js";
import { procedure, router } from "./trpc.js";

const tags = ["schedules"];
const exampleSchedule = {
  id: "sch_daily_report",
  workflowId: "0198c5f2-7b1e-4a39-9d0e-3f5f6a1c2b4d",
  cron: "0 9 * * 1-5",
  timezone: "Europe/Berlin",
  payload: { name: "Ada" },
  enabled: true,
  stoppedReason: null,
  startAt: null,
  endAt: null,
  nextFireAt: "2026-11-23T08:00:00.000Z",
  createdAt: "2026-11-22T09:00:00.000Z",
  updatedAt: "2026-11-22T09:00:00.000Z",
};
const { workflowId, cron, timezone, payload } = exampleSchedule;

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
      rest: { status: 201, location: (output: { id: string }) => `/schedules/${output.id}` },
      examples: { body: { workflowId, cron, timezone, payload }, output: exampleSchedule },
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
        description: "Newest first.",
        tags,
      },
      examples: { output: { data: [exampleSchedule], pagination: { next: null, prev: null } } },
    })
    .input(schemas.ListSchedulesInput)
    .output(schemas.SchedulePage)
    .query(({ ctx, input }) => ctx.services.schedules.list(ctx.principal, input)),

  get: procedure
    .meta({
      permission: "schedules:read",
      errors: ["not_found"],
      openapi: {
        method: "GET",
        path: "/schedules/{id}",
        operationId: "getSchedule",
        summary: "Get a schedule",
        description: "The schedule with its next instant.",
        tags,
      },
      examples: { output: exampleSchedule },
    })
    .input(schemas.ScheduleIdInput)
    .output(schemas.Schedule)
    .query(({ ctx, input }) => ctx.services.schedules.get(ctx.principal, input.id)),

  remove: procedure
    .meta({
      permission: "schedules:write",
      errors: ["not_found"],
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
      examples: { body: { cron, timezone, count: 1 }, output: { instants: ["2026-11-23T08:00:00.000Z"] } },
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
