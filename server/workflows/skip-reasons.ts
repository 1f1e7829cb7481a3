import { z } from "zod";

/** What a reason code means and what its sender does next. */
export interface SkipReason {
  readonly description: string;
  readonly remedy: string;
}

/** The one table of reasons why an edit operation, or a part of it, was not applied. Codes are stable. */
export const skipReasons = {
  malformed_op: {
    description: "The operation is not an object of the expected shape; nothing of it was applied.",
    remedy: "Send the fields that the reason names, as it names them.",
  },
  invalid_block_id: {
    description: "The id of the block to add has a form that ids cannot have.",
    remedy:
      "Use 1 to 64 letters, digits, _ or -, starting with a letter or _; trigger, vars, secrets and __proto__ are taken.",
  },
  block_already_exists: {
    description: "A block with this id is in the workflow already.",
    remedy: "Use update to change it, or add the block under another id.",
  },
  block_not_found: {
    description: "No block with this id is in the workflow at this point of the batch.",
    remedy: "Use the id of an existing block, or add the block earlier in the batch.",
  },
  block_type_not_registered: {
    description: "This server knows no block type of this name.",
    remedy: "Use one of the nearest types that the reason names, or read GET /api/connectors.",
  },
  hidden_param_in_input: {
    description:
      "The server fills this parameter itself; it was dropped and the rest of the operation applied.",
    remedy: "Leave the parameter out.",
  },
  unknown_param: {
    description:
      "The block type has no such parameter; it was dropped and the rest of the operation applied.",
    remedy: "Use the parameter that the reason names, or read GET /api/connectors/{type}.",
  },
  invalid_edge_source: {
    description: "The connection would start at a block that is not in the workflow.",
    remedy: "Add the source block earlier in the batch, or use the id of an existing one.",
  },
  invalid_edge_target: {
    description: "The connection would end at a block that is not in the workflow, or at a trigger.",
    remedy:
      "Add the target block earlier in the batch, or use the id of an existing block that is not a trigger.",
  },
  duplicate_connection: {
    description: "The two blocks are connected already through this source handle.",
    remedy: "Nothing is needed; to change its condition, disconnect first.",
  },
  edge_not_found: {
    description: "There is no such connection to remove.",
    remedy: "Check both ids and the source handle.",
  },
  cycle_introduced: {
    description: "The connection would close a cycle.",
    remedy: "Connect only from earlier blocks to later ones.",
  },
  limit_exceeded: {
    description: "The batch or the workflow would hold more than the server allows.",
    remedy: "Send the rest in another batch, or split the workflow.",
  },
} as const satisfies Record<string, SkipReason>;

/** A stable reason code: a key of the table. */
export const SkipReasonCode = z.enum(Object.keys(skipReasons) as [keyof typeof skipReasons]);
export type SkipReasonCode = keyof typeof skipReasons;

/** One thing that a batch did not apply: a whole operation, or one parameter of it. */
export const SkippedItem = z.object({
  /** Position in `ops`, from 0. */
  op_index: z.int().min(0),
  /** As it was sent; null when it cannot be read. */
  operation_type: z.string().nullable(),
  /** As it was sent; null when it cannot be read. */
  block_id: z.string().nullable(),
  reason_code: SkipReasonCode,
  /** What is wrong and what to send instead. */
  reason: z.string(),
  details: z.record(z.string(), z.unknown()).optional(),
});
export type SkippedItem = z.infer<typeof SkippedItem>;
