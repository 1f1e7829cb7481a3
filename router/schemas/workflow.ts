import { z } from "zod";
import { Metadata, PartialMetadata, WorkflowDocument } from "../../server/workflows/document.js";
import { SkippedItem } from "../../server/workflows/skip-reasons.js";
import { ValidationError } from "../../server/workflows/validation-error.js";
import { ExpectedVersion, Id, Instant, pageInput, pageOf, Version } from "./common.js";
import { Format } from "./diagram.js";

const emptyDocument = { version: "1.0.0", blocks: [], connections: [], variables: {} };

export const CreateWorkflowInput = z.object({
  metadata: PartialMetadata.optional().meta({ description: "Goes over the metadata of the document." }),
  workflow: WorkflowDocument.default({ ...emptyDocument, metadata: Metadata.parse({}) }),
});

export const Workflow = z
  .object({
    id: z.uuid(),
    workflow: WorkflowDocument,
    version: Version,
    createdAt: Instant,
    updatedAt: Instant,
  })
  .meta({ id: "Workflow" });

export const ListWorkflowsInput = z.object({
  search: z.string().min(1).max(200).optional().meta({ description: "Text in name or description." }),
  tag: z.string().min(1).max(50).optional().meta({ description: "A tag the workflow carries." }),
  ...pageInput,
});

export const WorkflowPage = pageOf(
  z
    .object({
      id: z.uuid(),
      name: z.string(),
      description: z.string(),
      tags: z.array(z.string()),
      version: Version,
      createdAt: Instant,
      updatedAt: Instant,
    })
    .meta({ id: "WorkflowSummary" }),
);

export const WorkflowIdInput = z.object({ id: Id });

export const ReplaceWorkflowInput = z.object({
  id: Id,
  workflow: WorkflowDocument,
  expectedVersion: ExpectedVersion,
});

export const EditWorkflowInput = z.object({
  id: Id,
  ops: z.array(z.unknown().meta({ $ref: "#/components/schemas/EditOperation" })).meta({
    description:
      "Edit operations, applied in order, each by itself: add, update, remove, connect, disconnect on blocks and connections, configure on settings, variables and metadata. A bad one is skipped and explained.",
  }),
  dryRun: z.boolean().default(false).meta({ description: "Answer as if applied, write nothing." }),
  expectedVersion: ExpectedVersion,
});

export const EditResult = z
  .object({
    ok: z
      .boolean()
      .meta({ description: "True when nothing was skipped and there are no validation errors." }),
    workflow: WorkflowDocument,
    version: Version,
    applied: z.int().min(0).meta({ description: "How many operations took effect." }),
    validation_errors: z.array(ValidationError.meta({ id: "ValidationError" })),
    skipped_items: z.array(SkippedItem.meta({ id: "SkippedItem" })),
    summary: z.string().meta({ description: "The whole answer as one text for a person or a model." }),
  })
  .meta({ id: "EditResult" });

export const VersionInput = z.object({ id: Id, version: Version });

export const WorkflowDiagramInput = z.object({
  id: Id,
  version: Version.optional().meta({ description: "The newest when absent." }),
  format: Format,
});

export const ListVersionsInput = z.object({ id: Id, ...pageInput });

const VersionSummary = z
  .object({ version: Version, createdAt: Instant, createdBy: z.string() })
  .meta({ id: "VersionSummary" });

export const VersionPage = pageOf(VersionSummary);

export const WorkflowVersion = z
  .object({
    id: z.uuid(),
    version: Version,
    createdAt: Instant,
    createdBy: z.string(),
    workflow: WorkflowDocument,
  })
  .meta({ id: "WorkflowVersion" });

export const RestoreInput = z.object({ id: Id, version: Version, expectedVersion: ExpectedVersion });

export const RunWorkflowInput = z.object({
  id: Id,
  input: z.json().default({}).meta({ description: "Any JSON value; the output of the trigger block." }),
  idempotencyKey: z
    .string()
    .min(1)
    .max(255)
    .optional()
    .meta({ description: "Same key, same input: same run. Over REST also the Idempotency-Key header." }),
  version: Version.optional().meta({ description: "Run this version instead of the newest." }),
});

export const RunStarted = z.object({ runId: z.uuid() }).meta({ id: "RunStarted" });
