import type { BlockTypes } from "../../server/workflows/block-types.js";
import type { Block, WorkflowDocument } from "../../server/workflows/document.js";
import { validateDocument } from "../../server/workflows/validate-document.js";
import { documentOf, sampleBlockTypes } from "./sample-block-types.js";

/** What is wrong with the document. */
export function validate(document: WorkflowDocument, blockTypes: BlockTypes = sampleBlockTypes) {
  return validateDocument(document, blockTypes);
}

/** start → fetch → use, where `use` is an http block with these parameters. */
export function using(params: object, more: Partial<Block> = {}): WorkflowDocument {
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

/** Code and field of each error. */
export const found = (document: WorkflowDocument) =>
  validate(document).map(({ code, field }) => (field ? `${code} ${field}` : code));
