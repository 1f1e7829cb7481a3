import { describe, expect, it } from "vitest";
import { summarizeEdit } from "../../server/workflows/edit-summary.js";
import { validateDocument } from "../../server/workflows/validate-document.js";
import { sampleBlockTypes } from "../support/sample-block-types.js";
import { apply, empty } from "../support/sample-edits.js";

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
