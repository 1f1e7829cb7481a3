import type { EditOutcome } from "./apply-edit-operations.js";
import type { ValidationError } from "./validation-error.js";

/** Most lines of each list. */
const MAX_LINES = 50;

/** What a summary tells about. */
export type SummarizedEdit = EditOutcome & {
  readonly validationErrors: readonly ValidationError[];
  readonly isDryRun: boolean;
};

/**
 * One plain text that a person or a model can read as it is: what was applied, each skipped operation and each
 * validation error with its remedy, and what to do next.
 */
export function summarizeEdit(edit: SummarizedEdit): string {
  return [
    describeApplied(edit),
    ...list(
      "Not applied:",
      edit.skipped.map((item) => {
        const what = [item.operation_type, item.block_id].filter((part) => part !== null).join(" ");
        return `- ops[${item.op_index}]${what === "" ? "" : ` ${what}`} (${item.reason_code}): ${item.reason}`;
      }),
      "skipped_items",
    ),
    ...list(
      "The workflow cannot run yet:",
      edit.validationErrors.map(
        ({ block_id, code, error }) =>
          `- ${block_id === null ? "" : `block ${block_id} `}(${code}): ${error}`,
      ),
      "validation_errors",
    ),
    describeNextStep(edit),
  ].join("\n");
}

function describeApplied({
  applied,
  appliedByType,
  total,
  isChanged,
  isDryRun,
  document,
}: SummarizedEdit): string {
  const kinds = [...appliedByType].map(([type, count]) => `${count} ${type}`).join(", ");
  const saved = isDryRun ? "This was a dry run, so nothing was saved." : "The result was saved.";
  return (
    `Applied ${applied} of ${total} ${total === 1 ? "operation" : "operations"}${kinds === "" ? "" : ` (${kinds})`}. ` +
    `${isChanged ? saved : "The workflow is as it was before."} ` +
    `It has ${count(document.blocks.length, "block")} and ${count(document.connections.length, "connection")}.`
  );
}

function describeNextStep({ skipped, validationErrors, document, isDryRun }: SummarizedEdit): string {
  if (skipped.length > 0 || validationErrors.length > 0) {
    return isDryRun
      ? "Next: mend what is listed above and send the batch again."
      : "Next: send one batch that mends what is listed above; what was applied need not be sent again.";
  }
  if (isDryRun) return "Next: send the same batch without dryRun to save it.";
  if (!document.blocks.some((block) => block.enabled)) {
    return "Next: add a block; a workflow without an enabled block cannot run.";
  }
  return "Next: the workflow is valid; run it, or edit it further.";
}

function list(title: string, lines: readonly string[], field: string): string[] {
  if (lines.length === 0) return [];
  const rest = lines.length - MAX_LINES;
  return [title, ...lines.slice(0, MAX_LINES), ...(rest > 0 ? [`- and ${rest} more, in ${field}.`] : [])];
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}
