import { describe, expect, it } from "vitest";
import { useClient, useTestServer } from "../support/server-hooks.js";
import { block, type Json, runDocument, transform as say, trigger as start } from "../support/workflows.js";

const client = useClient(useTestServer());

/** Fails for certain, as the address is no http one. */
const broken = (onError: string) => block("broken", "http", { url: "{{trigger.url}}" }, { onError });

/** The run of such a workflow once it has ended. */
const run = (blocks: Json[], connections: Json[], input: unknown) =>
  runDocument(client, { blocks, connections }, input);

describe("a connection with a condition", () => {
  const blocks = [start, say("yes", "yes"), say("after", "after {{yes.result}}"), say("always", "always")];
  const connections = [
    { source: "start", target: "yes", condition: "{{trigger.isReady}}" },
    { source: "yes", target: "after" },
    { source: "start", target: "always" },
  ];

  it("is taken when the value is truthy", async () => {
    const ended = await run(blocks, connections, { isReady: true });
    expect(Object.keys(ended.output.outputs).sort()).toEqual(["after", "always", "start", "yes"]);
  });

  it.each([[false], [0], [""], [null]])(
    "is not taken for %j, and what depends on it is skipped",
    async (isReady) => {
      const ended = await run(blocks, connections, { isReady });
      expect(ended.state).toBe("completed");
      expect(Object.keys(ended.output.outputs).sort()).toEqual(["always", "start"]);
    },
  );
});

describe("a connection whose condition is an expression", () => {
  const blocks = [start, say("large", "large"), say("both", "both"), say("next", "next")];
  const connections = [
    { source: "start", target: "large", condition: "trigger.total > vars.limit" },
    { source: "start", target: "both", condition: "{{trigger.total}} > 1 and 'vip' in trigger.tags" },
    { source: "large", target: "next", condition: "$contains(large.result, /arg/)" },
  ];
  const runWith = (input: unknown) =>
    runDocument(client, { blocks, connections, variables: { limit: 100 } }, input);

  it("is taken when the value is truthy", async () => {
    expect(Object.keys((await runWith({ total: 500, tags: ["vip"] })).output.outputs).sort()).toEqual([
      "both",
      "large",
      "next",
      "start",
    ]);
    expect(Object.keys((await runWith({ total: 5 })).output.outputs)).toEqual(["start"]);
  });

  it("fails the run with the block and the cause when it cannot be evaluated", async () => {
    const failed = await runWith({ total: "five" });
    expect(failed).toMatchObject({
      state: "failed",
      error: { code: "condition_failed", blockId: "start", message: expect.stringContaining('">"') },
    });
  });
});

describe("a condition block", () => {
  const decide = (params: Json, handles: string[]) => ({
    blocks: [start, block("if", "condition", params), ...handles.map((handle) => say(handle, handle))],
    connections: [
      { source: "start", target: "if" },
      ...handles.map((handle) => ({ source: "if", target: handle, sourceHandle: handle })),
    ],
  });
  const branches = [
    { name: "huge", when: "trigger.total > 1000" },
    { name: "large", when: "{{trigger.total}} > 100" },
  ];
  const outputsFor = async (params: Json, handles: string[], input: unknown) => {
    const { blocks, connections } = decide(params, handles);
    const ended = await run(blocks, connections, input);
    expect(ended.state).toBe("completed");
    const { start: _, if: decision, ...others } = ended.output.outputs;
    return [decision, Object.keys(others).sort()];
  };

  it("takes the first branch that matches, and else when none does", async () => {
    const handles = ["huge", "large", "else"];
    expect(await outputsFor({ branches }, handles, { total: 5_000 })).toEqual([
      { branch: "huge", matched: ["huge"] },
      ["huge"],
    ]);
    expect(await outputsFor({ branches }, handles, { total: 500 })).toEqual([
      { branch: "large", matched: ["large"] },
      ["large"],
    ]);
    expect(await outputsFor({ branches }, handles, { total: 5 })).toEqual([
      { branch: null, matched: [] },
      ["else"],
    ]);
  });

  it("takes every branch that matches with mode all", async () => {
    const handles = ["huge", "large", "else"];
    expect(await outputsFor({ branches, mode: "all" }, handles, { total: 5_000 })).toEqual([
      { branch: "huge", matched: ["huge", "large"] },
      ["huge", "large"],
    ]);
  });

  it("has true and false as handles of a single expression", async () => {
    const params = { expression: "$exists(trigger.email)" };
    expect(await outputsFor(params, ["true", "false"], { email: "a@example.com" })).toEqual([
      { branch: "true", matched: ["true"], result: true },
      ["true"],
    ]);
    expect(await outputsFor(params, ["true", "false"], {})).toEqual([
      { branch: "false", matched: ["false"], result: false },
      ["false"],
    ]);
  });

  it("branches inside of a branch, and the paths join again once", async () => {
    const ended = await run(
      [
        start,
        block("outer", "condition", { expression: "trigger.a" }),
        block("inner", "condition", { expression: "trigger.b" }),
        say("left", "left"),
        say("right", "right"),
        say("other", "other"),
        say("joined", "{{left.result}}{{right.result}}{{other.result}}"),
      ],
      [
        { source: "start", target: "outer" },
        { source: "outer", target: "inner", sourceHandle: "true" },
        { source: "outer", target: "other", sourceHandle: "false" },
        { source: "inner", target: "left", sourceHandle: "true" },
        { source: "inner", target: "right", sourceHandle: "false" },
        ...["left", "right", "other"].map((source) => ({ source, target: "joined" })),
      ],
      { a: true, b: false },
    );
    expect(ended.output.outputs.joined).toEqual({ result: "right" });
    expect(Object.keys(ended.output.outputs).sort()).toEqual(["inner", "joined", "outer", "right", "start"]);
  });

  it("that cannot decide fails with the cause, once", async () => {
    const { blocks, connections } = decide({ expression: "trigger.name + 1" }, ["true"]);
    expect(await run(blocks, connections, { name: "Ada" })).toMatchObject({
      state: "failed",
      error: { code: "expression_failed", blockId: "if", attempt: 1 },
    });
  });
});

describe("a transform with an expression", () => {
  it("gives its value to what follows", async () => {
    const ended = await run(
      [
        start,
        block("sum", "transform", { expression: "$sum(trigger.items.(price * quantity))" }),
        block("lines", "transform", { expression: "trigger.items.{ 'name': name, 'sum': $$.sum.result }" }),
        block("none", "transform", { expression: "trigger.nothing" }),
      ],
      [
        { source: "start", target: "sum" },
        { source: "sum", target: "lines" },
        { source: "start", target: "none" },
      ],
      {
        items: [
          { name: "a", price: 2, quantity: 3 },
          { name: "b", price: 1, quantity: 4 },
        ],
      },
    );
    expect(ended.output.outputs).toMatchObject({
      sum: { result: 10 },
      lines: {
        result: [
          { name: "a", sum: 10 },
          { name: "b", sum: 10 },
        ],
      },
      none: { result: null },
    });
  });
});

describe("expressions inside of a loop", () => {
  it("see the item, what lies around the loop and the body before them", async () => {
    const ended = await run(
      [
        start,
        block("loop", "for_each", { items: "{{trigger.items}}" }),
        block("sum", "transform", { expression: "loop.item.price * trigger.factor + {{loop.index}}" }),
        block("if", "condition", { expression: "sum.result > 20" }),
        say("large", "{{loop.item.name}}"),
        block("total", "transform", { expression: "$sum(loop.results.sum.result)" }),
      ],
      [
        { source: "start", target: "loop" },
        { source: "loop", target: "sum", sourceHandle: "each", condition: "loop.item.price > 0" },
        { source: "sum", target: "if" },
        { source: "if", target: "large", sourceHandle: "true" },
        { source: "loop", target: "total" },
      ],
      {
        factor: 10,
        items: [
          { name: "a", price: 1 },
          { name: "b", price: 2 },
          { name: "c", price: 0 },
        ],
      },
    );
    expect(ended).toMatchObject({ state: "completed", error: null });
    expect(ended.blocks).toMatchObject({
      loop: { state: "completed", attempts: 1 },
      sum: { state: "completed", attempts: 2, items: { completed: 2 } },
    });
    expect(ended.blocks.loop).not.toHaveProperty("items");
    expect(ended.output.outputs.total).toEqual({ result: 31 });
    expect(ended.output.outputs.loop.results).toMatchObject([
      { sum: { result: 10 }, if: { branch: "false" } },
      { sum: { result: 21 }, if: { branch: "true" }, large: { result: "b" } },
      {},
    ]);
  });
});

describe("a block that fails", () => {
  const blocks = (onError: string) => [
    start,
    broken(onError),
    say("next", "next"),
    say("rescue", "{{broken.error.code}}: {{broken.error.message}}"),
  ];
  const connections = [
    { source: "start", target: "broken" },
    { source: "broken", target: "next" },
    { source: "broken", target: "rescue", sourceHandle: "error" },
  ];
  const input = { url: "ftp://example.com" };

  it("ends the run with onError fail", async () => {
    const ended = await run([start, broken("fail"), say("next", "next")], connections.slice(0, 2), input);
    expect(ended).toMatchObject({ state: "failed", error: { blockId: "broken" }, output: null });
  });

  it("lets what follows run with onError continue", async () => {
    const ended = await run(blocks("continue"), connections, input);
    expect(ended.state).toBe("completed");
    expect(Object.keys(ended.output.outputs).sort()).toEqual(["broken", "next", "rescue", "start"]);
  });

  it("takes only the handle error with onError branch", async () => {
    const ended = await run(blocks("branch"), connections, input);
    expect(ended.state).toBe("completed");
    expect(Object.keys(ended.output.outputs).sort()).toEqual(["broken", "rescue", "start"]);
    expect(ended.output.outputs.broken.error).toEqual({
      code: expect.any(String),
      message: expect.any(String),
    });
    expect(ended.output.outputs.rescue.result).toMatch(/^\w+: ./);
  });

  it("does not take the handle error when it completes", async () => {
    const ended = await run(
      [start, { ...say("fine", "fine"), onError: "branch" }, say("rescue", "rescue")],
      [
        { source: "start", target: "fine" },
        { source: "fine", target: "rescue", sourceHandle: "error" },
      ],
      {},
    );
    expect(Object.keys(ended.output.outputs).sort()).toEqual(["fine", "start"]);
  });
});
