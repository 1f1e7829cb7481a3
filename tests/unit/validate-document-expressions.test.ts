import { describe, expect, it } from "vitest";
import { validateDocument } from "../../server/workflows/validate-document.js";
import { documentOf, sampleBlockTypes } from "../support/sample-block-types.js";

type Parts = Parameters<typeof documentOf>[0];

const validate = (parts: Parts) => validateDocument(documentOf(parts), sampleBlockTypes);

describe("an expression in a parameter", () => {
  const compute = (params: object, more: Parts = {}) =>
    validate({
      variables: { limit: 3 },
      ...more,
      blocks: [
        { id: "start", type: "trigger_webhook" },
        { id: "fetch", type: "http", params: { url: "https://e.example" } },
        { id: "later", type: "transform", params: { template: 1 } },
        { id: "sum", type: "compute", params: params as Record<string, string> },
      ],
      connections: [
        { source: "start", target: "fetch" },
        { source: "fetch", target: "sum" },
      ],
    });

  it.each([
    "1 + 1",
    "{{fetch.status}} = 200",
    "fetch.status = 200 and trigger.anything.at.all > vars.limit",
    "$sum(fetch.items.price)",
    "fetch.items[price > 3].id",
    "$map(fetch.items, function($item) { $item.price * vars.limit })",
    "$.fetch.status",
    "fetch.items.{ 'name': id, 'status': $$.fetch.status }",
    "$keys(vars)",
  ])("may be %s", (formula) => {
    expect(compute({ formula })).toEqual([]);
  });

  it.each([
    ["1 +", "invalid_expression"],
    ["$total(fetch.items)", "invalid_expression"],
    ["sum(fetch.items)", "invalid_expression"],
    ["$$", "invalid_expression"],
    ['"{{fetch.status}}"', "invalid_expression"],
    ["fetch.status = paid", "reference_block_not_found"],
    ["later.result", "reference_not_upstream"],
    ["{{later.result}} > 1", "reference_not_upstream"],
    ["fetch.items[price > $$.later.result]", "reference_not_upstream"],
    ["fetch.total", "reference_output_not_declared"],
    ["vars.missing + 1", "reference_variable_not_found"],
    ["{{secrets.S}} & 'x'", "secret_not_allowed"],
    ["secrets.S", "secret_not_allowed"],
    ["{{secrets.S}}", "secret_not_allowed"],
  ])("may not be %s", (formula, code) => {
    expect(compute({ formula })).toMatchObject([{ block_id: "sum", code, field: "formula" }]);
  });

  it("is found in the values of records too, and names itself by its path", () => {
    expect(compute({ columns: { a: "1", b: "1 +" } })).toMatchObject([
      { code: "invalid_expression", field: "columns.b", value: "1 +" },
    ]);
  });

  it("may be long, but not all of them together", () => {
    const long = Array(1_000).fill("1").join("+");
    const columns = Object.fromEntries(Array.from({ length: 60 }, (_, index) => [`c${index}`, long]));
    const errors = compute({ columns });
    expect(errors).toHaveLength(60 - Math.floor(100_000 / long.length));
    expect(errors[0]?.error).toContain("more than 100000 characters");
  });

  it("says what is wrong and where", () => {
    expect(compute({ formula: "fetch.items[" })[0]?.error).toBe(
      'formula: Expected "]" before end of expression, near character 12.',
    );
    expect(compute({ formula: "fetch.status = paid" })[0]?.error).toContain("text stands in quotes");
  });
});

describe("a literal parameter", () => {
  it("may not hold references, because none is filled", () => {
    const blocks = [{ id: "a", type: "compute", params: { query: "select {{trigger.x}}" } }];
    expect(validate({ blocks })).toMatchObject([{ code: "reference_not_filled", field: "query" }]);
    expect(validate({ blocks: [{ id: "a", type: "compute", params: { query: "select 1" } }] })).toEqual([]);
  });
});
