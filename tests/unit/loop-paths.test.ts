import { describe, expect, it } from "vitest";
import { loopPathsOf } from "../../server/workflows/loop-paths.js";
import { documentOf } from "../support/sample-block-types.js";

function pathsOf(types: Record<string, string>, edges: string[]) {
  const connections = edges.map((edge) => {
    const [, source = "", sourceHandle, target = ""] = /^(\w+)(?::(\w+))? > (\w+)$/.exec(edge) ?? [];
    return { source, target, ...(sourceHandle === undefined ? {} : { sourceHandle }) };
  });
  const blocks = Object.entries(types).map(([id, type]) => ({ id, type }));
  return loopPathsOf(documentOf({ blocks, connections }));
}

describe("the loops around a block", () => {
  it("are those whose handle each leads to it, outermost first", () => {
    const paths = pathsOf({ a: "x", outer: "for_each", b: "x", inner: "for_each", c: "x", d: "x", e: "x" }, [
      "a > outer",
      "outer:each > b",
      "b > inner",
      "inner:each > c",
      "inner > d",
      "outer:done > e",
    ]);
    const found = ["a", "outer", "b", "inner", "c", "d", "e"].map((id) => paths.of(id).join("/"));
    expect(found).toEqual(["", "", "outer", "outer", "outer/inner", "outer", ""]);
    expect(paths.conflicts).toEqual([]);
  });

  it("are none for a block of another type with a handle each, an unknown block and what lies on a cycle", () => {
    const paths = pathsOf({ a: "x", b: "x", loop: "for_each", c: "x", d: "x" }, [
      "a:each > b",
      "loop:each > c",
      "c > d",
      "d > c",
    ]);
    expect(["b", "c", "d", "nothing"].flatMap((id) => paths.of(id))).toEqual([]);
  });

  it("conflict where paths of different loops meet, each block once", () => {
    const paths = pathsOf({ loop: "for_each", other: "for_each", a: "x", b: "x", c: "x" }, [
      "loop:each > a",
      "other:each > a",
      "loop > a",
      "a > b",
      "loop:each > c",
    ]);
    expect(paths.conflicts).toEqual(["a"]);
    expect(paths.of("c")).toEqual(["loop"]);
  });
});
