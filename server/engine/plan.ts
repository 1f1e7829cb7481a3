import type { Connector } from "../connectors/define-connector.js";
import type { Block, Connection, WorkflowDocument } from "../workflows/document.js";
import { Graph, topologicalOrder } from "../workflows/graph.js";
import { RunFailedError } from "./run-error.js";

/** Where the connections of a block with `onError: branch` start that are taken when it has failed. */
export const ERROR_HANDLE = "error";

/** Finds connectors by type. */
export interface ConnectorLookup {
  get(type: string): Connector | undefined;
}

/** A block with what the walk needs to know of it. */
export interface PlannedBlock {
  readonly block: Block;
  /** Absent when this server has no connector of the block's type. */
  readonly connector: Connector | undefined;
  readonly incoming: readonly Connection[];
}

/** A document made ready for walking. */
export interface Plan {
  /** Every block after those it depends on, otherwise in document order. */
  readonly blocks: readonly PlannedBlock[];
  readonly variables: Readonly<Record<string, unknown>>;
  /** Ids of named blocks, the first where names repeat; a name that is an id stands for that id. */
  readonly nameToId: Readonly<Record<string, string>>;
  get(blockId: string): PlannedBlock;
  /**
   * Pure blocks that depend on nothing but `blockId` and each other, in walking order: they may run in the same
   * durable step. Empty unless the block itself is pure.
   */
  followers(blockId: string): readonly PlannedBlock[];
}

/**
 * Makes a document ready for walking; the result may be kept as long as document and connectors live.
 * @throws RunFailedError `invalid_workflow` for what validation should have stopped: repeated ids, connections to
 * blocks that do not exist, cycles.
 */
export function planDocument(document: WorkflowDocument, connectors: ConnectorLookup): Plan {
  const incoming = new Map<string, Connection[]>(document.blocks.map(({ id }) => [id, []]));
  if (incoming.size < document.blocks.length) throw invalid("two blocks have the same id");
  for (const connection of document.connections) {
    const target = incoming.get(connection.target);
    if (target === undefined || !incoming.has(connection.source)) {
      throw invalid(
        `the connection ${connection.source} → ${connection.target} names a block that does not exist`,
      );
    }
    target.push(connection);
  }
  const byId = new Map<string, PlannedBlock>(
    document.blocks.map((block) => [
      block.id,
      { block, connector: connectors.get(block.type), incoming: incoming.get(block.id) ?? [] },
    ]),
  );
  const order = topologicalOrder([...byId.keys()], new Graph(document.connections));
  if (order.length < byId.size) throw invalid("its connections form a cycle");
  const blocks = order.flatMap((id) => byId.get(id) ?? []);
  const followers = new Map<string, readonly PlannedBlock[]>();
  return {
    blocks,
    variables: document.variables,
    nameToId: nameBlocks(document.blocks),
    get(blockId) {
      const planned = byId.get(blockId);
      if (planned === undefined) throw invalid(`there is no block ${blockId}`);
      return planned;
    },
    followers(blockId) {
      const found = followers.get(blockId) ?? findFollowers(blocks, blockId);
      followers.set(blockId, found);
      return found;
    },
  };
}

function nameBlocks(blocks: readonly Block[]): Record<string, string> {
  const ids = new Set(blocks.map(({ id }) => id));
  const named = blocks.filter(({ name }) => name !== undefined && !ids.has(name));
  return Object.fromEntries(named.map(({ id, name }) => [name, id]).reverse());
}

function findFollowers(blocks: readonly PlannedBlock[], blockId: string): PlannedBlock[] {
  const step = new Set<string>();
  const followers: PlannedBlock[] = [];
  for (const planned of blocks) {
    if (!isPure(planned)) continue;
    if (planned.block.id === blockId) step.add(blockId);
    else if (
      planned.incoming.length > 0 &&
      planned.incoming.every((connection) => isPlain(connection, step))
    ) {
      step.add(planned.block.id);
      followers.push(planned);
    }
  }
  return followers;
}

/** Whether the connection is taken for certain once the step's blocks have completed. */
function isPlain({ source, sourceHandle, condition }: Connection, step: ReadonlySet<string>): boolean {
  return step.has(source) && sourceHandle !== ERROR_HANDLE && condition === undefined;
}

function isPure({ block, connector }: PlannedBlock): boolean {
  if (!block.enabled || connector === undefined) return false;
  return connector.kind === "trigger" || (connector.kind === "compute" && connector.effect === "pure");
}

function invalid(reason: string): RunFailedError {
  return new RunFailedError({ code: "invalid_workflow", message: `The workflow cannot run: ${reason}.` });
}
