import { describe, expect, it } from "vitest";
import { z } from "zod";
import { emailConnector } from "../../server/connectors/builtin/email.js";
import { guardedAgent } from "../../server/connectors/builtin/guarded-agent.js";
import { httpConnector } from "../../server/connectors/builtin/http.js";
import { postgresQueryConnector } from "../../server/connectors/builtin/postgres-query.js";
import { runWorkflow } from "../../server/connectors/builtin/run-workflow.js";
import { waitDuration } from "../../server/connectors/builtin/wait-duration.js";
import { createCatalogue } from "../../server/connectors/catalogue.js";
import type { BlockType } from "../../server/workflows/block-types.js";
import type { Block, Connection, WorkflowDocument } from "../../server/workflows/document.js";
import { documentOf } from "../support/sample-block-types.js";
import { found, using, validate } from "../support/sample-documents.js";

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

describe("the parameters of built-in blocks", () => {
  const builtIn = createCatalogue([
    emailConnector(() => true),
    httpConnector(guardedAgent(() => true)),
    postgresQueryConnector({ allowsPrivate: true }),
    waitDuration,
    runWorkflow({ start: async () => undefined, find: async () => null }),
  ]);
  const check = (type: string, params: Block["params"], variables: WorkflowDocument["variables"] = {}) =>
    validate(documentOf({ blocks: [{ id: "use", type, params }], variables }), builtIn).map(
      ({ code, field, error }) => `${code} ${field}: ${error}`,
    );

  it("ask for the id of a workflow where it does not come from a reference", () => {
    expect(check("run_workflow", { workflowId: "nope" })).toEqual([
      "invalid_param workflowId: workflowId: must be the id of a workflow, which is a UUID; set it by an update.",
    ]);
    for (const workflowId of ["6a8f2c1e-0d4b-4b53-9a57-5f2b8d1c7e90", "{{vars.id}}", "6a8f{{vars.id}}"]) {
      expect(check("run_workflow", { workflowId }, { id: "x" })).toEqual([]);
    }
  });

  it("ask for a text or HTML of an e-mail", () => {
    const mail = { to: "ada@example.com", subject: "Hello" };
    expect(check("email", mail)).toEqual([
      "invalid_param text: text: must be set, or html; set it by an update.",
    ]);
    expect(check("email", { ...mail, html: "{{vars.html}}" }, { html: "<p>" })).toEqual([]);
  });

  it("ask for a statement in a query", () => {
    const connectionUrl = "{{secrets.DATABASE_URL}}";
    expect(check("postgres_query", { connectionUrl, query: " ; -- nothing" })).toEqual([
      "invalid_param query: query: must hold a statement, not only spaces, semicolons and comments; set it by an update.",
    ]);
  });

  it.each([
    [
      "http",
      { url: "https://example.com", body: { a: 1 } },
      "body",
      /GET cannot carry a body; remove it or choose/,
    ],
    ["http", { url: "https://example.com", method: "HEAD", body: "" }, "body", /HEAD cannot carry a body/],
    ["http", { url: "https://ada:word@example.com/" }, "url", /user name or password; send them in the auth/],
    ["http", { url: "https://example.com:25/" }, "url", /port that belongs to another protocol.*; use/],
    [
      "http",
      { url: "https://example.com", headers: { "bad name": "x" } },
      "headers",
      /"bad name".*remove them/,
    ],
    ["wait_duration", { duration: 53, unit: "w" }, "duration", /53 w is longer than one year; wait 365 days/],
    [
      "postgres_query",
      { connectionUrl: "postgres://db/data", query: "select 1" },
      "connectionUrl",
      /names no user; write postgres:\/\/user:password@host/,
    ],
  ] satisfies [string, Block["params"], string, RegExp][])(
    "of %s are refused when an attempt would refuse them: %j",
    (type, params, field, error) => {
      const found = validate(documentOf({ blocks: [{ id: "use", type, params }] }), builtIn);
      expect(found).toMatchObject([{ code: "invalid_param", field }]);
      expect(found[0]?.error).toMatch(new RegExp(`^${field}: .*${error.source}`));
      expect(JSON.stringify(found)).not.toContain("word@example");
    },
  );

  it("are left to the attempt where they hold a template, and fine where an attempt takes them", () => {
    const variables = { x: "x" };
    for (const [type, params] of [
      ["http", { url: "https://example.com", body: "{{vars.x}}" }],
      ["http", { url: "https://example.com", method: "{{vars.x}}", body: { a: 1 } }],
      ["http", { url: "https://ada:{{vars.x}}@example.com/" }],
      ["http", { url: "https://example.com", headers: { "bad name": "{{vars.x}}" } }],
      ["http", { url: "https://example.com:8443", method: "POST", headers: { a: 1 }, body: { a: 1 } }],
      ["http", { url: "https://example.com", body: null }],
      ["wait_duration", { duration: 53, unit: "{{vars.x}}" }],
      ["wait_duration", { duration: 52, unit: "w" }],
      ["postgres_query", { connectionUrl: "postgres://{{vars.x}}/data", query: "select 1" }],
    ] satisfies [string, Block["params"]][]) {
      expect(check(type, params, variables), JSON.stringify(params)).toEqual([]);
    }
  });
});
