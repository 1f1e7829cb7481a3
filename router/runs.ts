import { diagramTypes } from "../server/diagrams/formats.js";
import { Nothing } from "./schemas/common.js";
import { Diagram, exampleDiagram } from "./schemas/diagram.js";
import * as schemas from "./schemas/run.js";
import { procedure, router, withIds } from "./trpc.js";

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
const settled = {
  state: "completed",
  attempts: 1,
  finishedAt: "2026-11-22T09:00:00.014Z",
  waitingUntil: null,
};
const exampleRun = {
  ...exampleSummary,
  blocks: {
    start: { ...settled, startedAt: "2026-11-22T09:00:00.011Z" },
    greet: { ...settled, startedAt: "2026-11-22T09:00:00.012Z" },
  },
  input: { name: "Ada" },
  output: { outputs: { start: { name: "Ada" }, greet: { result: "Hello Ada" } } },
  error: null,
};

const exampleEvents = [
  "event: block",
  "id: running.c1.r1",
  'data: {"type":"block","blockId":"start","state":"completed","attempts":1,"startedAt":"2026-11-22T09:00:00.011Z","finishedAt":"2026-11-22T09:00:00.014Z","waitingUntil":null}',
  "",
  "event: end",
  "id: end.c1*2",
  'data: {"type":"end","state":"completed","error":null}',
  "",
  "",
].join("\n");

export const runsRouter = router({
  get: procedure
    .meta({
      permission: "runs:read",
      openapi: {
        method: "GET",
        path: "/runs/{runId}",
        operationId: "getRun",
        summary: "Get a run",
        description: "State, input, output and error of a run, and how each of its blocks stands.",
        tags,
      },
      examples: { output: exampleRun },
    })
    .input(schemas.RunIdInput)
    .output(schemas.Run)
    .query(({ ctx, input }) => ctx.services.runReader.get(ctx.principal, input.runId)),

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
      errors: ["logs_failed"],
      openapi: {
        method: "GET",
        path: "/runs/{runId}/logs",
        operationId: "listRunLogs",
        summary: "List the step attempts of a run",
        description:
          "Oldest first: what each block did, with which parameters and which result, how long it took and what it logged.",
        tags,
      },
      examples: {
        output: {
          data: [
            {
              id: "0198c5f2-7b1e-4a39-9d0e-3f5f6a1c2b4f",
              name: "greet",
              blockId: "greet",
              kind: "block",
              status: "completed",
              attempt: 1,
              item: null,
              input: { template: "Hello Ada" },
              output: { result: "Hello Ada" },
              error: null,
              lines: [],
              startedAt: "2026-11-22T09:00:00.012Z",
              finishedAt: "2026-11-22T09:00:00.014Z",
              durationMs: 2,
            },
          ],
          pagination: { next: null, prev: null },
        },
      },
    })
    .input(schemas.ListLogsInput)
    .output(schemas.LogPage)
    .query(({ ctx, input }) => ctx.services.runReader.logs(ctx.principal, input)),

  cancel: procedure
    .meta({
      permission: "runs:write",
      errors: ["cancel_failed"],
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

  diagram: procedure
    .meta({
      permission: "runs:read",
      openapi: {
        method: "GET",
        path: "/runs/{runId}/diagram",
        operationId: "getRunDiagram",
        summary: "Draw a run",
        description: "A picture of the version that the run is pinned to, with how each block stands.",
        tags,
      },
      rest: { formats: diagramTypes },
      examples: { output: exampleDiagram },
    })
    .input(schemas.RunDiagramInput)
    .output(Diagram)
    .query(({ ctx, input }) => ctx.services.diagrams.ofRun(ctx.principal, input)),

  stream: procedure
    .meta({
      permission: "runs:read",
      openapi: {
        method: "GET",
        path: "/runs/{runId}/stream",
        operationId: "streamRun",
        summary: "Watch a run",
        description: [
          "Server-sent events, beginning with how the run stands: `run` (its state), `block` (one block with state, attempts and instants) and `end`, after which the server closes.",
          "Each has an id; a client that sends the last one as Last-Event-ID is told exactly what has changed since, and one that has seen the end gets 204. Events tell states: one that came and went between two looks is passed over.",
          "A comment is sent every 15 s, and the server ends the connection after 10 minutes so that the client comes again.",
        ].join("\n\n"),
        tags,
      },
      examples: { output: exampleEvents },
    })
    .input(schemas.StreamInput)
    .subscription(async ({ ctx, input, signal }) =>
      withIds(await ctx.services.runReader.stream(ctx.principal, input, signal)),
    ),
});
