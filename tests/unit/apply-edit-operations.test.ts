import { describe, expect, it } from "vitest";
import { applyEditOperations } from "../../server/workflows/apply-edit-operations.js";
import { MAX_BLOCKS, MAX_CONNECTIONS, type WorkflowDocument } from "../../server/workflows/document.js";
import { summarizeEdit } from "../../server/workflows/edit-summary.js";
import { validateDocument } from "../../server/workflows/validate-document.js";
import { documentOf, sampleBlockTypes } from "../support/sample-block-types.js";

const empty = documentOf({});

/** a → b → c, with a trigger in front of a. */
const chain = documentOf({
  blocks: [
    { id: "start", type: "trigger_webhook" },
    { id: "a", type: "transform", params: { template: "{{trigger.x}}" } },
    { id: "b", type: "transform", name: "Second", params: { template: 1 }, position: { x: 1, y: 2 } },
    { id: "c", type: "http", params: { url: "https://example.com" } },
  ],
  connections: [
    { source: "start", target: "a" },
    { source: "a", target: "b" },
    { source: "b", target: "c" },
  ],
});

function apply(document: WorkflowDocument, ...ops: unknown[]) {
  return applyEditOperations(document, ops, sampleBlockTypes);
}

function codes(document: WorkflowDocument, ...ops: unknown[]) {
  return apply(document, ...ops).skipped.map((item) => item.reason_code);
}

const add = (block_id: string, more: object = {}) => ({
  operation_type: "add",
  block_id,
  type: "transform",
  ...more,
});
const update = (block_id: string, more: object = {}) => ({ operation_type: "update", block_id, ...more });
const remove = (block_id: string) => ({ operation_type: "remove", block_id });
const connect = (block_id: string, target_block_id: string, more: object = {}) => ({
  operation_type: "connect",
  block_id,
  target_block_id,
  ...more,
});
const disconnect = (block_id: string, target_block_id: string, more: object = {}) => ({
  ...connect(block_id, target_block_id, more),
  operation_type: "disconnect",
});

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

describe("summarizeEdit", () => {
  const summarize = (ops: unknown[], isDryRun = false) => {
    const result = apply(empty, ...ops);
    return summarizeEdit({
      ...result,
      validationErrors: validateDocument(result.document, sampleBlockTypes),
      isDryRun,
    });
  };

  it("tells what was applied, what was not and why, what keeps the workflow from running, and what to do next", () => {
    expect(
      summarize([
        { operation_type: "add", block_id: "start", type: "trigger_webhook" },
        { operation_type: "add", block_id: "fetch", type: "http", params: { ulr: "https://example.com" } },
        { operation_type: "connect", block_id: "start", target_block_id: "fetsh" },
      ]),
    ).toBe(
      [
        "Applied 2 of 3 operations (2 add). The result was saved. It has 2 blocks and 0 connections.",
        "Not applied:",
        "- ops[1] add fetch (unknown_param): params.ulr is not a parameter of http; the nearest are url, body, tries.",
        '- ops[2] connect start (invalid_edge_target): target_block_id: there is no block "fetsh"; the nearest ids are fetch, start.',
        "The workflow cannot run yet:",
        "- block fetch (missing_param): url is required by http and not set; set it by an update.",
        "Next: send one batch that mends what is listed above; what was applied need not be sent again.",
      ].join("\n"),
    );
  });

  it("says so when all is well, when nothing was saved and when there is nothing to run", () => {
    const good = [{ operation_type: "add", block_id: "start", type: "trigger_webhook" }];
    expect(summarize(good)).toMatch(
      /Applied 1 of 1 operation \(1 add\)\..*saved.*\nNext: the workflow is valid; run it/,
    );
    expect(summarize(good, true)).toMatch(/nothing was saved.*\nNext: send the same batch without dryRun/);
    expect(summarize([])).toMatch(
      /Applied 0 of 0 operations\. The workflow is as it was before\..*\nNext: add a block/,
    );
  });

  it("stays short for a batch of 500 bad operations", () => {
    const text = summarize(new Array(500).fill({ operation_type: "remove", block_id: "x" }));
    expect(text).toContain("and 450 more, in skipped_items");
    expect(text.length).toBeLessThan(10_000);
  });
});
