import { Nothing } from "./schemas/common.js";
import * as schemas from "./schemas/run.js";
import { procedure, router } from "./trpc.js";

const tags = ["runs"];
const exampleSummary = {
  id: "0198c5f2-7b1e-4a39-9d0e-3f5f6a1c2b4e",
  workflowId: "0198c5f2-7b1e-4a39-9d0e-3f5f6a1c2b4d",
  workflowVersion: 1,
  state: "completed",
  trigger: { kind: "manual" },
  createdAt: "2026-11-22T09:00:00.000Z",
  startedAt: "2026-11-22T09:00:00.010Z",
  finishedAt: "2026-11-22T09:00:00.025Z",
};
const exampleRun = {
  ...exampleSummary,
  input: { name: "Ada" },
  output: { outputs: { start: { name: "Ada" }, greet: { result: "Hello Ada" } } },
  error: null,
};

export const runsRouter = router({
  get: procedure
    .meta({
      permission: "runs:read",
      errors: ["not_found"],
      openapi: {
        method: "GET",
        path: "/runs/{runId}",
        operationId: "getRun",
        summary: "Get a run",
        description: "State, input, output and error of a run.",
        tags,
      },
      examples: { output: exampleRun },
    })
    .input(schemas.RunIdInput)
    .output(schemas.Run)
    .query(({ ctx, input }) => ctx.services.runs.get(ctx.principal, input.runId)),

  list: procedure
    .meta({
      permission: "runs:read",
      openapi: {
        method: "GET",
        path: "/runs",
        operationId: "listRuns",
        summary: "List runs",
        description: "Newest first, without input, output and error.",
        tags,
      },
      examples: { output: { data: [exampleSummary], pagination: { next: null, prev: null } } },
    })
    .input(schemas.ListRunsInput)
    .output(schemas.RunPage)
    .query(({ ctx, input }) => ctx.services.runs.list(ctx.principal, input)),

  logs: procedure
    .meta({
      permission: "runs:read",
      errors: ["not_found", "logs_failed"],
      openapi: {
        method: "GET",
        path: "/runs/{runId}/logs",
        operationId: "listRunLogs",
        summary: "List the step attempts of a run",
        description: "Oldest first: what each block did, how often and with which result.",
        tags,
      },
      examples: {
        output: {
          data: [
            {
              id: "0198c5f2-7b1e-4a39-9d0e-3f5f6a1c2b4f",
              name: "greet",
              blockId: "greet",
              kind: "function",
              status: "completed",
              attempt: 1,
              output: { result: "Hello Ada" },
              error: null,
              startedAt: "2026-11-22T09:00:00.012Z",
              finishedAt: "2026-11-22T09:00:00.014Z",
            },
          ],
          pagination: { next: null, prev: null },
        },
      },
    })
    .input(schemas.ListLogsInput)
    .output(schemas.LogPage)
    .query(({ ctx, input }) => ctx.services.runs.logs(ctx.principal, input)),

  cancel: procedure
    .meta({
      permission: "runs:write",
      errors: ["not_found", "cancel_failed"],
      openapi: {
        method: "POST",
        path: "/runs/{runId}/cancel",
        operationId: "cancelRun",
        summary: "Cancel a run",
        description:
          "Stops the run for good. Canceling a canceled run is fine; a run that has ended is cancel_failed.",
        tags,
      },
      rest: { status: 204 },
    })
    .input(schemas.RunIdInput)
    .output(Nothing)
    .mutation(({ ctx, input }) => ctx.services.runs.cancel(ctx.principal, input.runId)),
});
