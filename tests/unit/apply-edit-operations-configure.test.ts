import { describe, expect, it } from "vitest";
import { applyEditOperations } from "../../server/workflows/apply-edit-operations.js";
import { documentOf, sampleBlockTypes } from "../support/sample-block-types.js";

type Parts = Parameters<typeof documentOf>[0];

const workflowId = "0198c5f2-7b1e-4a39-9d0e-3f5f6a1c2b4e";
const apply = (parts: Parts, ...ops: unknown[]) =>
  applyEditOperations(documentOf(parts), ops, sampleBlockTypes);
const configure = (fields: object) => ({ operation_type: "configure", ...fields });

describe("configure", () => {
  it("sets settings, variables and metadata key by key and keeps what it does not name", () => {
    const { document, applied, isChanged, skipped } = apply(
      { settings: { deadlineMs: 5_000 }, variables: { kept: 1, changed: 1 } },
      configure({
        settings: { onFailure: { workflowId } },
        variables: { changed: { deep: [2] }, added: null },
        metadata: { name: "Orders", tags: ["a"] },
      }),
      configure({ metadata: { description: "What it does" } }),
    );
    expect([applied, isChanged, skipped]).toEqual([2, true, []]);
    expect(document.settings).toEqual({ deadlineMs: 5_000, onFailure: { workflowId } });
    expect(document.variables).toEqual({ kept: 1, changed: { deep: [2] } });
    expect(document.metadata).toEqual({ name: "Orders", description: "What it does", tags: ["a"] });
  });

  it("removes a key by null; metadata goes back to its default and empty settings go away", () => {
    const parts: Parts = {
      settings: { deadlineMs: 5_000, onFailure: { workflowId } },
      variables: { a: 1, b: 2 },
    };
    const one = apply(parts, configure({ settings: { deadlineMs: null }, variables: { a: null } })).document;
    expect(one.settings).toEqual({ onFailure: { workflowId } });
    expect(one.variables).toEqual({ b: 2 });
    const none = apply(
      parts,
      configure({ settings: { deadlineMs: null, onFailure: null }, metadata: { name: "x" } }),
      configure({ metadata: { name: null, tags: null, description: null } }),
    ).document;
    expect(none).not.toHaveProperty("settings");
    expect(none.metadata).toEqual({ name: "Untitled workflow", description: "", tags: [] });
  });

  it("keeps settings and metadata that this server does not know", () => {
    const { document } = apply(
      { settings: { color: "red", onFailure: { workflowId, note: "n" } } },
      configure({ settings: { deadlineMs: 1_000 } }),
    );
    expect(document.settings).toEqual({
      color: "red",
      onFailure: { workflowId, note: "n" },
      deadlineMs: 1_000,
    });
  });

  it.each([
    [configure({}), "names nothing to change"],
    [configure({ settings: {}, variables: {} }), "names nothing to change"],
    [
      configure({ settings: { deadline: 5 } }),
      '"deadline" is not a field of settings, the nearest is deadlineMs',
    ],
    [configure({ settings: { deadlineMs: 5 } }), "settings.deadlineMs"],
    [configure({ settings: { onFailure: "x" } }), "settings.onFailure"],
    [configure({ metadata: { name: "" } }), "metadata.name"],
    [configure({ metadata: { title: "x" } }), "title"],
    [configure({ variables: [1] }), "variables"],
    [configure({ block_id: "a", variables: { a: 1 } }), '"block_id" is not a field of configure'],
    [
      configure({
        variables: Object.fromEntries(Array.from({ length: 101 }, (_, index) => [`v${index}`, 1])),
      }),
      "more than 100 variables",
    ],
  ])("is skipped when it is %j", (operation, part) => {
    const { isChanged, skipped } = apply({}, operation);
    expect(isChanged).toBe(false);
    expect(skipped).toMatchObject([
      { op_index: 0, operation_type: "configure", reason_code: "malformed_op" },
    ]);
    expect(skipped[0]?.reason).toContain(part);
  });
});

describe("a field of a block", () => {
  it("is not taken when it holds something that it does not have", () => {
    const { skipped } = apply(
      {},
      { operation_type: "add", block_id: "a", type: "transform", retry: { attempts: 3 } },
    );
    expect(skipped[0]?.reason).toContain('"attempts" is not a field of retry, the nearest is maxAttempts');
  });
});

describe("every field of a block", () => {
  const fields = {
    name: "Greeting",
    position: { x: 1, y: 2 },
    retry: { maxAttempts: 3, initialMs: 10, maxMs: 100, factor: 2, on: ["timeout"] },
    timeoutMs: 1_000,
    onError: "branch",
    join: "any",
  };

  it("can be set by add and by update, and cleared by null", () => {
    const added = apply(
      {},
      { operation_type: "add", block_id: "a", type: "transform", enabled: false, ...fields },
    );
    expect(added.skipped).toEqual([]);
    expect(added.document.blocks).toEqual([
      { id: "a", type: "transform", enabled: false, params: {}, ...fields },
    ]);
    const update = (changes: object) =>
      apply({ blocks: added.document.blocks }, { operation_type: "update", block_id: "a", ...changes });
    expect(update({ enabled: true, join: "all" }).document.blocks[0]).toMatchObject({
      enabled: true,
      join: "all",
    });
    const cleared = Object.fromEntries(Object.keys(fields).map((field) => [field, null]));
    expect(update(cleared).document.blocks).toEqual([
      { id: "a", type: "transform", enabled: false, params: {} },
    ]);
  });
});
