import { describe, expect, it } from "vitest";
import { z } from "zod";
import { secret } from "../../server/connectors/define-connector.js";
import type { BlockType, BlockTypes } from "../../server/workflows/block-types.js";
import type { Block, Connection, WorkflowDocument } from "../../server/workflows/document.js";
import { validateDocument } from "../../server/workflows/validate-document.js";
import { documentOf, sampleBlockTypes } from "../support/sample-block-types.js";

function validate(document: WorkflowDocument, blockTypes: BlockTypes = sampleBlockTypes) {
  return validateDocument(document, blockTypes);
}

/** start → fetch → use, where `use` is an http block with these parameters. */
function using(params: object, more: Partial<Block> = {}): WorkflowDocument {
  return documentOf({
    blocks: [
      { id: "start", type: "trigger_webhook" },
      { id: "fetch", type: "http", name: "Fetch order", params: { url: "https://a.example" } },
      { id: "use", type: "http", ...more, params: { url: "https://b.example", ...params } },
    ],
    connections: [
      { source: "start", target: "fetch" },
      { source: "fetch", target: "use" },
    ],
    variables: { limit: 5, list: ["a"], nested: { deep: true } },
  });
}

const found = (document: WorkflowDocument) =>
  validate(document).map(({ code, field }) => (field ? `${code} ${field}` : code));

describe("parameters", () => {
  it("are right when they fit the schema, templates included", () => {
    expect(validate(using({ method: "POST", headers: { a: "b" }, timeoutMs: 5 }))).toEqual([]);
  });

  it("are reported with block, code, field, value and a remedy", () => {
    expect(validate(using({ timeoutMs: "5" }))).toEqual([
      {
        block_id: "use",
        block_type: "http",
        code: "invalid_param",
        field: "timeoutMs",
        value: "5",
        error: "timeoutMs: expected number, received string; set it by an update.",
      },
    ]);
  });

  it.each([
    [{ url: undefined }, "missing_param url"],
    [{ url: "nowhere" }, "invalid_param url"],
    [{ method: "PUT" }, "invalid_param method"],
    [{ timeoutMs: 5_000 }, "invalid_param timeoutMs"],
    [{ tries: [1, "x"] }, "invalid_param tries[1]"],
    [{ headers: { "x-a": 1 } }, "invalid_param headers.x-a"],
    [{ body: { amount: "1" } }, "invalid_param body"],
    [{ ulr: 1 }, "unknown_param ulr"],
    [{ constructor: 1 }, "unknown_param constructor"],
    [{ accessToken: "t" }, "hidden_param_in_input accessToken"],
  ])("%j is found as %s", (params, expected) => {
    const document = using({});
    const block = document.blocks[2];
    const merged = Object.entries({ ...block?.params, ...params }).filter(([, value]) => value !== undefined);
    const blocks = document.blocks.map((each) =>
      each === block ? { ...each, params: Object.fromEntries(merged) } : each,
    );
    expect(found({ ...document, blocks } as WorkflowDocument)).toEqual([expected]);
  });

  it("that may hold secrets are never shown back", () => {
    const [error] = validate(using({ headers: { "x-a": 4711 } }));
    expect(error).not.toHaveProperty("value");
    expect(error?.error).not.toContain("4711");
  });

  it("of a disabled block are not looked at", () => {
    expect(validate(using({ url: "{{nobody.x}}", stray: 1 }, { enabled: false }))).toEqual([]);
  });

  it("of an open schema may have any name, and a schema that throws is left to the run", () => {
    const open: BlockType = {
      type: "open",
      kind: "compute",
      params: z.looseObject({ text: z.string().transform((text) => JSON.parse(text)) }),
      outputs: z.object({}),
      hasOpenOutputs: false,
    };
    const blockTypes = { get: () => open, types: () => ["open"] };
    const document = documentOf({
      blocks: [{ id: "o", type: "open", params: { text: "{{trigger.x}}", any: 1 } }],
    });
    expect(validate(document, blockTypes)).toEqual([]);
  });

  it("of an unknown type give one error that names the nearest types", () => {
    const errors = validate(
      documentOf({ blocks: [{ id: "a", type: "webhook", params: { x: "{{nobody.x}}" } }] }),
    );
    expect(errors.map((error) => error.code)).toEqual(["block_type_not_registered"]);
    expect(errors[0]?.error).toContain("the nearest types are trigger_webhook");
  });
});

describe("references", () => {
  it.each([
    "{{trigger.anything[0].at.all}}",
    "{{trigger}}",
    "{{start.any.path}}",
    "{{fetch.note}}",
    "{{Fetch order.note}}",
    "{{fetch.headers.x-id}}",
    "{{fetch.items[0].id}}",
    "{{fetch.body.any.path}}",
    "{{vars.nested.deep}} and {{vars.list[0]}}",
    "{{fetch.status}} of {{vars.limit}}",
  ])("%s may be used upstream of the block", (url) => {
    expect(validate(using({ url }))).toEqual([]);
  });

  it.each([
    ["{{nobody.x}}", "reference_block_not_found"],
    ["{{Fetch Order.body}}", "reference_block_not_found"],
    ["{{__proto__.x}}", "reference_block_not_found"],
    ["{{use.status}}", "reference_not_upstream"],
    ["{{fetch.stauts}}", "reference_output_not_declared"],
    ["{{fetch.status.code}}", "reference_output_not_declared"],
    ["{{fetch.constructor}}", "reference_output_not_declared"],
    ["{{fetch.items.id}}", "reference_output_not_declared"],
    ["{{vars.missing}}", "reference_variable_not_found"],
    ["{{vars.nested.other}}", "reference_variable_not_found"],
    ["{{vars.constructor}}", "reference_variable_not_found"],
    ["{{secrets.TOKEN}}", "secret_not_allowed"],
    ["{{ }}", "malformed_reference"],
    ["https://a.example/{{fetch.body", "malformed_reference"],
  ])("%s is found as %s, whole or inside longer text, and gives no second error", (url, code) => {
    expect(found(using({ url }))).toEqual([`${code} url`]);
    expect(found(using({ url: `x ${url}` }))).toEqual([`${code} url`]);
    expect(found(using({ headers: { deep: "ok", a: url } }))).toEqual(
      code === "secret_not_allowed" ? [] : [`${code} headers.a`],
    );
  });

  it("name the nearest block, the declared outputs and the variables there are", () => {
    const errors = validate(using({ url: "{{fecth.body}} {{fetch.boddy}} {{vars.limt}}" })).map(
      ({ error }) => error,
    );
    expect(errors[0]).toContain("the nearest ids are fetch");
    expect(errors[1]).toContain("it declares status, body, headers, note, items, flag");
    expect(errors[2]).toContain("the nearest variables are limit");
  });

  it("mean the id first; a name that several blocks have is ambiguous", () => {
    const blocks = [
      { id: "a", type: "transform", name: "Same", params: { template: 1 } },
      { id: "b", type: "transform", name: "Same", params: { template: 1 } },
      { id: "c", type: "transform", name: "a", params: { template: 1 } },
      { id: "d", type: "transform", params: { template: ["{{Same.result}}", "{{a.result}}"] } },
    ];
    const connections = ["a", "b"].map((source) => ({ source, target: "d" }));
    const errors = validate(documentOf({ blocks, connections }));
    expect(errors.map(({ code, field }) => [code, field])).toEqual([["reference_ambiguous", "template[0]"]]);
    expect(errors[0]?.error).toContain("use an id: a, b");
  });

  it("reach through enabled blocks only, and say when the block is disabled", () => {
    const document = using({ url: "{{start.x}}" });
    const blocks = document.blocks.map((block) =>
      block.id === "fetch" ? { ...block, enabled: false } : block,
    );
    expect(found({ ...document, blocks })).toEqual(["reference_not_upstream url"]);
    const [error] = validate({
      ...using({ url: "{{fetch.note}}" }),
      blocks: using({ url: "{{fetch.note}}" }).blocks.map((block) =>
        block.id === "fetch" ? { ...block, enabled: false } : block,
      ),
    });
    expect(error?.error).toContain('"fetch" is disabled');
  });

  it("to secrets are allowed in secret parameters, at any depth", () => {
    expect(
      validate(using({ headers: { authorization: "Bearer {{secrets.TOKEN}}" }, body: "{{secrets.TOKEN}}" })),
    ).toEqual([]);
  });
});

describe("a template has the type of what it names", () => {
  it.each([
    [{ timeoutMs: "{{fetch.status}}" }],
    [{ timeoutMs: "{{vars.limit}}" }],
    [{ timeoutMs: "{{trigger.ms}}" }],
    [{ timeoutMs: "{{fetch.body}}" }],
    [{ timeoutMs: "{{start.x}}" }],
    [{ method: "{{fetch.note}}" }],
    [{ tries: "{{vars.list}}" }],
    [{ tries: ["{{fetch.status}}", 2, "{{trigger.n}}"] }],
    [{ headers: "{{fetch.headers}}" }],
    [{ headers: { a: "{{fetch.note}}", b: "{{fetch.status}} times" } }],
    [{ body: "{{fetch.items[0]}}" }],
    [{ body: { amount: "{{fetch.items[0].price}}" } }],
    [{ body: { amount: "{{trigger.amount}}" } }],
  ])("%j can fit", (params) => {
    expect(validate(using(params))).toEqual([]);
  });

  it.each([
    [{ timeoutMs: "{{fetch.flag}}" }, "timeoutMs"],
    [{ timeoutMs: "{{fetch.note}}" }, "timeoutMs"],
    [{ timeoutMs: "{{fetch.status}}0" }, "timeoutMs"],
    [{ url: "{{fetch.status}}" }, "url"],
    [{ method: "{{fetch.status}}" }, "method"],
    [{ tries: "{{fetch.headers}}" }, "tries"],
    [{ tries: ["{{fetch.status}}", "{{fetch.flag}}"] }, "tries[1]"],
    [{ headers: { a: "{{fetch.status}}" } }, "headers.a"],
    [{ body: "{{fetch.status}}" }, "body"],
    [{ body: { amount: "{{fetch.note}}" } }, "body.amount"],
    [{ timeoutMs: "{{vars.nested}}" }, "timeoutMs"],
  ])("%j cannot fit", (params, field) => {
    expect(found(using(params))).toEqual([`reference_type_mismatch ${field}`]);
  });

  it("and says what was expected and what it gives", () => {
    expect(validate(using({ timeoutMs: "{{fetch.note}}" }))[0]).toMatchObject({
      value: "{{fetch.note}}",
      error: "timeoutMs: expected number, but the template gives string or null; use another output.",
    });
  });

  it("while literal neighbours are still checked", () => {
    expect(
      found(using({ tries: ["{{trigger.n}}", "x"], method: "PUT", timeoutMs: "{{trigger.n}}" })),
    ).toEqual(["invalid_param method", "invalid_param tries[1]"]);
  });

  it("and coercing or recursive schemas are understood", () => {
    type Tree = { label: string; children?: Tree[] | undefined };
    const tree: z.ZodType<Tree> = z.lazy(() =>
      z.object({ label: z.string(), children: z.array(tree).optional() }),
    );
    const type: BlockType = {
      type: "tree",
      kind: "compute",
      params: z.object({ count: z.coerce.number(), on: z.stringbool().optional(), key: secret(z.string()) }),
      outputs: z.object({
        tree,
        when: z.date().optional(),
        either: z.union([z.object({ a: z.number() }), z.object({ b: z.string() })]),
      }),
      hasOpenOutputs: false,
    };
    const check = (template: string, name = "count") =>
      validate(
        documentOf({
          blocks: [
            { id: "a", type: "tree", params: { count: 1, key: "k" } },
            { id: "b", type: "tree", params: { count: 1, key: "k", [name]: template } },
          ],
          connections: [{ source: "a", target: "b" }],
        }),
        { get: () => type, types: () => ["tree"] },
      ).map(({ code }) => code);
    expect(check("{{a.tree.children[0].children[1].label}}")).toEqual([]);
    expect(check("{{a.tree.children[0].children[1].lable}}")).toEqual(["reference_output_not_declared"]);
    expect(check("{{a.when}}")).toEqual([]);
    expect(check("{{a.either.a}}", "key")).toEqual(["reference_type_mismatch"]);
    expect(check("{{a.either.b}}", "key")).toEqual([]);
    expect(check("{{a.either.c}}", "key")).toEqual(["reference_output_not_declared"]);
    expect(check("yes {{a.either.b}}", "on")).toEqual([]);
  });
});

describe("the graph", () => {
  const blocks = [
    { id: "t", type: "trigger_webhook" },
    { id: "a", type: "transform", params: { template: 1 } },
    { id: "b", type: "transform", params: { template: 1 } },
    { id: "c", type: "transform", params: { template: 1 } },
  ];
  const graph = (...connections: Connection[]) => validate(documentOf({ blocks, connections }));

  it("may not have the same id, connection or a missing end", () => {
    const errors = validate(
      documentOf({
        blocks: [...blocks, { id: "a", type: "transform", params: { template: 1 } }],
        connections: [
          { source: "a", target: "b" },
          { source: "a", target: "b", sourceHandle: "yes" },
          { source: "a", target: "b" },
          { source: "ghost", target: "b" },
          { source: "a", target: "ghost" },
          { source: "ghost", target: "spirit" },
          { source: "a", target: "t" },
        ],
      }),
    );
    expect(errors.map(({ block_id, code, field }) => [block_id, code, field])).toEqual([
      ["a", "duplicate_block_id", undefined],
      ["a", "duplicate_connection", "connections[2]"],
      ["b", "invalid_edge_source", "connections[3]"],
      ["a", "invalid_edge_target", "connections[4]"],
      [null, "invalid_edge_source", "connections[5]"],
      [null, "invalid_edge_target", "connections[5]"],
      ["a", "invalid_edge_target", "connections[6]"],
    ]);
  });

  it("may not have a cycle; the error names its blocks in order", () => {
    const errors = graph(
      { source: "b", target: "a" },
      { source: "a", target: "c" },
      { source: "c", target: "b" },
    );
    expect(errors).toEqual([
      {
        block_id: "a",
        block_type: "transform",
        code: "cycle",
        value: ["a", "c", "b"],
        error: "The blocks a → c → b → a form a cycle; disconnect one of them.",
      },
    ]);
    expect(graph({ source: "a", target: "a" }).map(({ code }) => code)).toEqual(["cycle"]);
  });

  it("has conditions that read what has run by then", () => {
    const condition = (text: string) =>
      graph({ source: "a", target: "b" }, { source: "b", target: "c", condition: text }).map(
        ({ code, field }) => [code, field],
      );
    for (const text of ["{{b.result}}", "{{a.result.isGood}}", "{{trigger.ok}}", "{{a.result}} > 1", "true"])
      expect(condition(text)).toEqual([]);
    const field = "connections[1].condition";
    expect(condition("{{a.result}} >")).toEqual([["invalid_condition", field]]);
    expect(condition("{{ }}")).toEqual([["invalid_condition", field]]);
    expect(condition("{{c.result}}")).toEqual([["reference_not_upstream", field]]);
    expect(condition("c.result = 1")).toEqual([["reference_not_upstream", field]]);
    expect(condition("{{b.other}}")).toEqual([["reference_output_not_declared", field]]);
    expect(condition("{{secrets.S}}")).toEqual([["secret_not_allowed", field]]);
    expect(condition("{{vars.v}}")).toEqual([["reference_variable_not_found", field]]);
  });
});

describe("the list of errors", () => {
  it("follows the blocks, then the connections, then the cycles", () => {
    const document = documentOf({
      blocks: [
        { id: "z", type: "transform" },
        { id: "a", type: "http" },
      ],
      connections: [
        { source: "z", target: "a", condition: "x >" },
        { source: "a", target: "z" },
      ],
    });
    expect(validate(document).map(({ block_id, code }) => `${block_id} ${code}`)).toEqual([
      "z missing_param",
      "a missing_param",
      "z invalid_condition",
      "z cycle",
    ]);
  });

  it("ends at 1,000 and says the same thing about one text once", () => {
    const repeated = documentOf({
      blocks: [{ id: "a", type: "transform", params: { template: "{{x.y}}".repeat(1_000) } }],
    });
    expect(validate(repeated)).toHaveLength(1);
    const template = Array.from({ length: 5_000 }, (_, index) => `{{x${index}.y}}`);
    expect(
      validate(documentOf({ blocks: [{ id: "a", type: "transform", params: { template } }] })),
    ).toHaveLength(1_000);
  });
});
