import { describe, expect, it } from "vitest";
import { z } from "zod";
import { secret } from "../../server/connectors/define-connector.js";
import type { BlockType } from "../../server/workflows/block-types.js";
import { documentOf } from "../support/sample-block-types.js";
import { found, using, validate } from "../support/sample-documents.js";

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
    expect(validate(using({ headers: { a: "{{fetch.status}}" } }))[0]?.error).toBe(
      "headers.a: expected string, but the template gives number; use another output, or make it text inside longer text or with $string in a transform.",
    );
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
