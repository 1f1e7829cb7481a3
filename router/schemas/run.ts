import { z } from "zod";
import { runStates, triggerKinds } from "../../server/runs/run-kinds.js";
import { Id, Instant, InstantInput, pageInput, pageOf } from "./common.js";

const RunState = z.enum(runStates).meta({ id: "RunState" });
const TriggerKind = z.enum(triggerKinds);

const RunTrigger = z.looseObject({ kind: TriggerKind }).meta({ id: "RunTrigger" });

const summary = {
  id: z.uuid(),
  workflowId: z.uuid(),
  workflowVersion: z.int(),
  state: RunState,
  trigger: RunTrigger,
  createdAt: Instant,
  startedAt: Instant.nullable(),
  finishedAt: Instant.nullable(),
};

const RunSummary = z.object(summary).meta({ id: "RunSummary" });

/** Why a run failed: a stable code, a sentence, and the block and attempt it happened in. */
const RunError = z
  .object({
    code: z.string(),
    message: z.string(),
    blockId: z.string().optional(),
    attempt: z.int().optional(),
  })
  .meta({ id: "RunError" });

export const Run = z
  .object({
    ...summary,
    input: z.unknown(),
    output: z.object({ outputs: z.record(z.string(), z.unknown()) }).nullable(),
    error: RunError.nullable(),
  })
  .meta({ id: "Run" });

export const RunIdInput = z.object({ runId: Id });

export const ListRunsInput = z.object({
  workflowId: Id.optional(),
  state: RunState.optional(),
  trigger: TriggerKind.optional(),
  createdAfter: InstantInput.optional(),
  createdBefore: InstantInput.optional(),
  ...pageInput,
});

export const RunPage = pageOf(RunSummary);

export const ListLogsInput = z.object({ runId: Id, limit: pageInput.limit, after: pageInput.after });

export const LogPage = pageOf(
  z
    .object({
      id: z.string(),
      name: z.string().meta({ description: "Name of the durable step." }),
      blockId: z.string().nullable(),
      kind: z.string(),
      status: z.string(),
      attempt: z.int().min(1),
      output: z.unknown(),
      error: z.looseObject({ code: z.string(), message: z.string() }).nullable(),
      startedAt: Instant.nullable(),
      finishedAt: Instant.nullable(),
    })
    .meta({ id: "StepAttempt" }),
);
