import { z } from "zod";
import { hidden, secret } from "../../server/connectors/define-connector.js";
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

const all = new Map([http, transform, trigger, wait].map((type) => [type.type, type]));

/** A trigger, two computing types (`http` with every kind of parameter and output) and a wait. */
export const sampleBlockTypes: BlockTypes = { get: (type) => all.get(type), types: () => [...all.keys()] };

/** A document of these parts; what is left out gets its empty value. */
export function documentOf(parts: {
  blocks?: (Partial<Block> & { id: string; type: string })[];
  connections?: Connection[];
  variables?: WorkflowDocument["variables"];
}): WorkflowDocument {
  return WorkflowDocument.parse(parts);
}
