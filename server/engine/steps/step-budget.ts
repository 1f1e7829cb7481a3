import type { Connector } from "../../connectors/define-connector.js";
import type { Block, WorkflowDocument } from "../../workflows/document.js";
import { EACH_HANDLE, LOOP_TYPE, loopPathsOf } from "../../workflows/loop-paths.js";
import { retryPolicyOf } from "../blocks/retry-policy.js";

/** Step attempts that the blocks of a document outside of loops may need; the rest is left for crashes. */
export const MAX_RUN_STEPS = 900;
/** Step attempts that one item may need, and most that the items of one part of a loop are planned with. */
export const MAX_PART_STEPS = 800;

/** Step attempts that a document can take at most, crashes aside. */
export interface StepBudget {
  /** By the blocks outside of loops, the loops themselves included. */
  readonly outside: number;
  /** By one item of a loop, by the id of the loop; loops inside it count as one block. */
  readonly perItem: ReadonlyMap<string, number>;
}

/** The most step attempts that a document can take, whatever path its runs go. */
export function worstCaseSteps(
  document: WorkflowDocument,
  connectors: { get(type: string): Connector | undefined },
): StepBudget {
  const paths = loopPathsOf(document);
  const perItem = new Map<string, number>(
    document.blocks.filter(({ type }) => type === LOOP_TYPE).map(({ id }) => [id, 0]),
  );
  const add = (loopId: string, steps: number) => perItem.set(loopId, (perItem.get(loopId) ?? 0) + steps);
  let outside = 0;
  for (const block of document.blocks) {
    const steps = stepsOfBlock(block, connectors.get(block.type));
    const loopId = paths.of(block.id).at(-1);
    if (loopId === undefined) outside += steps;
    else add(loopId, steps);
  }
  const deciding = document.connections.filter(
    ({ source, sourceHandle, condition }) =>
      perItem.has(source) && sourceHandle === EACH_HANDLE && condition !== undefined,
  );
  for (const loopId of new Set(deciding.map(({ source }) => source))) add(loopId, 1);
  return { outside, perItem };
}

/** Step attempts that one run of a block can take: those of its tries and the pauses between them. */
export function stepsOfBlock(block: Block, connector: Connector | undefined): number {
  if (!block.enabled) return 0;
  const { maxAttempts } = retryPolicyOf(block, connector);
  return maxAttempts * stepsOfAttempt(connector) + maxAttempts - 1;
}

function stepsOfAttempt(connector: Connector | undefined): number {
  if (connector?.kind !== "wait") return 1;
  return "waitMs" in connector ? 2 : 3;
}
