import type { Connection, WorkflowDocument } from "./document.js";
import { Graph, topologicalOrder } from "./graph.js";

/** Type of the block that runs its body once per item. */
export const LOOP_TYPE = "for_each";
/** Where the connections into a loop's body start. */
export const EACH_HANDLE = "each";

/** In which loops the blocks of a document lie. */
export interface LoopPaths {
  /** Ids of the loops around a block, outermost first; empty outside of loops. */
  of(blockId: string): readonly string[];
  /** Blocks that paths of different loops lead to, so that it is not clear how often they would run. */
  readonly conflicts: readonly string[];
}

/**
 * Says for every block which loops it lies in: the body of a loop is everything that its `each` exit leads to. A block
 * without incoming connections lies in none; a block on or behind a cycle counts as outside.
 */
export function loopPathsOf({
  blocks,
  connections,
}: Pick<WorkflowDocument, "blocks" | "connections">): LoopPaths {
  const loops = new Set(blocks.filter(({ type }) => type === LOOP_TYPE).map(({ id }) => id));
  const paths = new Map<string, readonly string[]>();
  const conflicts: string[] = [];
  const incoming = new Map<string, Connection[]>(blocks.map(({ id }) => [id, []]));
  for (const connection of connections) incoming.get(connection.target)?.push(connection);
  const order = topologicalOrder(
    blocks.map(({ id }) => id),
    new Graph(connections),
  );
  for (const id of order) {
    // The innermost loop tells a path, because it lies in no other loops than its own path names.
    const leading = (incoming.get(id) ?? []).flatMap(({ source, sourceHandle }) => {
      const path = paths.get(source);
      if (path === undefined) return [];
      return [loops.has(source) && sourceHandle === EACH_HANDLE ? source : (path.at(-1) ?? null)];
    });
    const [innermost = null] = leading;
    if (leading.some((loop) => loop !== innermost)) conflicts.push(id);
    paths.set(id, innermost === null ? [] : [...(paths.get(innermost) ?? []), innermost]);
  }
  return { of: (blockId) => paths.get(blockId) ?? [], conflicts };
}
