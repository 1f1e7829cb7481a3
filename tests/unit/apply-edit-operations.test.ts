import { describe, expect, it } from "vitest";
import { documentOf } from "../support/sample-block-types.js";
import { add, apply, chain, codes, connect, empty, remove, update } from "../support/sample-edits.js";

describe("skip, don't reject", () => {
  it("lands the good operations around bad ones and explains each bad one by its place in the batch", () => {
    const { document, applied, skipped, isChanged } = apply(
      empty,
      add("a", { params: { template: 1 } }),
      add("x", { type: "transfrom" }),
      "nonsense",
      add("b", { params: { template: "{{a.result}}" } }),
      connect("a", "x"),
      connect("a", "b"),
    );
    expect(document.blocks.map((block) => block.id)).toEqual(["a", "b"]);
    expect(document.connections).toEqual([{ source: "a", target: "b" }]);
    expect({ applied, isChanged }).toEqual({ applied: 3, isChanged: true });
    expect(skipped).toEqual([
      {
        op_index: 1,
        operation_type: "add",
        block_id: "x",
        reason_code: "block_type_not_registered",
        reason: expect.stringContaining("transform"),
        details: { type: "transfrom", nearest: ["transform", expect.any(String), expect.any(String)] },
      },
      {
        op_index: 2,
        operation_type: null,
        block_id: null,
        reason_code: "malformed_op",
        reason: expect.stringContaining("operation_type"),
      },
      {
        op_index: 4,
        operation_type: "connect",
        block_id: "a",
        reason_code: "invalid_edge_target",
        reason: expect.stringContaining('"x"'),
        details: { nearest: expect.arrayContaining(["a", "b"]) },
      },
    ]);
  });

  it("applies each operation to the result of those before it", () => {
    const { document, skipped } = apply(
      empty,
      add("a"),
      remove("a"),
      add("a", { name: "again" }),
      update("a", { name: "last" }),
    );
    expect(skipped).toEqual([]);
    expect(document.blocks).toEqual([
      { id: "a", type: "transform", enabled: true, params: {}, name: "last" },
    ]);
  });

  it("leaves the input document alone, and hands it back itself when nothing changed", () => {
    const before = structuredClone(chain);
    const result = apply(chain, add("z"), update("a", { params: { template: null } }), remove("b"));
    expect(chain).toEqual(before);
    expect(result.isChanged).toBe(true);
    for (const ops of [[], [remove("nobody")], [add("n"), remove("n")], [update("a", { enabled: true })]]) {
      const same = apply(chain, ...ops);
      expect(same.isChanged).toBe(false);
      expect(same.document).toBe(chain);
    }
  });
});

describe("add and update", () => {
  it("set every field of a block, and null clears what is optional", () => {
    const fields = {
      name: "N",
      enabled: false,
      position: { x: 1, y: -2 },
      retry: { maxAttempts: 3 },
      timeoutMs: 5,
      onError: "continue",
    };
    const { document, skipped } = apply(empty, add("a", fields), add("b"), update("b", fields));
    expect(skipped).toEqual([]);
    expect(document.blocks).toEqual([
      { id: "a", type: "transform", params: {}, ...fields },
      { id: "b", type: "transform", params: {}, ...fields },
    ]);
    const cleared = { name: null, position: null, retry: null, timeoutMs: null, onError: null };
    expect(apply(document, update("a", cleared)).document.blocks[0]).toEqual({
      id: "a",
      type: "transform",
      params: {},
      enabled: false,
    });
    expect(apply(empty, add("a", cleared)).document.blocks[0]).toEqual({
      id: "a",
      type: "transform",
      params: {},
      enabled: true,
    });
  });

  it("merge parameters one by one; null removes one, in an add it leaves it out", () => {
    const { document } = apply(
      empty,
      add("h", { type: "http", params: { url: "https://a.example", method: "POST", timeoutMs: null } }),
      update("h", { params: { method: null, headers: { accept: "text/plain" } } }),
    );
    expect(document.blocks[0]?.params).toEqual({
      url: "https://a.example",
      headers: { accept: "text/plain" },
    });
  });

  it("accept edit and delete for update and remove", () => {
    const result = apply(
      chain,
      { operation_type: "edit", block_id: "b", name: "renamed" },
      { operation_type: "delete", block_id: "c" },
    );
    expect(result.document.blocks.map((block) => block.name ?? block.id)).toEqual(["start", "a", "renamed"]);
    expect(result.skipped).toEqual([]);
  });

  it("drop hidden and unknown parameters and apply the rest", () => {
    const { document, applied, skipped } = apply(
      empty,
      add("h", {
        type: "http",
        params: { url: "https://a.example", accessToken: "t", ulr: 1, constructor: 2 },
      }),
    );
    expect(applied).toBe(1);
    expect(document.blocks[0]?.params).toEqual({ url: "https://a.example" });
    expect(skipped.map((item) => [item.reason_code, item.details?.param])).toEqual([
      ["hidden_param_in_input", "accessToken"],
      ["unknown_param", "ulr"],
      ["unknown_param", "constructor"],
    ]);
    expect(skipped[1]?.reason).toContain("url");
    expect(skipped[1]?.reason).not.toContain("accessToken");
  });

  it("count an update that only dropped parameters as not applied", () => {
    const result = apply(chain, update("c", { params: { accessToken: "t" } }));
    expect(result).toMatchObject({ applied: 0, isChanged: false });
    expect(result.skipped).toHaveLength(1);
  });

  it("remove hidden and unknown parameters that a replaced document brought in", () => {
    const dirty = documentOf({ blocks: [{ id: "h", type: "http", params: { accessToken: "t", stray: 1 } }] });
    const { document, skipped } = apply(dirty, update("h", { params: { accessToken: null, stray: null } }));
    expect(document.blocks[0]?.params).toEqual({});
    expect(skipped).toEqual([]);
  });

  it("change a block whose type is not registered any more", () => {
    const orphan = documentOf({ blocks: [{ id: "o", type: "gone" }] });
    expect(apply(orphan, update("o", { params: { any: 1 } })).document.blocks[0]?.params).toEqual({ any: 1 });
  });

  it("refuse what they cannot do, each with its code", () => {
    expect(codes(chain, add("a"))).toEqual(["block_already_exists"]);
    expect(codes(chain, update("nobody", { name: "x" }))).toEqual(["block_not_found"]);
    expect(codes(chain, remove("nobody"))).toEqual(["block_not_found"]);
    for (const id of [
      "",
      "1a",
      "a b",
      "a.b",
      "trigger",
      "vars",
      "secrets",
      "__proto__",
      "ä",
      "a".repeat(65),
    ]) {
      expect(codes(chain, add(id))).toEqual(["invalid_block_id"]);
    }
    expect(codes(empty, add("constructor"), add("toString"), connect("constructor", "toString"))).toEqual([]);
    expect(codes(empty, connect("constructor", "toString"))).toEqual(["invalid_edge_source"]);
  });
});
