import { describe, expect, it } from "vitest";
import { documentOf } from "../support/sample-block-types.js";
import { add, apply, chain, codes, connect, disconnect, remove, update } from "../support/sample-edits.js";

describe("connections", () => {
  it("go with their block when it is removed", () => {
    expect(apply(chain, remove("b")).document.connections).toEqual([{ source: "start", target: "a" }]);
  });

  it("differ by source handle and keep their condition", () => {
    const { document, skipped } = apply(
      chain,
      connect("a", "c", { source_handle: "yes", condition: "{{a.result}}" }),
      connect("a", "c", { source_handle: "no" }),
      connect("a", "c", { source_handle: null, condition: null }),
      connect("a", "c", { source_handle: "yes" }),
    );
    expect(document.connections.slice(3)).toEqual([
      { source: "a", target: "c", sourceHandle: "yes", condition: "{{a.result}}" },
      { source: "a", target: "c", sourceHandle: "no" },
      { source: "a", target: "c" },
    ]);
    expect(skipped.map((item) => item.reason_code)).toEqual(["duplicate_connection"]);
  });

  it("are refused from or to nobody, in a circle, and into a trigger", () => {
    expect(codes(chain, connect("nobody", "a"))).toEqual(["invalid_edge_source"]);
    expect(codes(chain, connect("a", "nobody"))).toEqual(["invalid_edge_target"]);
    expect(codes(chain, connect("a", "a"))).toEqual(["cycle_introduced"]);
    expect(codes(chain, connect("c", "a"))).toEqual(["cycle_introduced"]);
    expect(codes(chain, connect("c", "start"))).toEqual(["cycle_introduced"]);
    expect(codes(chain, add("z"), connect("z", "start"))).toEqual(["invalid_edge_target"]);
    expect(codes(chain, disconnect("a", "b"), connect("c", "a"))).toEqual([]);
  });

  const handles = apply(
    chain,
    connect("a", "b", { source_handle: "yes" }),
    connect("a", "b", { source_handle: "no" }),
  ).document;
  const left = (...ops: unknown[]) =>
    apply(handles, ...ops)
      .document.connections.filter(({ source }) => source === "a")
      .map(({ sourceHandle }) => sourceHandle ?? null);

  it("are disconnected by handle; without one the plain edge goes, or else all between the two", () => {
    expect(left(disconnect("a", "b", { source_handle: "yes" }))).toEqual([null, "no"]);
    expect(left(disconnect("a", "b"))).toEqual(["yes", "no"]);
    expect(left(disconnect("a", "b"), disconnect("a", "b"))).toEqual([]);
  });

  it("that are not there cannot be disconnected; the reason names the handles that are", () => {
    const { skipped } = apply(
      handles,
      disconnect("a", "b", { source_handle: "maybe" }),
      disconnect("b", "a"),
      disconnect("q", "a"),
    );
    expect(skipped.map((item) => item.reason_code)).toEqual([
      "edge_not_found",
      "edge_not_found",
      "edge_not_found",
    ]);
    expect(skipped[0]?.details).toEqual({ source_handles: [null, "yes", "no"] });
  });
});

describe("documents that came in broken", () => {
  const broken = documentOf({
    blocks: [
      { id: "a", type: "transform", name: "first" },
      { id: "a", type: "transform", name: "second" },
      { id: "b", type: "transform" },
    ],
    connections: [
      { source: "a", target: "ghost" },
      { source: "a", target: "b" },
      { source: "a", target: "b" },
    ],
  });

  it("keep both blocks of an id until it is removed, which removes both", () => {
    expect(
      apply(broken, update("a", { name: "changed" })).document.blocks.map((block) => block.name),
    ).toEqual(["changed", "second", undefined]);
    expect(apply(broken, remove("a")).document.blocks.map((block) => block.id)).toEqual(["b"]);
  });

  it("can be mended: dangling and doubled edges are disconnected", () => {
    const { document, skipped } = apply(
      broken,
      disconnect("a", "ghost"),
      disconnect("a", "b"),
      connect("a", "b"),
    );
    expect(skipped).toEqual([]);
    expect(document.connections).toEqual([{ source: "a", target: "b" }]);
  });
});
