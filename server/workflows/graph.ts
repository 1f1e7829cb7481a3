/** A directed edge by the ids of its ends. */
export interface Edge {
  readonly source: string;
  readonly target: string;
}

/**
 * Who follows whom. Holds parallel edges and edges whose ends no document has; whether an id is a block is the
 * caller's business. Every question is answered in time linear in the edges that it meets.
 */
export class Graph {
  readonly #targets = new Map<string, string[]>();
  readonly #sources = new Map<string, string[]>();

  constructor(edges: Iterable<Edge> = []) {
    for (const edge of edges) this.connect(edge);
  }

  /** Adds an edge, beside those that are there already. */
  connect({ source, target }: Edge): void {
    append(this.#targets, source, target);
    append(this.#sources, target, source);
  }

  /** Removes one edge between the two; nothing happens when there is none. */
  disconnect({ source, target }: Edge): void {
    removeOne(this.#targets, source, target);
    removeOne(this.#sources, target, source);
  }

  /** Where the edges of `id` go; parallel edges repeat. */
  targetsOf(id: string): readonly string[] {
    return this.#targets.get(id) ?? [];
  }

  /** Where the edges into `id` come from; parallel edges repeat. */
  sourcesOf(id: string): readonly string[] {
    return this.#sources.get(id) ?? [];
  }

  hasEdge({ source, target }: Edge): boolean {
    return this.targetsOf(source).includes(target);
  }

  /** Whether adding the edge would close a cycle: it loops, or its target leads to its source already. */
  wouldCloseCycle({ source, target }: Edge): boolean {
    return source === target || reachable(target, (id) => this.targetsOf(id), source).has(source);
  }

  /** Everything from which a path leads to `id`; holds `id` itself only on a cycle. */
  ancestorsOf(id: string): ReadonlySet<string> {
    return reachable(id, (each) => this.sourcesOf(each));
  }
}

/**
 * Sources before targets, otherwise in the order of `ids`; what lies on a cycle or behind one is left out. Edges to
 * other ids count for nothing.
 */
export function topologicalOrder(ids: readonly string[], graph: Graph): string[] {
  const known = new Set(ids);
  const waitingFor = new Map<string, number>();
  for (const id of known)
    waitingFor.set(id, graph.sourcesOf(id).filter((source) => known.has(source)).length);
  const order = [...known].filter((id) => waitingFor.get(id) === 0);
  for (const id of order) {
    for (const target of graph.targetsOf(id)) {
      const left = (waitingFor.get(target) ?? 0) - 1;
      waitingFor.set(target, left);
      if (left === 0 && known.has(target)) order.push(target);
    }
  }
  return order;
}

/**
 * Cycles without a common block, each as the ids along it; breaking these may uncover others. Empty exactly when the
 * graph over `ids` has no cycle. Each starts with its block that comes first in `ids`.
 */
export function findCycles(ids: readonly string[], graph: Graph): string[][] {
  const ordered = new Set(topologicalOrder(ids, graph));
  const entangled = new Set(ids.filter((id) => !ordered.has(id)));
  const position = new Map(ids.map((id, index) => [id, index]));
  const visited = new Set<string>();
  const cycles: string[][] = [];
  for (const start of entangled) {
    const trail: string[] = [];
    // Whatever is entangled has an entangled source, so walking backwards ends at a block that was seen before.
    let id: string | undefined = start;
    while (id !== undefined && !visited.has(id)) {
      visited.add(id);
      trail.push(id);
      id = graph.sourcesOf(id).find((source) => entangled.has(source));
    }
    const first = id === undefined ? -1 : trail.indexOf(id);
    if (first >= 0) cycles.push(startWithFirst(trail.slice(first).reverse(), position));
  }
  return cycles;
}

function startWithFirst(cycle: string[], position: ReadonlyMap<string, number>): string[] {
  const positions = cycle.map((id) => position.get(id) ?? 0);
  const start = positions.indexOf(Math.min(...positions));
  return [...cycle.slice(start), ...cycle.slice(0, start)];
}

/** What `next` leads to from `start`, at least one step away; stops early once `goal` is found. */
function reachable(start: string, next: (id: string) => readonly string[], goal?: string): Set<string> {
  const found = new Set<string>();
  const open = [start];
  for (let id = open.pop(); id !== undefined; id = open.pop()) {
    for (const each of next(id)) {
      if (found.has(each)) continue;
      found.add(each);
      if (each === goal) return found;
      open.push(each);
    }
  }
  return found;
}

function append(lists: Map<string, string[]>, key: string, value: string): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [value]);
  else list.push(value);
}

function removeOne(lists: Map<string, string[]>, key: string, value: string): void {
  const list = lists.get(key);
  const index = list?.indexOf(value) ?? -1;
  if (index >= 0) list?.splice(index, 1);
}
