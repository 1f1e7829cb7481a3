import { isDeepStrictEqual } from "node:util";
import type { BlockTypes } from "./block-types.js";
import type { WorkflowDocument } from "./document.js";
import { identifyOperation, parseOperation } from "./edit-operation.js";
import type { SkippedItem } from "./skip-reasons.js";
import { type Outcome, WorkflowDraft } from "./workflow-draft.js";

/** Most operations in one batch; what comes later is skipped. */
export const MAX_OPERATIONS = 500;
/** Most operations beyond the limit that get an item of their own. */
const MAX_EXPLAINED_BEYOND_LIMIT = 500;

/** What a batch did to a document. */
export interface EditOutcome {
  readonly document: WorkflowDocument;
  /** How many operations took effect, those that lost a parameter included. */
  readonly applied: number;
  /** The same, by operation type as it was sent. */
  readonly appliedByType: ReadonlyMap<string, number>;
  /** How many operations the batch held. */
  readonly total: number;
  /** In the order of the batch; an operation that took effect has one for each parameter that was dropped. */
  readonly skipped: SkippedItem[];
  /** Whether the document differs from the one that came in. */
  readonly isChanged: boolean;
}

/**
 * Applies each operation by itself, in order, to the result so far; what cannot be applied is skipped and explained,
 * the rest lands. Never throws and never touches `document`; a document without duplicate ids, dangling edges and
 * cycles stays so.
 */
export function applyEditOperations(
  document: WorkflowDocument,
  ops: readonly unknown[],
  blockTypes: BlockTypes,
): EditOutcome {
  const draft = new WorkflowDraft(document, blockTypes);
  const skipped: SkippedItem[] = [];
  const appliedByType = new Map<string, number>();
  for (const [op_index, raw] of ops.slice(0, MAX_OPERATIONS).entries()) {
    const identity = identifyOperation(raw);
    const { isApplied, refusals } = applyOne(draft, raw);
    const type = identity.operation_type;
    if (isApplied && type !== null) appliedByType.set(type, (appliedByType.get(type) ?? 0) + 1);
    skipped.push(...refusals.map((refusal) => ({ op_index, ...identity, ...refusal })));
  }
  skipped.push(...refuseBeyondLimit(ops));
  const applied = [...appliedByType.values()].reduce((sum, count) => sum + count, 0);
  const result = draft.toDocument();
  const isChanged = applied > 0 && !isDeepStrictEqual(result, document);
  return {
    document: isChanged ? result : document,
    applied,
    appliedByType,
    total: ops.length,
    skipped,
    isChanged,
  };
}

function applyOne(draft: WorkflowDraft, raw: unknown): Outcome {
  const parsed = parseOperation(raw);
  if (parsed.isValid) return draft.apply(parsed.operation);
  return { isApplied: false, refusals: [{ reason_code: "malformed_op", reason: parsed.reason }] };
}

/** The last item speaks for all that follow it, so that a huge batch has no huger answer. */
function refuseBeyondLimit(ops: readonly unknown[]): SkippedItem[] {
  const end = MAX_OPERATIONS + MAX_EXPLAINED_BEYOND_LIMIT;
  const silent = Math.max(0, ops.length - end);
  return ops.slice(MAX_OPERATIONS, end).map((raw, index, all) => {
    const following = index === all.length - 1 && silent > 0 ? ` So are the ${silent} that follow.` : "";
    return {
      op_index: MAX_OPERATIONS + index,
      ...identifyOperation(raw),
      reason_code: "limit_exceeded",
      reason: `A batch holds at most ${MAX_OPERATIONS} operations; this one is skipped, send it in another.${following}`,
      details: { limit: MAX_OPERATIONS },
    };
  });
}
