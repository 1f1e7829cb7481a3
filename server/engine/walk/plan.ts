import type { Connector } from "../../connectors/define-connector.js";
import type { Block, Connection, WorkflowDocument } from "../../workflows/document.js";
import { Graph, topologicalOrder } from "../../workflows/graph.js";
import { EACH_HANDLE, LOOP_TYPE, loopPathsOf } from "../../workflows/loop-paths.js";
import { RunFailedError } from "../run-error.js";
import { stepsOfBlock } from "../steps/step-budget.js";

/** Where the connections of a block with `onError: branch` start that are taken when it has failed. */
export const ERROR_HANDLE = "error";

/** Finds connectors by type. */
export interface ConnectorLookup {
  get(type: string): Connector | undefined;
}

/** A connection with its position in the document, by which records name it. */
export type PlannedConnection = Connection & { readonly index: number };

/** A block with what the walk needs to know of it. */
export interface PlannedBlock {
  readonly block: Block;
  /** Absent when this server has no connector of the block's type. */
  readonly connector: Connector | undefined;
  readonly incoming: readonly PlannedConnection[];
  /** Those into the body of a loop are not the loop's own. */
  readonly outgoing: readonly PlannedConnection[];
}

/** A document, or the body of one of its loops, made ready for walking. */
export interface Plan {
  /** Every block after those it depends on, otherwise in document order; blocks in bodies of loops are not among them. */
  readonly blocks: readonly PlannedBlock[];
  readonly variables: Readonly<Record<string, unknown>>;
  /** Ids of named blocks, the first where names repeat; a name that is an id stands for that id. */
  readonly nameToId: Readonly<Record<string, string>>;
  /** Step attempts that walking once can take at most. */
  readonly worstSteps: number;
  /** Where the body starts; empty outside of bodies. */
  readonly entries: readonly PlannedConnection[];
  get(blockId: string): PlannedBlock;
  /**
   * Pure blocks that depend on nothing but `blockId` and each other, in walking order: they may run in the same
   * durable step. Empty unless the block itself is pure.
   */
  followers(blockId: string): readonly PlannedBlock[];
  /** Ids of the blocks, bodies left out, from which a path leads to the block. */
  ancestorsOf(blockId: string): ReadonlySet<string>;
  /** The body of a loop of the document, at any depth. */
  body(loopId: string): Plan;
}

/**
 * Makes a document ready for walking; the result may be kept as long as document and connectors live.
 * @throws RunFailedError `invalid_workflow` for what validation should have stopped: repeated ids, connections to
 * blocks that do not exist, cycles, connections across the border of a loop.
 */
export function planDocument(document: WorkflowDocument, connectors: ConnectorLookup): Plan {
  const ids = new Set(document.blocks.map(({ id }) => id));
  if (ids.size < document.blocks.length) throw invalid("two blocks have the same id");
  for (const { source, target } of document.connections) {
    if (!ids.has(source) || !ids.has(target)) {
      throw invalid(`the connection ${source} → ${target} names a block that does not exist`);
    }
  }
  const graph = new Graph(document.connections);
  const order = topologicalOrder([...ids], graph);
  if (order.length < ids.size) throw invalid("its connections form a cycle");
  const paths = loopPathsOf(document);
  const [conflict] = paths.conflicts;
  if (conflict !== undefined)
    throw invalid(`the block ${conflict} is reached from inside and outside of a loop`);
  return planLevels(document, connectors, { order, graph, loopOf: (id) => paths.of(id).at(-1) ?? null });
}

interface Layout {
  readonly order: readonly string[];
  readonly graph: Graph;
  /** The innermost loop around a block. */
  readonly loopOf: (blockId: string) => string | null;
}

/** One plan for the blocks outside of loops and one for the body of each loop. */
function planLevels(document: WorkflowDocument, connectors: ConnectorLookup, layout: Layout): Plan {
  const connections = document.connections.map((connection, index) => ({ ...connection, index }));
  const isEntry = ({ source, target }: Connection) => layout.loopOf(target) === source;
  const byId = new Map(document.blocks.map((block) => [block.id, block]));
  const incoming = groupBy(connections, ({ target }) => target);
  const outgoing = groupBy(connections, ({ source }) => source);
  const planned = layout.order.flatMap((id): PlannedBlock[] => {
    const block = byId.get(id);
    if (block === undefined) return [];
    return [
      {
        block,
        connector: connectors.get(block.type),
        incoming: incoming.get(id) ?? [],
        outgoing: (outgoing.get(id) ?? []).filter((connection) => !isEntry(connection)),
      },
    ];
  });
  const shared = { variables: document.variables, nameToId: nameBlocks(document.blocks) };
  const blocksOf = groupBy(planned, ({ block }) => layout.loopOf(block.id));
  const levels = new Map<string | null, Plan>();
  const body = (loopId: string) => {
    const level = levels.get(loopId);
    if (level === undefined) throw invalid(`${loopId} is no loop`);
    return level;
  };
  const loops = document.blocks.filter(({ type }) => type === LOOP_TYPE).map(({ id }) => id);
  for (const loopId of [null, ...loops]) {
    const entries = (outgoing.get(loopId ?? "") ?? []).filter(
      ({ sourceHandle }) => sourceHandle === EACH_HANDLE,
    );
    levels.set(loopId, { ...shared, body, ...planLevel(blocksOf.get(loopId) ?? [], entries, layout.graph) });
  }
  return levels.get(null) ?? body("");
}

function groupBy<Item, Key>(items: readonly Item[], keyOf: (item: Item) => Key): Map<Key, Item[]> {
  const groups = new Map<Key, Item[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key) ?? [];
    groups.set(key, group);
    group.push(item);
  }
  return groups;
}

function planLevel(
  blocks: readonly PlannedBlock[],
  entries: readonly PlannedConnection[],
  graph: Graph,
): Omit<Plan, "variables" | "nameToId" | "body"> {
  const byId = new Map(blocks.map((each) => [each.block.id, each]));
  const followers = new Map<string, readonly PlannedBlock[]>();
  const decisionSteps = entries.some(({ condition }) => condition !== undefined) ? 1 : 0;
  return {
    blocks,
    entries,
    worstSteps: blocks.reduce(
      (sum, { block, connector }) => sum + stepsOfBlock(block, connector),
      decisionSteps,
    ),
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
    ancestorsOf: (blockId) =>
      new Set([...graph.ancestorsOf(blockId)].filter((ancestor) => byId.has(ancestor))),
  };
}

/** Whether the block starts with the first of several paths. */
export function isRace({ block, incoming }: PlannedBlock): boolean {
  return block.join === "any" && incoming.length > 1;
}

function nameBlocks(blocks: readonly Block[]): Record<string, string> {
  const ids = new Set(blocks.map(({ id }) => id));
  const named = blocks.filter(({ name }) => name !== undefined && !ids.has(name));
  return Object.fromEntries(named.map(({ id, name }) => [name, id]).reverse());
}

function findFollowers(blocks: readonly PlannedBlock[], blockId: string): PlannedBlock[] {
  const step = new Map<string, PlannedBlock>();
  const followers: PlannedBlock[] = [];
  for (const planned of blocks) {
    if (!isPure(planned)) continue;
    if (planned.block.id === blockId) step.set(blockId, planned);
    else if (
      planned.incoming.length > 0 &&
      !isRace(planned) &&
      planned.incoming.every((connection) => isPlain(connection, step))
    ) {
      step.set(planned.block.id, planned);
      followers.push(planned);
    }
  }
  return followers;
}

/** Whether the connection is taken for certain once the step's blocks have completed. */
function isPlain(
  { source, sourceHandle, condition }: Connection,
  step: ReadonlyMap<string, PlannedBlock>,
): boolean {
  const origin = step.get(source);
  if (origin === undefined || condition !== undefined || sourceHandle === ERROR_HANDLE) return false;
  return sourceHandle === undefined || origin.connector?.exits === undefined;
}

function isPure({ block, connector }: PlannedBlock): boolean {
  if (!block.enabled || connector === undefined) return false;
  return connector.kind === "trigger" || (connector.kind === "compute" && connector.effect === "pure");
}

function invalid(reason: string): RunFailedError {
  return new RunFailedError({ code: "invalid_workflow", message: `The workflow cannot run: ${reason}.` });
}
