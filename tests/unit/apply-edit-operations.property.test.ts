import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { applyEditOperations } from "../../server/workflows/apply-edit-operations.js";
import { WorkflowDocument } from "../../server/workflows/document.js";
import { summarizeEdit } from "../../server/workflows/edit-summary.js";
import { SkippedItem } from "../../server/workflows/skip-reasons.js";
import { validateDocument } from "../../server/workflows/validate-document.js";
import { ValidationError } from "../../server/workflows/validation-error.js";
import { documentOf, sampleBlockTypes } from "../support/sample-block-types.js";

const id = fc.constantFrom("a", "b", "c", "d", "constructor", "__proto__", "trigger", "");
const text = fc.oneof(
  fc.constantFrom(
    "{{a.result}}",
    "x {{b.status}}",
    "{{trigger.x}}",
    "{{vars.v}}",
    "{{secrets.S}}",
    "{{",
    "a.result > 1",
    "{{a.result}} = 'x'",
    "$sum(",
    "https://e.example",
  ),
  fc.string(),
);
const value = fc.oneof(
  { weight: 3, arbitrary: text },
  fc.jsonValue({ maxDepth: 3 }).map((json) => structuredClone(json)),
);
const paramName = fc.constantFrom(
  "template",
  "formula",
  "expression",
  "branches",
  "items",
  "url",
  "headers",
  "accessToken",
  "duration",
  "unit",
  "__proto__",
  "stray",
);
const params = fc.dictionary(paramName, value, { noNullPrototype: true });

/** Objects that look like operations: right names, mostly right values. */
const operation = fc
  .record(
    {
      operation_type: fc.constantFrom(
        "add",
        "update",
        "edit",
        "remove",
        "delete",
        "connect",
        "disconnect",
        "configure",
        "move",
      ),
      block_id: id,
      type: fc.constantFrom(
        "transform",
        "http",
        "trigger_webhook",
        "wait_duration",
        "condition",
        "for_each",
        "compute",
        "nothing",
      ),
      target_block_id: id,
      source_handle: fc.constantFrom("yes", "each", "true", null, 5),
      condition: fc.constantFrom("{{a.result}}", "a.result > 1", "a >", null),
      name: fc.oneof(fc.constantFrom("a", "N", null), fc.jsonValue({ maxDepth: 1 })),
      params: fc.oneof({ weight: 5, arbitrary: params }, fc.jsonValue({ maxDepth: 2 })),
      enabled: fc.constantFrom(true, false, "false"),
      join: fc.constantFrom("any", "all", null, "some"),
      settings: fc.oneof(
        fc.record(
          {
            deadlineMs: fc.constantFrom(5_000, 1, null),
            onFailure: fc.constantFrom(null, {}, { workflowId: "w" }),
          },
          { requiredKeys: [] },
        ),
        fc.jsonValue({ maxDepth: 2 }),
      ),
      variables: fc.oneof(
        fc.dictionary(fc.constantFrom("v", "__proto__", "w"), value),
        fc.jsonValue({ maxDepth: 2 }),
      ),
      metadata: fc.oneof(
        fc.record(
          { name: fc.constantFrom("N", null, ""), tags: fc.constantFrom([], ["t"], null, [1]) },
          { requiredKeys: [] },
        ),
        fc.jsonValue({ maxDepth: 2 }),
      ),
    },
    { requiredKeys: ["operation_type", "block_id"], noNullPrototype: true },
  )
  .map((fields) => keepKnownFields(fields));

/** Leaves most operations with the fields of their type, so that many of them land. */
function keepKnownFields(fields: Record<string, unknown>): unknown {
  const kept: Record<string, string[]> = {
    add: ["type", "name", "params", "enabled", "join"],
    update: ["name", "params", "enabled", "join"],
    configure: ["settings", "variables", "metadata"],
    edit: ["params"],
    connect: ["target_block_id", "source_handle", "condition"],
    disconnect: ["target_block_id", "source_handle"],
  };
  const own = fields.operation_type === "configure" ? [] : ["block_id"];
  const names = ["operation_type", ...own, ...(kept[String(fields.operation_type)] ?? [])];
  return Object.fromEntries(Object.entries(fields).filter(([name]) => names.includes(name)));
}

const seed = [
  { operation_type: "add", block_id: "a", type: "transform" },
  { operation_type: "add", block_id: "b", type: "http" },
  { operation_type: "add", block_id: "c", type: "transform" },
  { operation_type: "connect", block_id: "a", target_block_id: "b" },
];
const batch = fc.array(fc.oneof({ weight: 8, arbitrary: operation }, fc.jsonValue()), { maxLength: 40 });

describe("applying any list of JSON values to a sound document", () => {
  it("never throws, never touches the input, and leaves a sound document", () => {
    fc.assert(
      fc.property(batch, batch, (first, second) => {
        const input = applyEditOperations(documentOf({}), [...seed, ...first], sampleBlockTypes).document;
        const before = structuredClone(input);
        const { document } = applyEditOperations(input, second, sampleBlockTypes);
        expect(input).toEqual(before);
        expect(WorkflowDocument.parse(document)).toEqual(document);
        expect(JSON.parse(JSON.stringify(document))).toEqual(document);
        const structural = [
          "duplicate_block_id",
          "cycle",
          "duplicate_connection",
          "invalid_edge_source",
          "invalid_edge_target",
        ];
        const errors = validateDocument(document, sampleBlockTypes);
        expect(errors.filter((error) => structural.includes(error.code))).toEqual([]);
        for (const error of errors) expect(ValidationError.parse(error)).toEqual(error);
      }),
      { numRuns: 300 },
    );
  });

  it("accounts for every operation: it was applied or it is explained, and the report says the same", () => {
    fc.assert(
      fc.property(batch, (ops) => {
        const result = applyEditOperations(documentOf({}), ops, sampleBlockTypes);
        const { applied, skipped, appliedByType, isChanged, document } = result;
        const explained = new Set(skipped.map((item) => item.op_index));
        const silent = ops.length - explained.size;
        expect(applied).toBeGreaterThanOrEqual(silent);
        expect(applied).toBeLessThanOrEqual(ops.length);
        const whole = skipped.filter(
          ({ reason_code }) => !["hidden_param_in_input", "unknown_param"].includes(reason_code),
        );
        expect(new Set(whole.map((item) => item.op_index)).size).toBe(whole.length);
        expect(applied).toBeLessThanOrEqual(ops.length - whole.length);
        expect([...appliedByType.values()].reduce((sum, count) => sum + count, 0)).toBe(applied);
        expect(isChanged).toBe(JSON.stringify(document) !== JSON.stringify(documentOf({})));
        for (const item of skipped) expect(SkippedItem.parse(item)).toEqual(item);
        expect(skipped.map((item) => item.op_index)).toEqual(
          skipped.map((item) => item.op_index).sort((a, b) => a - b),
        );
        const validationErrors = validateDocument(document, sampleBlockTypes);
        expect(summarizeEdit({ ...result, validationErrors, isDryRun: false })).toContain(
          `Applied ${applied} of ${ops.length} `,
        );
      }),
      { numRuns: 300 },
    );
  });

  it("gives the same result for one batch as for its operations sent one by one", () => {
    fc.assert(
      fc.property(batch, (ops) => {
        const whole = applyEditOperations(documentOf({}), ops, sampleBlockTypes);
        let document = documentOf({});
        for (const op of ops) document = applyEditOperations(document, [op], sampleBlockTypes).document;
        expect(whole.document).toEqual(document);
      }),
      { numRuns: 300 },
    );
  });
});

describe("validation", () => {
  const block = fc.record({
    id: fc.constantFrom("a", "b", "c"),
    type: fc.constantFrom("transform", "http", "gone"),
    params,
  });
  const connection = fc.record({
    source: fc.constantFrom("a", "b", "x"),
    target: fc.constantFrom("a", "b", "c"),
  });

  it("never throws on any document, and finds the same errors in the same order each time", () => {
    fc.assert(
      fc.property(
        fc.array(block, { maxLength: 6 }),
        fc.array(connection, { maxLength: 8 }),
        (blocks, connections) => {
          const document = WorkflowDocument.parse({ blocks, connections });
          const errors = validateDocument(document, sampleBlockTypes);
          expect(validateDocument(structuredClone(document), sampleBlockTypes)).toEqual(errors);
        },
      ),
      { numRuns: 300 },
    );
  });
});
