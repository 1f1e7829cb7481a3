import { z } from "zod";
import { condition } from "../../server/connectors/builtin/condition.js";
import { expression, hidden, literal, secret } from "../../server/connectors/define-connector.js";
import type { BlockType, BlockTypes } from "../../server/workflows/block-types.js";
import { type Block, type Connection, WorkflowDocument } from "../../server/workflows/document.js";

const trigger: BlockType = {
  type: "trigger_webhook",
  kind: "trigger",
  params: z.object({}),
  outputs: z.looseObject({}),
  hasOpenOutputs: true,
};

const transform: BlockType = {
  type: "transform",
  kind: "compute",
  params: z.object({ template: z.json() }),
  outputs: z.object({ result: z.json() }),
  hasOpenOutputs: false,
};

const http: BlockType = {
  type: "http",
  kind: "compute",
  params: z.object({
    url: z.url(),
    method: z.enum(["GET", "POST"]).optional(),
    headers: secret(z.record(z.string(), z.string()).optional()),
    body: secret(z.union([z.string(), z.object({ amount: z.number() })]).optional()),
    timeoutMs: z.int().min(1).max(1_000).optional(),
    tries: z.array(z.number()).optional(),
    accessToken: hidden(z.string()),
  }),
  outputs: z.object({
    status: z.int(),
    body: z.json(),
    headers: z.record(z.string(), z.string()),
    note: z.string().nullable(),
    items: z.array(z.object({ id: z.string(), price: z.number() })),
    flag: z.boolean(),
  }),
  hasOpenOutputs: false,
};

const wait: BlockType = {
  type: "wait_duration",
  kind: "wait",
  params: z.object({ duration: z.number(), unit: z.enum(["ms", "s"]) }),
  outputs: z.object({ resumedAt: z.iso.datetime() }),
  hasOpenOutputs: false,
};

const compute: BlockType = {
  type: "compute",
  kind: "compute",
  params: z.object({
    formula: expression(z.string()).optional(),
    columns: z.record(z.string(), expression(z.string())).optional(),
    query: literal(z.string()).optional(),
  }),
  outputs: z.object({ value: z.json() }),
  hasOpenOutputs: false,
};

const loop: BlockType = {
  type: "for_each",
  kind: "wait",
  params: z.object({ items: z.array(z.json()) }),
  outputs: z.object({ results: z.array(z.json()), count: z.int() }),
  hasOpenOutputs: false,
  exits: { of: () => ["each", "done"], taken: () => ["done"] },
};

const all = new Map(
  [http, transform, trigger, wait, compute, loop, { ...condition, hasOpenOutputs: false }].map((type) => [
    type.type,
    type,
  ]),
);

/**
 * A trigger, a wait, a loop, the real condition and computing types: `http` with every kind of parameter and output,
 * `compute` with expressions and a literal text.
 */
export const sampleBlockTypes: BlockTypes = { get: (type) => all.get(type), types: () => [...all.keys()] };

/** A document of these parts; what is left out gets its empty value. */
export function documentOf(parts: {
  blocks?: (Partial<Block> & { id: string; type: string })[];
  connections?: Connection[];
  variables?: WorkflowDocument["variables"];
  settings?: WorkflowDocument["settings"];
}): WorkflowDocument {
  return WorkflowDocument.parse(parts);
}
