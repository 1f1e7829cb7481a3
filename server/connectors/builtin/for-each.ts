import { z } from "zod";
import { EACH_HANDLE } from "../../workflows/loop-paths.js";
import type { LoopConnector } from "../define-connector.js";

/** Most items of one loop. */
export const MAX_LOOP_ITEMS = 10_000;

/** Parameters of `for_each`. */
export const ForEachParams = z.object({
  items: z.array(z.unknown()).meta({
    title: "Items",
    description:
      "The array to go through, mostly a reference such as {{load.body.rows}}; 10,000 items at most.",
  }),
  parallelism: z
    .int()
    .min(1)
    .max(50)
    .default(5)
    .meta({ title: "Parallelism", description: "Most items worked on at the same time." }),
  onItemError: z.enum(["fail", "skip"]).default("fail").meta({
    title: "When an item fails",
    description: "fail: no further item starts and the block fails with the cause; skip: the others go on.",
  }),
  maxItems: z
    .int()
    .min(1)
    .max(MAX_LOOP_ITEMS)
    .default(MAX_LOOP_ITEMS)
    .meta({ title: "Most items", description: "The block fails when there are more." }),
});
export type ForEachParams = z.infer<typeof ForEachParams>;

const Outputs = z.object({
  results: z
    .array(z.record(z.string(), z.unknown()).nullable())
    .describe("For each item the outputs of the body's blocks by block id; null for an item that failed."),
  errors: z
    .array(
      z.object({
        index: z.int(),
        code: z.string(),
        message: z.string(),
        blockId: z.string().nullable(),
      }),
    )
    .describe("Why items failed, by index."),
  count: z.int().describe("How many items there were."),
  succeeded: z.int(),
  failed: z.int(),
});
export type ForEachOutputs = z.infer<typeof Outputs>;

/** Runs the blocks behind its exit `each` once per item, some items at the same time. */
export const forEach: LoopConnector = {
  kind: "wait",
  isLoop: true,
  type: "for_each",
  name: "For each",
  description:
    "Runs the blocks behind its exit each once per item of an array. Inside, {{<id>.item}} and {{<id>.index}} are the item and its position from 0; after it, {{<id>.results}} holds what every item came to.",
  category: "flow",
  params: ForEachParams,
  outputs: Outputs,
  examples: [
    {
      title: "Go through rows, three at a time, and leave out those that fail",
      params: { items: "{{load.body.rows}}", parallelism: 3, onItemError: "skip" },
    },
  ],
  exits: { of: () => [EACH_HANDLE, "done"], taken: () => ["done"] },
};
