import { describe, expect, it } from "vitest";
import { validateDocument } from "../../server/workflows/validate-document.js";
import { documentOf, sampleBlockTypes } from "../support/sample-block-types.js";

type Parts = Parameters<typeof documentOf>[0];

const validate = (parts: Parts) => validateDocument(documentOf(parts), sampleBlockTypes);
const codes = (parts: Parts) => validate(parts).map(({ block_id, code }) => `${block_id} ${code}`);
const say = (id: string, template = "x") => ({ id, type: "transform", params: { template } });

describe("a condition block", () => {
  const branching = (params: Record<string, unknown>, handles: (string | undefined)[] = []) =>
    validate({
      blocks: [{ id: "if", type: "condition", params: params as never }, say("next")],
      connections: handles.map((sourceHandle) => ({
        source: "if",
        target: "next",
        ...(sourceHandle === undefined ? {} : { sourceHandle }),
      })),
    });
  const branches = [
    { name: "large", when: "trigger.total > 10" },
    { name: "small", when: "{{trigger.total}} > 0" },
  ];

  it("has its branches, else and error as handles, or none at all", () => {
    expect(branching({ branches }, ["large", "small", "else", undefined])).toEqual([]);
    expect(branching({ expression: "trigger.ok" }, ["true", "false", undefined])).toEqual([]);
  });

  it("has no other handles; the error lists those that it has", () => {
    expect(branching({ branches }, ["huge"])).toMatchObject([
      {
        block_id: "if",
        code: "unknown_handle",
        field: "connections[0]",
        error:
          'connections[0] "if" → "next": the source has no handle "huge"; its handles are "large", "small", "else", "error".',
      },
    ]);
    expect(branching({ expression: "true" }, ["else"]).map(({ code }) => code)).toEqual(["unknown_handle"]);
  });

  it.each([
    [{}, "params", "give either branches or expression"],
    [{ branches, expression: "true" }, "expression", "not both"],
    [{ expression: "true", mode: "all" }, "mode", "only for branches"],
    [{ branches: [branches[0], branches[0]] }, "branches[1].name", "used twice"],
    [{ branches: [{ name: "else", when: "true" }] }, "branches[0].name", "handle of its own"],
    [{ branches: [{ name: "a.b", when: "true" }] }, "branches[0].name", "letters"],
    [{ branches: [{ name: "a", when: "true", target: "b" }] }, "branches[0]", "target"],
    [{ branches: [] }, "branches", "expected"],
  ])("may not have the params %j", (params, field, part) => {
    const [error] = branching(params);
    expect(error).toMatchObject({ code: "invalid_param" });
    expect(error?.error).toContain(field);
    expect(error?.error).toContain(part);
  });

  it("has expressions that are checked like any other", () => {
    const when = (text: string) => branching({ branches: [{ name: "a", when: text }] });
    expect(when("nothing.x = 1")).toMatchObject([
      { code: "reference_block_not_found", field: "branches[0].when" },
    ]);
    expect(when("1 +")).toMatchObject([{ code: "invalid_expression", field: "branches[0].when" }]);
  });

  it("may be read by what follows", () => {
    expect(
      codes({
        blocks: [
          { id: "if", type: "condition", params: { expression: "true" } },
          say("next", "{{if.branch}}"),
        ],
        connections: [{ source: "if", target: "next", sourceHandle: "true" }],
      }),
    ).toEqual([]);
  });
});

describe("a loop", () => {
  const each = (target: string, source = "loop") => ({ source, target, sourceHandle: "each" });
  const loop = (id = "loop", items = "{{trigger.items}}") => ({ id, type: "for_each", params: { items } });
  const then = (source: string, target: string) => ({ source, target });

  it("gives item and index inside of its body, and its outputs after it", () => {
    expect(
      codes({
        blocks: [
          { id: "start", type: "trigger_webhook" },
          loop(),
          say("body", "{{loop.index}}: {{loop.item.name.first}}, {{start.x}}, {{loop}}"),
          { id: "more", type: "compute", params: { formula: "loop.item.price * 2 + {{body.result}}" } },
          say("after", "{{loop.results}} {{loop.count}}"),
        ],
        connections: [then("start", "loop"), each("body"), then("body", "more"), then("loop", "after")],
      }),
    ).toEqual([]);
  });

  it("hides its body from outside, and its outputs from its body", () => {
    expect(
      codes({
        blocks: [
          loop(),
          say("body", "{{loop.results}}"),
          say("deep", "{{loop.index.x}}"),
          say("after", "{{body.result}}"),
          say("late", "{{loop.item}}"),
          { id: "sum", type: "compute", params: { formula: "loop.index" } },
        ],
        connections: [
          each("body"),
          then("body", "deep"),
          then("loop", "after"),
          { source: "after", target: "late", sourceHandle: "done" },
          { source: "loop", target: "sum", sourceHandle: "done" },
        ],
      }),
    ).toEqual([
      "body reference_output_not_declared",
      "deep reference_output_not_declared",
      "after reference_inside_loop",
      "late reference_output_not_declared",
      "sum reference_output_not_declared",
    ]);
  });

  it("may lie in another, whose item it sees", () => {
    expect(
      codes({
        blocks: [
          loop(),
          loop("inner", "{{loop.item.parts}}"),
          say("body", "{{loop.item}} {{inner.item}}"),
          say("last", "{{inner.results}}"),
          say("after", "{{inner.results}}"),
        ],
        connections: [each("inner"), each("body", "inner"), then("inner", "last"), then("loop", "after")],
      }),
    ).toEqual(["after reference_inside_loop"]);
  });

  it("decides per item on the way into its body", () => {
    const condition = (text: string, sourceHandle?: string) =>
      codes({
        blocks: [loop(), say("body"), say("after")],
        connections: [
          { ...each("body"), ...(sourceHandle === undefined ? { condition: text } : {}) },
          {
            ...then("loop", "after"),
            ...(sourceHandle === undefined ? {} : { sourceHandle, condition: text }),
          },
        ],
      });
    expect(condition("loop.item.price > 3")).toEqual([]);
    expect(condition("loop.count > 3", "done")).toEqual([]);
    expect(condition("loop.count > 3")).toEqual(["loop reference_output_not_declared"]);
    expect(condition("loop.item.price > 3", "done")).toEqual(["loop reference_output_not_declared"]);
  });

  it("has a body, and no way into or out of it but its own", () => {
    expect(codes({ blocks: [loop()] })).toEqual(["loop loop_without_body"]);
    const [crossing] = validate({
      blocks: [loop(), say("body"), say("outside")],
      connections: [each("body"), then("body", "outside"), then("loop", "outside")],
    });
    expect(crossing).toMatchObject({ block_id: "outside", code: "crosses_loop" });
    expect(
      codes({
        blocks: [loop(), say("body"), say("other")],
        connections: [each("body"), then("other", "body")],
      }),
    ).toEqual(["body crosses_loop"]);
  });

  it("takes only its own handles", () => {
    expect(
      codes({
        blocks: [loop(), say("body")],
        connections: [each("body"), { source: "loop", target: "body", sourceHandle: "eahc" }],
      }),
    ).toContain("loop unknown_handle");
  });
});

describe("a failure", () => {
  const caught = (more: object) =>
    validate({
      blocks: [
        { id: "fetch", type: "http", params: { url: "https://e.example" }, ...more },
        say("rescue", "{{fetch.error.code}}"),
      ],
      connections: [{ source: "fetch", target: "rescue", sourceHandle: "error" }],
    });

  it.each(["branch", "continue"])("has a handle and an output error with onError %s", (onError) => {
    expect(caught({ onError })).toEqual([]);
  });

  it.each([{}, { onError: "fail" }])("has neither with %j; both errors name onError", (more) => {
    expect(caught(more)).toMatchObject(
      [
        { block_id: "rescue", code: "error_not_caught", field: "template", error: /onError "branch"/ },
        {
          block_id: "fetch",
          code: "error_not_caught",
          field: "connections[0]",
          error: /onError to "branch"/,
        },
      ].map((error) => ({ ...error, error: expect.stringMatching(error.error) })),
    );
  });
});

describe("settings", () => {
  it("name the workflow of onFailure by a UUID", () => {
    expect(validate({ settings: { onFailure: { workflowId: "my workflow" } } })).toMatchObject([
      { block_id: null, code: "invalid_settings", field: "settings.onFailure.workflowId" },
    ]);
    const workflowId = "0198c5f2-7b1e-4a39-9d0e-3f5f6a1c2b4e";
    expect(validate({ settings: { deadlineMs: 5_000, onFailure: { workflowId } } })).toEqual([]);
  });
});

describe("the steps of a run", () => {
  const document = documentOf({ blocks: [say("a")] });
  const counted = (outside: number, perItem: [string, number][] = []) =>
    validateDocument(document, sampleBlockTypes, () => ({ outside, perItem: new Map(perItem) })).map(
      ({ block_id, code }) => `${block_id} ${code}`,
    );

  it("are as many as the engine keeps of one run and of one item", () => {
    expect(counted(900, [["a", 800]])).toEqual([]);
    expect(counted(901)).toEqual(["null too_many_steps"]);
    expect(counted(1, [["a", 801]])).toEqual(["a too_many_steps"]);
  });
});
