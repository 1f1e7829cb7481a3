import { describe, expect, it } from "vitest";
import { z } from "zod";
import { builtinConnectors } from "../../server/connectors/builtin/index.js";
import { createCatalogue } from "../../server/connectors/catalogue.js";
import { applyEditOperations } from "../../server/workflows/apply-edit-operations.js";
import type { WorkflowDocument } from "../../server/workflows/document.js";
import { nearestNames } from "../../server/workflows/nearest-names.js";
import { validateDocument } from "../../server/workflows/validate-document.js";
import { processorMs } from "../support/processor-time.js";
import { documentOf } from "../support/sample-block-types.js";

/**
 * Each document is small enough to be kept and would, without the bound that its test names, hold the server up longer
 * than a test may take, or bring an answer of hundreds of megabytes.
 */
const catalogue = createCatalogue(
  builtinConnectors({ httpAllowPrivate: false, slackApiUrl: "https://slack.com/api/" }),
);
const validate = (document: Parameters<typeof documentOf>[0]) =>
  validateDocument(documentOf(document), catalogue);
type JsonValue = WorkflowDocument["variables"][string];
const list = <T>(length: number, of: (index: number) => T) => Array.from({ length }, (_, index) => of(index));

describe("a document full of mistakes", () => {
  const others = list(499, (index) => ({
    id: `b${index}`.padEnd(60, "x"),
    type: "transform",
    params: { template: 1 },
  }));
  const using = (template: string) =>
    validate({ blocks: [...others, { id: "a", type: "transform", params: { template } }] });

  it("names the first hundred of one text", () => {
    const errors = using(list(50_000, (index) => `{{q${index}}}`).join(""));
    expect(errors.map(({ code }) => code)).toEqual(Array(100).fill("reference_block_not_found"));
    expect(errors[99]?.error).toContain("{{q99}}");
  });

  it("names a mistake once that one text makes again and again", () => {
    expect(using("{{q}}".repeat(100_000))).toHaveLength(1);
  });

  it("looks for names like the one that is missing among the first thousand", () => {
    const errors = validate({
      blocks: [
        { id: "a", type: "transform", params: { template: list(1_000, (index) => `{{vars.q${index}}}`) } },
      ],
      variables: Object.fromEntries(list(80_000, (index) => [`v${index}`, 1])),
    });
    expect(errors).toHaveLength(1_000);
    expect(errors[0]?.error).toContain("the nearest variables are v0");
  });

  it("lists the first twenty handles of a block that has more", () => {
    const errors = validate({
      blocks: [
        {
          id: "if",
          type: "condition",
          params: { branches: list(40_000, (index) => ({ name: `n${index}` })) },
        },
        others[0] ?? { id: "b", type: "transform" },
      ],
      connections: list(2_000, (index) => ({
        source: "if",
        target: others[0]?.id ?? "b",
        sourceHandle: `h${index}`,
      })),
    });
    expect(errors).toHaveLength(1_000);
    expect(JSON.stringify(errors).length).toBeLessThan(1_000_000);
    expect(errors.at(-1)?.error).toContain('"n18", "n19" and 39982 more.');
  });

  it("has five thousand expressions read", () => {
    const branches = list(30_000, (index) => ({ name: `n${index}`, when: "1" }));
    const errors = validate({ blocks: [{ id: "if", type: "condition", params: { branches } }] });
    expect(errors).toHaveLength(1_000);
    expect(errors[0]).toMatchObject({
      code: "invalid_expression",
      field: "branches[5000].when",
      error: "branches[5000].when: The workflow has more than 5000 expressions; take some out.",
    });
  });
});

describe("a document that is large in one place", () => {
  it("may have a quarter of a million texts, deep inside", () => {
    const nested = (depth: number, value: JsonValue): JsonValue =>
      depth === 0 ? value : [nested(depth - 1, value)];
    const template = nested(
      90,
      list(300_000, () => ""),
    );
    let errors: unknown[] = [];
    const tookMs = processorMs(() => {
      errors = validate({ blocks: [{ id: "a", type: "transform", params: { template } }] });
    });
    expect(errors).toEqual([]);
    expect(tookMs).toBeLessThan(2_000);
  });

  it("may have any number of mistakes in one option of a parameter", () => {
    const type = {
      type: "choice",
      kind: "compute" as const,
      params: z.object({ list: z.union([z.number(), z.array(z.string())]) }),
      outputs: z.object({}),
      hasOpenOutputs: false,
    };
    const document = documentOf({
      blocks: [{ id: "a", type: "choice", params: { list: ["{{trigger.x}}", ...list(200_000, () => 1)] } }],
    });
    const errors = validateDocument(document, { get: () => type, types: () => ["choice"] });
    expect(errors).toHaveLength(1_000);
  });
});

describe("a batch that changes what is large again and again", () => {
  const many = Object.fromEntries(list(60_000, (index) => [`k${index}`, index]));
  const change = (of: (index: number) => object) => list(500, of);

  it.each<[string, Parameters<typeof documentOf>[0], object[]]>([
    [
      "parameters",
      { blocks: [{ id: "a", type: "transform", params: many }] },
      change((index) => ({ operation_type: "update", block_id: "a", params: { [`k${index}`]: null } })),
    ],
    [
      "variables",
      { variables: many },
      change((index) => ({ operation_type: "configure", variables: { [`k${index}`]: null } })),
    ],
  ])("takes about a second at most: %s", (_what, before, ops) => {
    let after: object = {};
    const tookMs = processorMs(() => {
      const { document, applied } = applyEditOperations(documentOf(before), ops, catalogue);
      expect(applied).toBe(500);
      after = document.blocks[0]?.params ?? document.variables;
    });
    expect(Object.keys(after)).toEqual(Object.keys(many).slice(500));
    expect(tookMs).toBeLessThan(5_000);
  });
});

describe("a batch full of mistakes", () => {
  it("names the first twenty handles in a refusal", () => {
    const document = documentOf({
      blocks: [
        { id: "a", type: "transform", params: { template: 1 } },
        { id: "b", type: "transform", params: { template: 1 } },
      ],
      connections: list(2_000, (index) => ({
        source: "a",
        target: "b",
        sourceHandle: `h${index}`.padEnd(100, "x"),
      })),
    });
    const ops = list(500, () => ({
      operation_type: "disconnect",
      block_id: "a",
      target_block_id: "b",
      source_handle: "none",
    }));
    const { skipped } = applyEditOperations(document, ops, catalogue);
    expect(skipped).toHaveLength(500);
    expect(skipped[0]?.details).toMatchObject({ source_handles: { length: 20 } });
    expect(skipped[0]?.reason).toMatch(/"h19x+", …\.$/);
    expect(JSON.stringify(skipped).length).toBeLessThan(4_000_000);
  });
});

describe("the nearest names", () => {
  it("are told apart by their beginnings, whatever their length", () => {
    const long = (text: string) => text.padEnd(5_000, "x");
    expect(nearestNames("customer", [long("order"), long("custommer"), "costumer"], 2)).toEqual([
      "costumer",
      long("order"),
    ]);
    expect(nearestNames("invoice_number", ["number", "invoices", "invoice_numbr"])).toEqual([
      "number",
      "invoice_numbr",
      "invoices",
    ]);
  });
});
