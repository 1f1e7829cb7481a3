import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Edge, findCycles, Graph, topologicalOrder } from "../../server/workflows/graph.js";

function edges(...pairs: string[]): Edge[] {
  return pairs.map((pair) => ({ source: pair.slice(0, 1), target: pair.slice(1) }));
}

const ids = ["a", "b", "c", "d", "e", "f"];
const anyEdges = fc.array(fc.record({ source: fc.constantFrom(...ids), target: fc.constantFrom(...ids) }), {
  maxLength: 12,
});

describe("Graph", () => {
  it("finds every ancestor and nothing else", () => {
    const graph = new Graph(edges("ab", "bc", "dc", "ce", "fa"));
    expect([...graph.ancestorsOf("c")].sort()).toEqual(["a", "b", "d", "f"]);
    expect([...graph.ancestorsOf("f")]).toEqual([]);
  });

  it("counts a block among its own ancestors only on a cycle", () => {
    expect(new Graph(edges("ab", "ba")).ancestorsOf("a").has("a")).toBe(true);
    expect(new Graph(edges("ab")).ancestorsOf("a").has("a")).toBe(false);
  });

  it("keeps a parallel edge when the other one is removed", () => {
    const graph = new Graph(edges("ab", "ab"));
    graph.disconnect({ source: "a", target: "b" });
    expect(graph.hasEdge({ source: "a", target: "b" })).toBe(true);
    graph.disconnect({ source: "a", target: "b" });
    graph.disconnect({ source: "a", target: "b" });
    expect(graph.hasEdge({ source: "a", target: "b" })).toBe(false);
    expect(graph.sourcesOf("b")).toEqual([]);
  });

  it("foresees a cycle exactly when adding the edge makes one", () => {
    fc.assert(
      fc.property(anyEdges, (candidates) => {
        const graph = new Graph();
        for (const edge of candidates) {
          const after = new Graph(edges());
          for (const id of ids)
            for (const target of graph.targetsOf(id)) after.connect({ source: id, target });
          after.connect(edge);
          const wouldCloseCycle = graph.wouldCloseCycle(edge);
          expect(wouldCloseCycle).toBe(findCycles(ids, after).length > 0);
          if (!wouldCloseCycle) graph.connect(edge);
        }
      }),
    );
  });
});

describe("topologicalOrder", () => {
  it("puts sources first, keeps the given order otherwise and ignores edges to unknown ids", () => {
    const graph = new Graph([
      ...edges("cb", "ba"),
      { source: "x", target: "a" },
      { source: "a", target: "y" },
    ]);
    expect(topologicalOrder(["a", "b", "c", "d"], graph)).toEqual(["c", "d", "b", "a"]);
  });

  it("holds every block after its sources, and all of them exactly when there is no cycle", () => {
    fc.assert(
      fc.property(anyEdges, (all) => {
        const graph = new Graph(all);
        const order = topologicalOrder(ids, graph);
        expect(order.length === ids.length).toBe(findCycles(ids, graph).length === 0);
        for (const [index, id] of order.entries()) {
          for (const source of graph.sourcesOf(id)) expect(order.slice(0, index)).toContain(source);
        }
      }),
    );
  });
});

describe("findCycles", () => {
  it("gives each separate cycle once, along its edges, starting with its first block", () => {
    expect(findCycles(ids, new Graph(edges("cb", "bc", "cd", "ef", "fe", "aa")))).toEqual([
      ["a"],
      ["b", "c"],
      ["e", "f"],
    ]);
  });

  it("gives only closed walks along existing edges", () => {
    fc.assert(
      fc.property(anyEdges, (all) => {
        const graph = new Graph(all);
        for (const cycle of findCycles(ids, graph)) {
          for (const [index, source] of cycle.entries()) {
            expect(graph.targetsOf(source)).toContain(cycle[(index + 1) % cycle.length]);
          }
        }
      }),
    );
  });

  it("walks a chain of 10,000 blocks without recursion", () => {
    const chain = Array.from({ length: 10_000 }, (_, index) => `n${index}`);
    const graph = new Graph(chain.slice(1).map((target, index) => ({ source: `n${index}`, target })));
    expect(findCycles(chain, graph)).toEqual([]);
    expect(graph.wouldCloseCycle({ source: "n9999", target: "n0" })).toBe(true);
  });
});
