import { applyEditOperations } from "../../server/workflows/apply-edit-operations.js";
import type { WorkflowDocument } from "../../server/workflows/document.js";
import { documentOf, sampleBlockTypes } from "./sample-block-types.js";

/** A document without anything. */
export const empty = documentOf({});

/** a → b → c, with a trigger in front of a. */
export const chain = documentOf({
  blocks: [
    { id: "start", type: "trigger_webhook" },
    { id: "a", type: "transform", params: { template: "{{trigger.x}}" } },
    { id: "b", type: "transform", name: "Second", params: { template: 1 }, position: { x: 1, y: 2 } },
    { id: "c", type: "http", params: { url: "https://example.com" } },
  ],
  connections: [
    { source: "start", target: "a" },
    { source: "a", target: "b" },
    { source: "b", target: "c" },
  ],
});

/** Applies the batch, with the sample block types. */
export function apply(document: WorkflowDocument, ...ops: unknown[]) {
  return applyEditOperations(document, ops, sampleBlockTypes);
}

/** Why operations of the batch were skipped, in order. */
export function codes(document: WorkflowDocument, ...ops: unknown[]) {
  return apply(document, ...ops).skipped.map((item) => item.reason_code);
}

/** Adds a transform. */
export const add = (block_id: string, more: object = {}) => ({
  operation_type: "add",
  block_id,
  type: "transform",
  ...more,
});
/** Changes a block. */
export const update = (block_id: string, more: object = {}) => ({
  operation_type: "update",
  block_id,
  ...more,
});
/** Removes a block. */
export const remove = (block_id: string) => ({ operation_type: "remove", block_id });
/** Connects two blocks. */
export const connect = (block_id: string, target_block_id: string, more: object = {}) => ({
  operation_type: "connect",
  block_id,
  target_block_id,
  ...more,
});
/** Removes connections between two blocks. */
export const disconnect = (block_id: string, target_block_id: string, more: object = {}) => ({
  ...connect(block_id, target_block_id, more),
  operation_type: "disconnect",
});
