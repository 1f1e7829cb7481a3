import { Graph, topologicalOrder } from "../workflows/graph.js";
import type { Diagram } from "./diagram.js";
import { alignLayers, type Layer, orderLayers, type Slot } from "./layers.js";

/** Size of a block, in pixels. */
export const BLOCK = { width: 252, height: 60 } as const;
/** Space around the inside of a loop's frame; more on top, for its title. */
const FRAME = { side: 18, top: 34, bottom: 18 } as const;
const GAP = { x: 28, y: 52 } as const;
/** Most bends of long connections; beyond, they run straight. */
const MAX_BENDS = 2_000;
/** Unconnected blocks in one row. */
const ROW_LENGTH = 6;

/** A rectangle by its upper left corner. */
export interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export interface Point {
  readonly x: number;
  readonly y: number;
}

/** Where everything of a diagram is. */
export interface Layout {
  readonly width: number;
  readonly height: number;
  readonly blocks: ReadonlyMap<string, Box>;
  /** Frames around the bodies of loops by the loop's id, outer ones first. */
  readonly frames: ReadonlyMap<string, Box>;
  /** Between the ends of each connection, by its index: where it bends. */
  readonly bends: ReadonlyMap<number, readonly Point[]>;
}

/**
 * Places the blocks in layers from top to bottom, sources above targets, the body of a loop in a frame of its own
 * below the loop. Takes a time that grows with blocks, connections and a bounded number of bends, so that any document
 * may be drawn while a request waits.
 */
export function layOut({ blocks, edges }: Pick<Diagram, "blocks" | "edges">): Layout {
  const loopOf = new Map(blocks.map(({ id, loop }) => [id, loop]));
  const known = new Map<string | null, readonly (string | null)[]>([[null, [null]]]);
  /** From the outermost container in: null, then the loops around what lies in the loop, itself the last. */
  const containersIn = (loop: string | null): readonly (string | null)[] => {
    const containers = known.get(loop) ?? [...containersIn(loopOf.get(loop ?? "") ?? null), loop];
    known.set(loop, containers);
    return containers;
  };
  const inner = new Map<string | null, InnerEdge[]>();
  for (const [index, { source, target }] of edges.entries()) {
    const from = containersIn(loopOf.get(source) ?? null);
    const to = containersIn(loopOf.get(target) ?? null);
    let depth = 0;
    while (depth + 1 < from.length && from[depth + 1] === to[depth + 1]) depth += 1;
    const container = from[depth] ?? null;
    const edge = { index, source: memberOf(source, from, depth), target: memberOf(target, to, depth) };
    inner.set(container, [...(inner.get(container) ?? []), edge]);
  }
  const members = new Map<string | null, string[]>();
  for (const { id, loop } of blocks) members.set(loop, [...(members.get(loop) ?? []), id]);

  const room: BendRoom = { left: MAX_BENDS };
  const place = (container: string | null): Placed => {
    const bodies = new Map<string, Placed>();
    for (const id of members.get(container) ?? []) {
      if (members.has(id)) bodies.set(bodyOf(id), place(id));
    }
    return placeMembers(members.get(container) ?? [], bodies, inner.get(container) ?? [], room);
  };
  return toLayout(place(null));
}

interface InnerEdge {
  readonly index: number;
  readonly source: string;
  readonly target: string;
}

/** How many bends connections may still have, all containers together. */
interface BendRoom {
  left: number;
}

/** A container laid out by itself: its own blocks and bends, and what lies in the frames of its loops. */
interface Placed {
  readonly width: number;
  readonly height: number;
  readonly blocks: ReadonlyMap<string, Box>;
  readonly bodies: ReadonlyMap<string, { readonly frame: Box; readonly inside: Placed }>;
  readonly bends: ReadonlyMap<number, readonly Point[]>;
}

/** Block ids hold no `@`. */
const bodyOf = (loop: string) => `${loop}@body`;

/** What stands for the block in the container at the depth: itself, or the body of the loop that holds it. */
function memberOf(id: string, containers: readonly (string | null)[], depth: number): string {
  const next = containers[depth + 1];
  return next === undefined || next === null ? id : bodyOf(next);
}

function placeMembers(
  ids: readonly string[],
  bodies: ReadonlyMap<string, Placed>,
  edges: readonly InnerEdge[],
  room: BendRoom,
): Placed {
  const sizes = new Map<string, { width: number; height: number }>();
  for (const id of ids) {
    sizes.set(id, BLOCK);
    const body = bodies.get(bodyOf(id));
    if (body === undefined) continue;
    const { width, height } = body;
    sizes.set(bodyOf(id), { width: width + 2 * FRAME.side, height: height + FRAME.top + FRAME.bottom });
  }
  const { layers, chains } = buildLayers(sizes, edges, room);
  orderLayers(layers);
  alignLayers(layers, GAP.x);
  return collect(layers, chains, sizes, bodies);
}

/** Layers from top to bottom, with a slot for every place where a long connection passes a layer. */
function buildLayers(
  sizes: ReadonlyMap<string, { readonly width: number }>,
  edges: readonly InnerEdge[],
  room: BendRoom,
) {
  const ids = [...sizes.keys()];
  // What follows a loop stands below its body.
  const after = edges.flatMap(({ source, target }) =>
    sizes.has(bodyOf(source)) && target !== bodyOf(source) ? [{ source: bodyOf(source), target }] : [],
  );
  const graph = new Graph([...edges, ...after]);
  const sorted = topologicalOrder(ids, graph);
  const known = new Set(sorted);
  // What lies on a cycle, which only a draft has, follows in the order of the document.
  const order = [...sorted, ...ids.filter((id) => !known.has(id))];
  const rank = new Map(order.map((id, index) => [id, index]));
  const depth = new Map<string, number>();
  let alone = 0;
  for (const id of order) {
    const isAlone = graph.sourcesOf(id).length + graph.targetsOf(id).length === 0;
    const above = graph.sourcesOf(id).filter((source) => (rank.get(source) ?? 0) < (rank.get(id) ?? 0));
    const below = above.reduce((deepest, source) => Math.max(deepest, (depth.get(source) ?? 0) + 1), 0);
    depth.set(id, isAlone ? Math.floor(alone++ / ROW_LENGTH) : below);
  }
  const slots = new Map<string, Slot>();
  const layers: Layer[] = [];
  const add = (at: number, key: string, width: number): Slot => {
    const slot: Slot = { key, width, x: 0, above: [], below: [] };
    while (layers.length <= at) layers.push([]);
    layers[at]?.push(slot);
    return slot;
  };
  for (const id of order) slots.set(id, add(depth.get(id) ?? 0, id, sizes.get(id)?.width ?? 0));

  const chains = new Map<number, Slot[]>();
  const span = ({ source, target }: InnerEdge) => (depth.get(target) ?? 0) - (depth.get(source) ?? 0);
  for (const edge of [...edges].sort((left, right) => span(left) - span(right))) {
    const [source, target] = [slots.get(edge.source), slots.get(edge.target)];
    const length = span(edge);
    if (source === undefined || target === undefined || length < 1) continue;
    if (length - 1 > room.left) continue;
    room.left -= length - 1;
    const chain = Array.from({ length: length - 1 }, (_, step) =>
      add((depth.get(edge.source) ?? 0) + step + 1, `${edge.index}`, GAP.x),
    );
    chains.set(edge.index, chain);
    for (const [index, slot] of [...chain, target].entries()) {
      const previous = index === 0 ? source : (chain[index - 1] ?? source);
      previous.below.push(slot);
      slot.above.push(previous);
    }
  }
  return { layers, chains };
}

function collect(
  layers: readonly Layer[],
  chains: ReadonlyMap<number, readonly Slot[]>,
  sizes: ReadonlyMap<string, { readonly width: number; readonly height: number }>,
  bodies: ReadonlyMap<string, Placed>,
): Placed {
  const blocks = new Map<string, Box>();
  const placedBodies = new Map<string, { frame: Box; inside: Placed }>();
  const bends = new Map<number, readonly Point[]>();
  const middles = new Map<Slot, Point>();
  const left = Math.min(...layers.flat().map(({ x, width }) => x - width / 2), Number.POSITIVE_INFINITY);
  let right = 0;
  let top = 0;
  for (const layer of layers) {
    const height = Math.max(...layer.map(({ key }) => sizes.get(key)?.height ?? 0));
    for (const slot of layer) {
      const x = slot.x - slot.width / 2 - left;
      middles.set(slot, { x: slot.x - left, y: top + height / 2 });
      right = Math.max(right, x + slot.width);
      const size = sizes.get(slot.key);
      if (size === undefined) continue;
      const box = { x, y: top, ...size };
      const inside = bodies.get(slot.key);
      if (inside === undefined) blocks.set(slot.key, box);
      else placedBodies.set(slot.key.slice(0, -bodyOf("").length), { frame: box, inside });
    }
    top += height + GAP.y;
  }
  for (const [index, chain] of chains)
    bends.set(
      index,
      chain.flatMap((slot) => middles.get(slot) ?? []),
    );
  return { width: right, height: Math.max(0, top - GAP.y), blocks, bodies: placedBodies, bends };
}

/** Everything of a container and of the containers in it, each moved once to where it is in the whole. */
function toLayout(outermost: Placed): Layout {
  const blocks = new Map<string, Box>();
  const frames = new Map<string, Box>();
  const bends = new Map<number, readonly Point[]>();
  const move = (placed: Placed, by: Point) => {
    const moved = <Thing extends Point>(thing: Thing): Thing => ({
      ...thing,
      x: thing.x + by.x,
      y: thing.y + by.y,
    });
    for (const [id, box] of placed.blocks) blocks.set(id, moved(box));
    for (const [index, points] of placed.bends) bends.set(index, points.map(moved));
    for (const [id, body] of placed.bodies) {
      const frame = moved(body.frame);
      frames.set(id, frame);
      move(body.inside, { x: frame.x + FRAME.side, y: frame.y + FRAME.top });
    }
  };
  move(outermost, { x: 0, y: 0 });
  return { width: outermost.width, height: outermost.height, blocks, frames, bends };
}
