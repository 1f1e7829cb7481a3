import { describe, expect, it } from "vitest";
import { applyEditOperations } from "../../server/workflows/apply-edit-operations.js";
import { MAX_BLOCKS, MAX_CONNECTIONS } from "../../server/workflows/document.js";
import { documentOf, sampleBlockTypes } from "../support/sample-block-types.js";
import { add, apply, chain, codes, connect, empty, remove, update } from "../support/sample-edits.js";

describe("malformed operations", () => {
  it.each([
    [null, /must be an object/],
    [[], /must be an object/],
    [{}, /operation_type is missing.*add, update, edit/],
    [{ operation_type: 7 }, /operation_type is missing or no string/],
    [{ operation_type: "move" }, /"move" is not known/],
    [{ operation_type: "constructor" }, /"constructor" is not known/],
    [
      { operation_type: "add", type: "http" },
      /block_id is missing.*Expected \{operation_type, block_id, type, name\?, params\?/,
    ],
    [
      { operation_type: "add", blockId: "a", type: "http" },
      /block_id is missing; "blockId" is not a field of add, the nearest is block_id/,
    ],
    [{ operation_type: "add", block_id: 5, type: "http" }, /block_id: expected string, received number/],
    [add("a", { params: [] }), /params: expected record, received array/],
    [add("a", { enabled: "false" }), /enabled: expected boolean, received string/],
    [add("a", { retry: { maxAttempts: 0 } }), /retry\.maxAttempts: /],
    [add("a", { onError: "explode" }), /onError: expected one of/],
    [add("a", { name: "n".repeat(201) }), /name: /],
    [
      connect("a", "b", { sourceHandle: "x" }),
      /"sourceHandle" is not a field of connect, the nearest is source_handle/,
    ],
    [{ operation_type: "connect", block_id: "a" }, /target_block_id is missing/],
    [update("a"), /names nothing to change/],
    [update("a", { params: {} }), /names nothing to change/],
    [update("a", { type: "http" }), /"type" is not a field of update/],
    [
      JSON.parse(
        '{"operation_type":"add","block_id":"z","type":"transform","params":{"template":{"__proto__":1}}}',
      ),
      /__proto__/,
    ],
    [
      add("z", { params: Object.fromEntries(Array.from({ length: 101 }, (_, n) => [`p${n}`, 1])) }),
      /more than 100/,
    ],
  ])("%j: the reason says which field is wrong and what was expected", (op, expected) => {
    const { skipped, applied } = apply(chain, op);
    expect(skipped).toHaveLength(1);
    expect(skipped[0]).toMatchObject({ op_index: 0, reason_code: "malformed_op" });
    expect(skipped[0]?.reason).toMatch(expected);
    expect(applied).toBe(0);
  });

  it("are refused also when nested 200,000 levels deep or full of stray fields, with a short reason", () => {
    const deep = JSON.parse(`${"[".repeat(200_000)}${"]".repeat(200_000)}`);
    const wide = Object.fromEntries(
      Array.from({ length: 5_000 }, (_, index) => [`${"x".repeat(100)}${index}`, 1]),
    );
    for (const op of [add("z", { params: { template: deep } }), add("z", wide), add("z".repeat(1_000_000))]) {
      const { skipped } = apply(empty, op);
      expect(skipped).toHaveLength(1);
      expect(JSON.stringify(skipped).length).toBeLessThan(2_000);
    }
  });
});

describe("limits", () => {
  const many = Array.from({ length: MAX_BLOCKS }, (_, index) => `n${index}`);

  it("hold a batch at 500 operations; each one beyond is explained", () => {
    const { applied, skipped } = apply(empty, ...many.map((id) => add(id)), remove("n0"), "x");
    expect(applied).toBe(500);
    expect(skipped.map((item) => [item.op_index, item.operation_type, item.reason_code])).toEqual([
      [500, "remove", "limit_exceeded"],
      [501, null, "limit_exceeded"],
    ]);
  });

  it("answer a batch of 300,000 operations with a short text", () => {
    const { skipped, total } = applyEditOperations(empty, new Array(300_000).fill(0), sampleBlockTypes);
    expect(total).toBe(300_000);
    expect(skipped).toHaveLength(1_000);
    expect(skipped.at(-1)?.reason).toContain("299000 that follow");
  });

  it("hold a workflow at its most blocks and connections", () => {
    const blocks = many.map((id) => ({ id, type: "transform" }));
    expect(codes(documentOf({ blocks }), add("one_more"))).toEqual(["limit_exceeded"]);
    const connections = many
      .flatMap((source, index) => many.slice(index + 1, index + 6).map((target) => ({ source, target })))
      .slice(0, MAX_CONNECTIONS);
    expect(connections).toHaveLength(MAX_CONNECTIONS);
    expect(codes(documentOf({ blocks, connections }), connect("n0", "n9"))).toEqual(["limit_exceeded"]);
  });
});
