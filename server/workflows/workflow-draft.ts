import type { BlockTypes } from "./block-types.js";
import {
  BLOCK_ID_PATTERN,
  type Block,
  type Connection,
  MAX_BLOCKS,
  MAX_CONNECTIONS,
  type WorkflowDocument,
} from "./document.js";
import { DraftParts } from "./draft-parts.js";
import type {
  AddOperation,
  ConfigureOperation,
  ConnectOperation,
  DisconnectOperation,
  EditOperation,
  RemoveOperation,
  UpdateOperation,
} from "./edit-operation.js";
import { excerpt } from "./excerpt.js";
import { Graph } from "./graph.js";
import { mergeParams } from "./merge-params.js";
import { nearestNames } from "./nearest-names.js";
import { type Refusal, refusal } from "./refusal.js";

/** What became of one operation: an applied one may still have lost parameters, each with its refusal. */
export interface Outcome {
  readonly isApplied: boolean;
  readonly refusals: readonly Refusal[];
}

/** Most handles that a refusal names. */
const MAX_NAMED_HANDLES = 20;

type Params = Map<string, Block["params"][string]>;
type BlockSettings = Omit<AddOperation, "operation_type" | "block_id" | "type" | "params">;

/** A private copy of a document that takes one operation after another; the document itself is never touched. */
export class WorkflowDraft {
  readonly #parts: DraftParts;
  readonly #blockTypes: BlockTypes;
  #blocks: Block[];
  #connections: Connection[];
  /** The first of each id: a replaced document may repeat one. */
  readonly #byId = new Map<string, Block>();
  readonly #graph: Graph;
  /** Copied once, not with every operation: a block may have tens of thousands of parameters. */
  readonly #params = new Map<Block, Params>();

  constructor(document: WorkflowDocument, blockTypes: BlockTypes) {
    this.#parts = new DraftParts(document);
    this.#blockTypes = blockTypes;
    this.#blocks = document.blocks.map((block) => ({ ...block }));
    this.#connections = [...document.connections];
    for (const block of this.#blocks) if (!this.#byId.has(block.id)) this.#byId.set(block.id, block);
    this.#graph = new Graph(document.connections);
  }

  /** The document as it stands now. */
  toDocument(): WorkflowDocument {
    const blocks = this.#blocks.map((block) => {
      const params = this.#params.get(block);
      return params === undefined ? block : { ...block, params: Object.fromEntries(params) };
    });
    return { ...this.#parts.toDocument(), blocks, connections: [...this.#connections] };
  }

  /** Applies the operation as far as it can be; a refused one leaves the draft as it was. */
  apply(operation: EditOperation): Outcome {
    switch (operation.operation_type) {
      case "add":
        return this.#add(operation);
      case "update":
      case "edit":
        return this.#update(operation);
      case "remove":
      case "delete":
        return this.#remove(operation);
      case "connect":
        return this.#connect(operation);
      case "disconnect":
        return this.#disconnect(operation);
      case "configure":
        return this.#configure(operation);
    }
  }

  #add({ operation_type: _, block_id: id, type, params = {}, ...settings }: AddOperation): Outcome {
    if (!BLOCK_ID_PATTERN.test(id)) {
      return refused(
        "invalid_block_id",
        `block_id "${excerpt(id)}" is not a block id; use 1 to 64 letters, digits, _ or -, starting with a letter ` +
          "or _, and none of trigger, vars, secrets, __proto__.",
      );
    }
    if (this.#byId.has(id)) {
      return refused(
        "block_already_exists",
        `Block "${id}" exists already; use update, or another block_id.`,
      );
    }
    const blockType = this.#blockTypes.get(type);
    if (blockType === undefined) {
      const nearest = nearestNames(type, this.#blockTypes.types());
      return refused(
        "block_type_not_registered",
        `Block type "${type}" is not registered; the nearest types are ${nearest.join(", ")}.`,
        { type, nearest },
      );
    }
    if (this.#blocks.length >= MAX_BLOCKS) {
      return refused(
        "limit_exceeded",
        `A workflow holds at most ${MAX_BLOCKS} blocks; remove one or split it.`,
        { limit: MAX_BLOCKS },
      );
    }
    const block: Block = { id, type, enabled: true, params: {} };
    const { refusals } = mergeParams(this.#paramsOf(block), params, blockType);
    assignSettings(block, settings);
    this.#blocks.push(block);
    this.#byId.set(id, block);
    return { isApplied: true, refusals };
  }

  #update({ operation_type: _, block_id: id, params = {}, ...settings }: UpdateOperation): Outcome {
    const block = this.#byId.get(id);
    if (block === undefined) return this.#refuseMissing("block_not_found", "block_id", id);
    const merged = mergeParams(this.#paramsOf(block), params, this.#blockTypes.get(block.type));
    const changes = merged.changes + assignSettings(block, settings);
    if (changes === 0 && merged.refusals.length === 0) {
      return refused(
        "malformed_op",
        "The update names nothing to change; give name, params, enabled, position, retry, timeoutMs, onError or join.",
      );
    }
    return { isApplied: changes > 0, refusals: merged.refusals };
  }

  #remove({ block_id: id }: RemoveOperation): Outcome {
    if (!this.#byId.delete(id)) return this.#refuseMissing("block_not_found", "block_id", id);
    this.#blocks = this.#blocks.filter((block) => block.id !== id);
    this.#dropConnections(({ source, target }) => source === id || target === id);
    return applied;
  }

  #connect({
    block_id: source,
    target_block_id: target,
    source_handle,
    condition,
  }: ConnectOperation): Outcome {
    const edge = { source, target };
    const sourceHandle = source_handle ?? undefined;
    const label = describeEdge(edge, sourceHandle);
    if (!this.#byId.has(source)) {
      return this.#refuseMissing("invalid_edge_source", "block_id", source);
    }
    const targetBlock = this.#byId.get(target);
    if (targetBlock === undefined) {
      return this.#refuseMissing("invalid_edge_target", "target_block_id", target);
    }
    if (this.#between(edge).some((connection) => connection.sourceHandle === sourceHandle)) {
      return refused(
        "duplicate_connection",
        `${label} exists already; to change its condition, disconnect it first.`,
      );
    }
    if (this.#graph.wouldCloseCycle(edge)) {
      return refused(
        "cycle_introduced",
        source === target
          ? `Block "${source}" cannot be connected to itself; choose another target_block_id.`
          : `${label} would close a cycle, because "${target}" leads to "${source}" already; disconnect that path first.`,
      );
    }
    if (this.#blockTypes.get(targetBlock.type)?.kind === "trigger") {
      return refused(
        "invalid_edge_target",
        `target_block_id: "${target}" is a trigger, which nothing can lead to; connect from it instead.`,
      );
    }
    if (this.#connections.length >= MAX_CONNECTIONS) {
      return refused(
        "limit_exceeded",
        `A workflow holds at most ${MAX_CONNECTIONS} connections; disconnect one first.`,
        { limit: MAX_CONNECTIONS },
      );
    }
    this.#connections.push({
      ...edge,
      ...(sourceHandle === undefined ? {} : { sourceHandle }),
      ...(condition == null ? {} : { condition }),
    });
    this.#graph.connect(edge);
    return applied;
  }

  #disconnect({ block_id: source, target_block_id: target, source_handle }: DisconnectOperation): Outcome {
    const between = this.#between({ source, target });
    const exact = between.filter(({ sourceHandle }) => sourceHandle === (source_handle ?? undefined));
    const chosen = new Set(exact.length === 0 && source_handle == null ? between : exact);
    if (chosen.size === 0) {
      const handles = between.slice(0, MAX_NAMED_HANDLES).map(({ sourceHandle }) => sourceHandle ?? null);
      const names = handles.map((handle) => (handle === null ? "none" : `"${handle}"`));
      const others = [...names, ...(between.length > handles.length ? ["…"] : [])].join(", ");
      return refused(
        "edge_not_found",
        `There is no ${describeEdge({ source, target }, source_handle ?? undefined, "connection")}` +
          (between.length === 0 ? "; check both ids." : `; the source_handle of those there: ${others}.`),
        between.length === 0 ? undefined : { source_handles: handles },
      );
    }
    this.#dropConnections((connection) => chosen.has(connection));
    return applied;
  }

  #configure({ settings = {}, variables = {}, metadata = {} }: ConfigureOperation): Outcome {
    if ([settings, variables, metadata].every((part) => Object.keys(part).length === 0)) {
      return refused(
        "malformed_op",
        "The operation names nothing to change; give settings, variables or metadata with at least one key.",
      );
    }
    this.#parts.change({ settings, variables, metadata });
    return applied;
  }

  /** The parameters of a block, to be changed. */
  #paramsOf(block: Block): Params {
    const params = this.#params.get(block) ?? new Map(Object.entries(block.params));
    this.#params.set(block, params);
    return params;
  }

  #between(edge: { readonly source: string; readonly target: string }): Connection[] {
    if (!this.#graph.hasEdge(edge)) return [];
    return this.#connections.filter(({ source, target }) => source === edge.source && target === edge.target);
  }

  #dropConnections(isDropped: (connection: Connection) => boolean): void {
    const kept: Connection[] = [];
    for (const connection of this.#connections) {
      if (isDropped(connection)) this.#graph.disconnect(connection);
      else kept.push(connection);
    }
    this.#connections = kept;
  }

  /** Refuses a field that names a block which is not there. */
  #refuseMissing(reason_code: Refusal["reason_code"], field: string, id: string): Outcome {
    const nearest = nearestNames(id, [...this.#byId.keys()]);
    const hint = nearest.length === 0 ? "add it first" : `the nearest ids are ${nearest.join(", ")}`;
    return refused(reason_code, `${field}: there is no block "${excerpt(id)}"; ${hint}.`, { nearest });
  }
}

const applied: Outcome = { isApplied: true, refusals: [] };

function refused(reason_code: Refusal["reason_code"], reason: string, details?: Refusal["details"]): Outcome {
  return { isApplied: false, refusals: [refusal(reason_code, reason, details)] };
}

function describeEdge(
  { source, target }: { source: string; target: string },
  handle?: string,
  noun = "Connection",
): string {
  const through = handle === undefined ? "" : ` through source_handle "${handle}"`;
  return `${noun} "${excerpt(source)}" → "${excerpt(target)}"${through}`;
}

/** Sets what is given and clears what is null; answers how many fields were named. */
function assignSettings(block: Block, settings: BlockSettings): number {
  const named = Object.entries(settings).filter(([, value]) => value !== undefined);
  for (const [field, value] of named) {
    if (value === null) delete block[field];
    else block[field] = value;
  }
  return named.length;
}
