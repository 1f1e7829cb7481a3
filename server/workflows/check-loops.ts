import type { BlockTypes } from "./block-types.js";
import type { Block, WorkflowDocument } from "./document.js";
import { EACH_HANDLE, LOOP_TYPE } from "./loop-paths.js";
import { errorAt, type ValidationError } from "./validation-error.js";

/** Loops without a body, and blocks of which it is not clear whether they lie in one. */
export function* checkLoops(
  { blocks, connections }: WorkflowDocument,
  byId: ReadonlyMap<string, Block>,
  blockTypes: BlockTypes,
  conflicts: readonly string[],
): Generator<ValidationError> {
  const withBody = new Set(
    connections.filter(({ sourceHandle }) => sourceHandle === EACH_HANDLE).map(({ source }) => source),
  );
  for (const block of blocks) {
    const isLoop = block.type === LOOP_TYPE && blockTypes.get(LOOP_TYPE) !== undefined;
    if (!isLoop || !block.enabled || withBody.has(block.id)) continue;
    const error = `Loop "${block.id}" has no body; connect it with source_handle "${EACH_HANDLE}" to what runs per item.`;
    yield errorAt(block, "loop_without_body", error);
  }
  for (const id of conflicts) {
    const error =
      `Block "${id}" is reached both from inside of a loop and from outside of it; disconnect one of the two: a body ` +
      `starts only at its loop's handle "${EACH_HANDLE}", and what comes after the loop starts at the loop itself.`;
    yield errorAt(byId.get(id), "crosses_loop", error);
  }
}
