import type { BlockProgress, RunProgress } from "../engine/steps/progress.js";
import type { Block, Connection, WorkflowDocument } from "../workflows/document.js";
import { Graph, topologicalOrder } from "../workflows/graph.js";
import { EACH_HANDLE, LOOP_TYPE, type LoopPaths, loopPathsOf } from "../workflows/loop-paths.js";

/** States of a block in a run; `retrying` is the pause before another try, `canceled` what the run's end cut short. */
export const blockStates = [
  "pending",
  "running",
  "waiting",
  "retrying",
  "completed",
  "failed",
  "skipped",
  "canceled",
] as const;
export type BlockState = (typeof blockStates)[number];

/** How a block of a run stands. */
export interface BlockStatus {
  readonly state: BlockState;
  /** Tries so far, of all items together. */
  readonly attempts: number;
  readonly startedAt: Date | null;
  readonly finishedAt: Date | null;
  /** While it waits or pauses between tries: when that ends by itself, of items the first; null where nothing ends it. */
  readonly waitingUntil: Date | null;
  /** Inside a loop: how many of its items stand how, as far as they have begun. */
  readonly items?: Readonly<Partial<Record<BlockState, number>>>;
}

type Document = Pick<WorkflowDocument, "blocks" | "connections">;

const open: ReadonlySet<BlockState> = new Set(["pending", "running", "waiting", "retrying"]);

/** Whether a state is the block's last. */
export function isSettled(state: BlockState): boolean {
  return !open.has(state);
}

/**
 * How every block of the pinned document stands, in the document's order. What is disabled or certain not to be
 * reached is skipped, as is whatever an ended run has not started; a block of a loop stands as the item that matters
 * most: one that runs, then one that waits, then one that has failed.
 */
export function blockStatuses(
  document: Document,
  { hasEnded, blocks: progress }: Pick<RunProgress, "hasEnded" | "blocks">,
): Record<string, BlockStatus> {
  const rows = new Map<string, BlockProgress[]>();
  for (const row of progress) rows.set(row.blockId, [...(rows.get(row.blockId) ?? []), row]);
  const view = new RunView(document, hasEnded, rows);
  const byId = new Map(document.blocks.map((block) => [block.id, block]));
  // Sources first, because what is skipped makes what follows it skipped.
  for (const id of topologicalOrder([...byId.keys()], new Graph(document.connections))) {
    const block = byId.get(id);
    if (block !== undefined) view.settle(block);
  }
  return Object.fromEntries(document.blocks.map((block) => [block.id, view.settle(block)]));
}

class RunView {
  readonly #statuses = new Map<string, BlockStatus>();
  readonly #incoming = new Map<string, (Connection & { readonly index: number })[]>();
  readonly #loops: LoopPaths;
  readonly #hasEnded: boolean;
  readonly #rows: ReadonlyMap<string, readonly BlockProgress[]>;

  constructor(document: Document, hasEnded: boolean, rows: ReadonlyMap<string, readonly BlockProgress[]>) {
    this.#loops = loopPathsOf(document);
    this.#hasEnded = hasEnded;
    this.#rows = rows;
    for (const [index, connection] of document.connections.entries()) {
      const incoming = this.#incoming.get(connection.target) ?? [];
      this.#incoming.set(connection.target, [...incoming, { ...connection, index }]);
    }
  }

  settle(block: Block): BlockStatus {
    const known = this.#statuses.get(block.id) ?? this.#statusOf(block);
    this.#statuses.set(block.id, known);
    return known;
  }

  #statusOf(block: Block): BlockStatus {
    const rows = this.#rows.get(block.id);
    if (rows === undefined) {
      const isSkipped = this.#hasEnded || !block.enabled || !this.#isReachable(block.id);
      const state = isSkipped ? "skipped" : "pending";
      return { state, attempts: 0, startedAt: null, finishedAt: null, waitingUntil: null };
    }
    const items: Partial<Record<BlockState, number>> = {};
    for (const row of rows) {
      const state = stateOf(row, this.#hasEnded);
      items[state] = (items[state] ?? 0) + row.count;
    }
    const state = this.#overall(block, items);
    return {
      state,
      attempts: rows.reduce((sum, { attempts }) => sum + attempts, 0),
      startedAt: earliest(rows.map(({ startedAt }) => startedAt)),
      finishedAt: isSettled(state) ? latest(rows.map(({ finishedAt }) => finishedAt)) : null,
      waitingUntil: earliest(
        rows.flatMap((row) => (stateOf(row, this.#hasEnded) === state ? [row.dueAt] : [])),
      ),
      ...(rows.some(({ isPerItem }) => isPerItem) ? { items } : {}),
    };
  }

  #overall(block: Block, items: Readonly<Partial<Record<BlockState, number>>>): BlockState {
    // While a loop waits, its items are worked on; between two of them its body has not ended.
    const isOpen = this.#loops.of(block.id).some((loop) => !this.#isOver(loop));
    const order: readonly BlockState[] = ["running", "waiting", "retrying"];
    const busiest = order.find((state) => items[state] !== undefined);
    if (busiest === "waiting" && block.type === LOOP_TYPE) return "running";
    if (busiest !== undefined) return busiest;
    if (isOpen) return "running";
    return (
      (["failed", "canceled", "completed"] as const).find((state) => items[state] !== undefined) ?? "pending"
    );
  }

  #isOver(blockId: string): boolean {
    const status = this.#statuses.get(blockId);
    return this.#hasEnded || (status !== undefined && isSettled(status.state));
  }

  #isReachable(blockId: string): boolean {
    if (this.#loops.of(blockId).some((loop) => this.#isOver(loop))) return false;
    const incoming = this.#incoming.get(blockId) ?? [];
    return incoming.length === 0 || incoming.some((connection) => this.#mayBeTaken(connection));
  }

  #mayBeTaken({ source, sourceHandle, index }: Connection & { readonly index: number }): boolean {
    if (!this.#isOver(source)) return true;
    if (this.#statuses.get(source)?.state === "skipped") return false;
    const [row] = this.#rows.get(source) ?? [];
    if (row === undefined || row.isPerItem || row.taken === null) return true;
    return sourceHandle === EACH_HANDLE || row.taken.includes(index);
  }
}

function stateOf({ kind, status }: BlockProgress, hasEnded: boolean): BlockState {
  switch (status) {
    case "waiting":
      return kind === "backoff" ? "retrying" : "waiting";
    case "interrupted":
      return hasEnded ? "canceled" : "retrying";
    case "completed":
      if (kind === "block") return "completed";
      return hasEnded ? "canceled" : "running";
    default:
      return status;
  }
}

function earliest(instants: readonly (Date | null)[]): Date | null {
  return instants.reduce<Date | null>(
    (first, each) => (first === null || (each !== null && each < first) ? each : first),
    null,
  );
}

function latest(instants: readonly (Date | null)[]): Date | null {
  return instants.reduce<Date | null>(
    (last, each) => (last === null || (each !== null && each > last) ? each : last),
    null,
  );
}
