import { z } from "zod";

/** Most blocks in one document. */
export const MAX_BLOCKS = 500;
/** Most connections in one document. */
export const MAX_CONNECTIONS = 2_000;
/** Longest name of a workflow or block, in characters. */
export const MAX_NAME_LENGTH = 200;

/**
 * Block ids appear in references, step names and edges, so they are plain words: a letter or underscore, then
 * letters, digits, underscores or dashes, 64 characters at most; `trigger`, `vars`, `secrets` and
 * `__proto__` are taken.
 */
export const BLOCK_ID_PATTERN = /^(?!(?:trigger|vars|secrets|__proto__)$)[A-Za-z_][A-Za-z0-9_-]{0,63}$/;

/** How often and how fast a failed attempt of a block is tried again; times in milliseconds. */
export const RetryPolicy = z.object({
  maxAttempts: z.int().min(1).max(20).optional().meta({ description: "The first attempt counts." }),
  initialMs: z.int().min(0).max(3_600_000).optional().meta({ description: "Pause after the first attempt." }),
  maxMs: z.int().min(0).max(86_400_000).optional().meta({ description: "Longest pause." }),
  factor: z.number().min(1).max(10).optional().meta({ description: "How much each pause is longer." }),
  on: z.array(z.string().min(1).max(100)).min(1).max(50).optional().meta({
    description: "Error codes to try again for; absent: every failure that another attempt can help.",
  }),
});
export type RetryPolicy = z.infer<typeof RetryPolicy>;

/** One block. `params` is checked against its connector by validation, not by this schema. */
export const Block = z.looseObject({
  id: z
    .string()
    .regex(BLOCK_ID_PATTERN, "a block id is 1 to 64 letters, digits, _ or -, starting with a letter or _"),
  type: z.string().min(1).max(100),
  name: z.string().min(1).max(MAX_NAME_LENGTH).optional(),
  enabled: z.boolean().default(true).meta({ description: "A disabled block is left out of runs." }),
  params: z.record(z.string(), z.json()).default({}).meta({
    description:
      "Parameters of the block type, see GET /api/connectors. Texts may hold references: {{trigger.path}}, {{vars.path}}, {{block_id.path}}, and {{secrets.NAME}} where the parameter allows it.",
  }),
  position: z.object({ x: z.number(), y: z.number() }).optional(),
  retry: RetryPolicy.optional().meta({ description: "Absent: the retry of the block type." }),
  timeoutMs: z.int().min(1).max(86_400_000).optional().meta({
    description:
      "Longest time of one attempt; the block fails with timeout then. What a block waits for is closed: an approval and another run are canceled. A timer that is longer fails when it passes.",
  }),
  onError: z.enum(["fail", "continue", "branch"]).optional().meta({
    description:
      "After the last attempt has failed. fail, the default, ends the run. branch takes only the connections with the handle error, continue takes these and the plain ones. The failure is the output {{block_id.error}}: code and message.",
  }),
  join: z.enum(["all", "any"]).optional().meta({
    description: "all, the default, waits for every taken path into the block; any starts it with the first.",
  }),
});
export type Block = z.infer<typeof Block>;

/** Whether a run goes on after a failure of the block, which then has `error` as an output. */
export function isCaught({ onError }: Block): boolean {
  return onError === "continue" || onError === "branch";
}

/** A directed edge; two edges between the same blocks differ by `sourceHandle`. */
export const Connection = z.looseObject({
  source: z.string().min(1).max(64),
  target: z.string().min(1).max(64),
  sourceHandle: z.string().min(1).max(100).optional().meta({
    description:
      "The exit of the source that takes this connection: error of any block with onError, or one of the handles of its block type, such as each of for_each. Absent: taken whenever the source has completed.",
  }),
  condition: z.string().min(1).max(2_000).optional().meta({
    description:
      "A JSONata expression over trigger, vars and blocks upstream; the connection is taken only when its value is truthy.",
  }),
});
export type Connection = z.infer<typeof Connection>;

const name = z.string().min(1).max(MAX_NAME_LENGTH);
const description = z.string().max(5_000);
const tags = z.array(z.string().min(1).max(50)).max(20);

/** What people call a workflow and how they find it. */
export const Metadata = z.looseObject({
  name: name.default("Untitled workflow"),
  description: description.default(""),
  tags: tags.default([]),
});
export type Metadata = z.infer<typeof Metadata>;

/** Metadata as far as a client sets it; nothing is filled in. */
export const PartialMetadata = z.looseObject({
  name: name.optional(),
  description: description.optional(),
  tags: tags.optional(),
});
export type PartialMetadata = z.infer<typeof PartialMetadata>;

/** How runs of the workflow are guarded. */
export const Settings = z.looseObject({
  deadlineMs: z.int().min(1_000).max(31_622_400_000).optional().meta({
    description: "Longest time a run may take; it fails with deadline_exceeded then.",
  }),
  onFailure: z
    .looseObject({ workflowId: z.string().min(1).max(100) })
    .optional()
    .meta({
      description:
        "A workflow of the same organization that is started when a run has failed. Its input is {runId, workflowId, workflowName, error, input}.",
    }),
});
export type Settings = z.infer<typeof Settings>;

/** The whole workflow as data. Every part that a client leaves out gets its empty value; unknown fields are kept. */
export const WorkflowDocument = z
  .looseObject({
    version: z.string().max(20).default("1.0.0"),
    metadata: Metadata.default({ name: "Untitled workflow", description: "", tags: [] }),
    blocks: z.array(Block).max(MAX_BLOCKS).default([]),
    connections: z.array(Connection).max(MAX_CONNECTIONS).default([]),
    variables: z.record(z.string(), z.json()).default({}),
    settings: Settings.optional(),
  })
  .meta({ id: "WorkflowDocument" });
export type WorkflowDocument = z.infer<typeof WorkflowDocument>;
