import { z } from "zod";
import type { Block } from "./document.js";

/** The one table of what validation can find, each code with what it means. Codes are stable. */
export const validationCodes = {
  duplicate_block_id: "Two or more blocks have the same id.",
  block_type_not_registered: "This server knows no block type of this name.",
  missing_param: "A required parameter is not set.",
  invalid_param: "A parameter's value does not fit its schema.",
  unknown_param: "The block type has no such parameter.",
  hidden_param_in_input: "The parameter is filled by the server and may not be in a document.",
  malformed_reference: "A text opens a reference with {{ that cannot be read.",
  reference_not_filled: "A reference stands in a parameter in which none is filled.",
  reference_block_not_found: "A reference names a block that does not exist.",
  reference_ambiguous: "A reference names a block by a name that several blocks have.",
  reference_not_upstream: "A reference names a block that no path of enabled blocks leads from.",
  reference_inside_loop: "A reference from outside of a loop names a block of the loop's body.",
  reference_output_not_declared: "A reference names an output that the block's type does not declare.",
  reference_variable_not_found: "A reference names a variable that the document does not have.",
  reference_type_mismatch: "The value that a reference or template gives cannot be what the parameter takes.",
  secret_not_allowed: "A secret is referenced where secrets may not be used.",
  invalid_condition: "A connection's condition cannot be read.",
  invalid_expression: "A parameter's expression cannot be read.",
  unknown_handle: "A connection starts at a handle that its source does not have.",
  error_not_caught:
    "The handle error of a block, or its output error, is used, but the block's onError is fail.",
  invalid_edge_source: "A connection starts at a block that does not exist.",
  invalid_edge_target: "A connection ends at a block that does not exist, or at a trigger.",
  duplicate_connection: "Two blocks are connected twice through the same source handle.",
  crosses_loop: "A block is reached both from inside of a loop's body and from outside of it.",
  loop_without_body: "Nothing is connected to the handle each of a loop.",
  too_many_steps: "A run of the workflow, or one item of a loop, could need more steps than a run may take.",
  invalid_settings: "A setting of the workflow does not have the form it needs.",
  cycle: "Blocks lead to each other in a circle.",
} as const satisfies Record<string, string>;

/** A stable code: a key of the table. */
export const ValidationCode = z.enum(Object.keys(validationCodes) as [keyof typeof validationCodes]);
export type ValidationCode = keyof typeof validationCodes;

/** One reason why a document cannot run. */
export const ValidationError = z.object({
  /** The block at fault; for a connection its source. */
  block_id: z.string().nullable(),
  /** Null where no such block exists. */
  block_type: z.string().nullable(),
  code: ValidationCode,
  /** Path of the parameter, such as `headers.accept`, or of the connection, such as `connections[2].condition`. */
  field: z.string().optional(),
  /** The value at fault where it is short and no secret. */
  value: z.unknown().optional(),
  /** What is wrong and what to do. */
  error: z.string(),
});
export type ValidationError = z.infer<typeof ValidationError>;

/** An error of a block; null where there is none to blame. */
export function errorAt(block: Block | undefined, code: ValidationCode, error: string): ValidationError {
  return { block_id: block?.id ?? null, block_type: block?.type ?? null, code, error };
}
