import { z } from "zod";
import { attemptKinds, attemptStatuses } from "../../server/engine/steps/attempt-kinds.js";
import { blockStates } from "../../server/runs/block-states.js";
import { runStates, triggerKinds } from "../../server/runs/run-kinds.js";
import { Id, Instant, InstantInput, pageInput, pageOf } from "./common.js";
import { Format } from "./diagram.js";

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

const BlockState = z.enum(blockStates).meta({
  id: "BlockState",
  description:
    "retrying: the pause before another try. skipped: disabled, or no taken path leads to it. canceled: the end of the run cut it short.",
});

const BlockStatus = z
  .object({
    state: BlockState,
    attempts: z.int().min(0).meta({ description: "Tries so far, of all items of a loop together." }),
    startedAt: Instant.nullable(),
    finishedAt: Instant.nullable(),
    waitingUntil: Instant.nullable().meta({
      description:
        "While waiting or retrying: when that ends by itself, of items the first; null where nothing limits the wait.",
    }),
    items: z
      .partialRecord(BlockState, z.int().min(1))
      .optional()
      .meta({ description: "Inside a loop: how many items stand how, as far as they have begun." }),
  })
  .meta({ id: "BlockStatus" });

export const Run = z
  .object({
    ...summary,
    blocks: z
      .record(z.string(), BlockStatus)
      .meta({ description: "Every block of the version that the run is pinned to, by its id." }),
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

/** A line that a block wrote to its log. */
const LogLine = z.object({
  at: z.iso.datetime(),
  level: z.enum(["info", "warn", "error"]),
  message: z.string(),
  fields: z.record(z.string(), z.unknown()).optional(),
});

export const LogPage = pageOf(
  z
    .object({
      id: z.string(),
      name: z.string().meta({ description: "Name of the durable step." }),
      blockId: z.string(),
      kind: z.enum(attemptKinds).meta({
        description:
          "block: a try of the block. wait: what it waits for. backoff: the pause before another try.",
      }),
      status: z.enum(attemptStatuses),
      attempt: z.int().min(1),
      item: z.string().nullable().meta({
        description:
          "Index of the item inside a loop, such as 12, or 12.3 inside of two; null outside of loops.",
      }),
      input: z.unknown().meta({ description: "The parameters it ran with, without secrets." }),
      output: z.unknown(),
      error: z.looseObject({ code: z.string(), message: z.string() }).nullable(),
      lines: z.array(LogLine),
      startedAt: Instant,
      finishedAt: Instant.nullable(),
      durationMs: z.number().nullable(),
    })
    .meta({ id: "StepAttempt" }),
);

export const RunDiagramInput = z.object({ runId: Id, format: Format });

export const StreamInput = z.object({
  runId: Id,
  lastEventId: z.string().max(8_000).optional().meta({
    description:
      "Go on behind the event with this id. Over REST the header Last-Event-ID says the same and wins.",
  }),
});
