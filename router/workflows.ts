import { diagramTypes } from "../server/diagrams/formats.js";
import { Nothing } from "./schemas/common.js";
import { Diagram, exampleDiagram } from "./schemas/diagram.js";
import * as schemas from "./schemas/workflow.js";
import { procedure, router } from "./trpc.js";

const tags = ["workflows"];
const exampleDocument = {
  version: "1.0.0",
  metadata: { name: "Greeting", description: "Says hello.", tags: ["demo"] },
  blocks: [
    { id: "start", type: "trigger_webhook", enabled: true, params: {} },
    { id: "greet", type: "transform", enabled: true, params: { template: "Hello {{trigger.name}}" } },
  ],
  connections: [{ source: "start", target: "greet" }],
  variables: {},
};
const exampleWorkflow = {
  id: "0198c5f2-7b1e-4a39-9d0e-3f5f6a1c2b4d",
  workflow: exampleDocument,
  version: 1,
  createdAt: "2026-11-22T09:00:00.000Z",
  updatedAt: "2026-11-22T09:00:00.000Z",
};
const editedDocument = {
  ...exampleDocument,
  blocks: [
    ...exampleDocument.blocks,
    { id: "shout", type: "transform", enabled: true, params: { template: "{{greet.result}}!" } },
  ],
  connections: [...exampleDocument.connections, { source: "greet", target: "shout" }],
};
const { id, version, createdAt, updatedAt } = exampleWorkflow;
const exampleVersion = { version, createdAt, createdBy: "user_1" };
const emptyPagination = { next: null, prev: null };

export const workflowsRouter = router({
  create: procedure
    .meta({
      permission: "workflows:write",
      errors: ["limit_exceeded"],
      openapi: {
        method: "POST",
        path: "/workflows",
        operationId: "createWorkflow",
        summary: "Create a workflow",
        description:
          "Creates version 1. A document with validation errors is kept as a draft that cannot run yet.",
        tags,
      },
      rest: { status: 201, location: (output: { id: string }) => `/workflows/${output.id}`, hasEtag: true },
      examples: { body: { workflow: exampleDocument }, output: exampleWorkflow },
    })
    .input(schemas.CreateWorkflowInput)
    .output(schemas.Workflow)
    .mutation(({ ctx, input }) => ctx.services.workflows.create(ctx.principal, input)),

  list: procedure
    .meta({
      permission: "workflows:read",
      openapi: {
        method: "GET",
        path: "/workflows",
        operationId: "listWorkflows",
        summary: "List workflows",
        description: "Newest first, without their documents.",
        tags,
      },
      examples: {
        output: {
          data: [
            {
              id,
              name: "Greeting",
              description: "Says hello.",
              tags: ["demo"],
              version,
              createdAt,
              updatedAt,
            },
          ],
          pagination: emptyPagination,
        },
      },
    })
    .input(schemas.ListWorkflowsInput)
    .output(schemas.WorkflowPage)
    .query(({ ctx, input }) => ctx.services.workflows.list(ctx.principal, input)),

  get: procedure
    .meta({
      permission: "workflows:read",
      openapi: {
        method: "GET",
        path: "/workflows/{id}",
        operationId: "getWorkflow",
        summary: "Get a workflow",
        description: "The newest version with its document.",
        tags,
      },
      rest: { hasEtag: true },
      examples: { output: exampleWorkflow },
    })
    .input(schemas.WorkflowIdInput)
    .output(schemas.Workflow)
    .query(({ ctx, input }) => ctx.services.workflows.get(ctx.principal, input.id)),

  replace: procedure
    .meta({
      permission: "workflows:write",
      errors: ["limit_exceeded"],
      openapi: {
        method: "PUT",
        path: "/workflows/{id}",
        operationId: "replaceWorkflow",
        summary: "Replace a workflow's document",
        description: "Writes the document as the next version. What GET returned is accepted unchanged.",
        tags,
      },
      rest: { hasEtag: true, readsIfMatch: true },
      examples: { body: { workflow: exampleDocument }, output: { ...exampleWorkflow, version: 2 } },
    })
    .input(schemas.ReplaceWorkflowInput)
    .output(schemas.Workflow)
    .mutation(({ ctx, input }) => ctx.services.workflows.replace(ctx.principal, input)),

  edit: procedure
    .meta({
      permission: "workflows:write",
      errors: ["limit_exceeded"],
      openapi: {
        method: "POST",
        path: "/workflows/{id}/operations",
        operationId: "editWorkflow",
        summary: "Apply edit operations",
        description:
          "Applies a batch in order to the newest version under its lock. A bad operation is skipped and explained, the others land; a batch that changes nothing leaves the version as it was. add, update and remove change blocks, connect and disconnect connections, and configure {settings?, variables?, metadata?} what concerns the whole workflow, key by key; null removes a key.",
        tags,
      },
      rest: { hasEtag: true, readsIfMatch: true },
      examples: {
        body: {
          ops: [
            {
              operation_type: "add",
              block_id: "shout",
              type: "transform",
              params: { template: "{{greet.result}}!" },
            },
            { operation_type: "connect", block_id: "greet", target_block_id: "shout" },
          ],
        },
        output: {
          ok: true,
          workflow: editedDocument,
          version: 2,
          applied: 2,
          validation_errors: [],
          skipped_items: [],
          summary:
            "Applied 2 of 2 operations (1 add, 1 connect). The result was saved. It has 3 blocks and 2 connections.\n" +
            "Next: the workflow is valid; run it, or edit it further.",
        },
      },
    })
    .input(schemas.EditWorkflowInput)
    .output(schemas.EditResult)
    .mutation(({ ctx, input }) => ctx.services.workflows.edit(ctx.principal, input)),

  remove: procedure
    .meta({
      permission: "workflows:write",
      openapi: {
        method: "DELETE",
        path: "/workflows/{id}",
        operationId: "removeWorkflow",
        summary: "Remove a workflow",
        description: "Running runs finish; schedules of the workflow stop.",
        tags,
      },
      rest: { status: 204 },
    })
    .input(schemas.WorkflowIdInput)
    .output(Nothing)
    .mutation(({ ctx, input }) => ctx.services.workflows.remove(ctx.principal, input.id)),

  versions: procedure
    .meta({
      permission: "workflows:read",
      openapi: {
        method: "GET",
        path: "/workflows/{id}/versions",
        operationId: "listWorkflowVersions",
        summary: "List versions",
        description: "Immutable snapshots, newest first, without their documents.",
        tags,
      },
      examples: { output: { data: [exampleVersion], pagination: emptyPagination } },
    })
    .input(schemas.ListVersionsInput)
    .output(schemas.VersionPage)
    .query(({ ctx, input }) => ctx.services.workflows.listVersions(ctx.principal, input)),

  version: procedure
    .meta({
      permission: "workflows:read",
      openapi: {
        method: "GET",
        path: "/workflows/{id}/versions/{version}",
        operationId: "getWorkflowVersion",
        summary: "Get a version",
        description: "One snapshot with its document.",
        tags,
      },
      examples: { output: { id, ...exampleVersion, workflow: exampleDocument } },
    })
    .input(schemas.VersionInput)
    .output(schemas.WorkflowVersion)
    .query(({ ctx, input }) => ctx.services.workflows.getVersion(ctx.principal, input)),

  diagram: procedure
    .meta({
      permission: "workflows:read",
      openapi: {
        method: "GET",
        path: "/workflows/{id}/diagram",
        operationId: "getWorkflowDiagram",
        summary: "Draw a workflow",
        description: "A picture of the newest version, or of a numbered one.",
        tags,
      },
      rest: { formats: diagramTypes },
      examples: { output: exampleDiagram },
    })
    .input(schemas.WorkflowDiagramInput)
    .output(Diagram)
    .query(({ ctx, input }) => ctx.services.diagrams.ofWorkflow(ctx.principal, input)),

  restore: procedure
    .meta({
      permission: "workflows:write",
      openapi: {
        method: "POST",
        path: "/workflows/{id}/versions/{version}/restore",
        operationId: "restoreWorkflowVersion",
        summary: "Restore a version",
        description: "Writes the snapshot as the next version.",
        tags,
      },
      rest: { hasEtag: true, readsIfMatch: true },
      examples: { output: { ...exampleWorkflow, version: 3 } },
    })
    .input(schemas.RestoreInput)
    .output(schemas.Workflow)
    .mutation(({ ctx, input }) => ctx.services.workflows.restore(ctx.principal, input)),

  run: procedure
    .meta({
      permission: "runs:write",
      errors: ["workflow_invalid", "idempotency_key_reused", "dispatch_failed"],
      openapi: {
        method: "POST",
        path: "/workflows/{id}/run",
        operationId: "runWorkflow",
        summary: "Start a run",
        description: "When the answer is 202 the run is durable and will be executed once.",
        tags: ["runs"],
      },
      rest: {
        status: 202,
        location: (output: { runId: string }) => `/runs/${output.runId}`,
        readsIdempotencyKey: true,
      },
      examples: {
        body: { input: { name: "Ada" } },
        output: { runId: "0198c5f2-7b1e-4a39-9d0e-3f5f6a1c2b4e" },
      },
    })
    .input(schemas.RunWorkflowInput)
    .output(schemas.RunStarted)
    .mutation(({ ctx, input }) =>
      ctx.services.runs.start(ctx.principal.organizationId, {
        workflowId: input.id,
        version: input.version ?? null,
        input: input.input,
        trigger: { kind: "manual" },
        idempotencyKey: input.idempotencyKey ?? null,
        createdBy: ctx.principal.id,
        requestedBy: ctx.principal.userId,
      }),
    ),
});
