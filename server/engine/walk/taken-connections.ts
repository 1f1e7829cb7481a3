import { BlockError, type JsonObject } from "../../connectors/define-connector.js";
import { ERROR_HANDLE, type PlannedBlock, type PlannedConnection } from "./plan.js";

/** How a block ended: `caught` failed, but its `onError` lets the run go on. */
export interface BlockEnd {
  readonly isCaught: boolean;
  readonly output: unknown;
}

/**
 * Positions of the connections that are taken after a block. A completed block takes those of the exits that its
 * output names and those without a handle, a caught one those at `error` and, with `onError: continue`, those without
 * a handle; of these the ones whose condition holds.
 * @throws BlockError `condition_failed` naming the connection.
 */
export async function takenConnections(
  planned: PlannedBlock,
  end: BlockEnd,
  evaluate: (condition: string) => Promise<unknown>,
): Promise<number[]> {
  const exits = end.isCaught ? [] : (planned.connector?.exits?.taken(end.output as JsonObject) ?? null);
  return holding(
    planned.outgoing.filter((connection) => leadsOn(planned, end, exits, connection)),
    evaluate,
  );
}

/** Positions of the connections whose condition holds or that have none. @throws BlockError `condition_failed`. */
export async function holding(
  connections: readonly PlannedConnection[],
  evaluate: (condition: string) => Promise<unknown>,
): Promise<number[]> {
  const taken: number[] = [];
  for (const { index, source, target, condition } of connections) {
    if (condition === undefined) {
      taken.push(index);
      continue;
    }
    try {
      if (await evaluate(condition)) taken.push(index);
    } catch (cause) {
      if (!(cause instanceof BlockError)) throw cause;
      const message = `The condition of the connection ${source} → ${target} failed: ${cause.message}`;
      throw new BlockError("condition_failed", message);
    }
  }
  return taken;
}

function leadsOn(
  { block, connector }: PlannedBlock,
  { isCaught }: BlockEnd,
  exits: readonly string[] | null,
  { sourceHandle }: PlannedConnection,
): boolean {
  if (isCaught) {
    const isPlain = sourceHandle === undefined || connector?.exits === undefined;
    return sourceHandle === ERROR_HANDLE || (block.onError === "continue" && isPlain);
  }
  if (sourceHandle === undefined) return true;
  return exits === null ? sourceHandle !== ERROR_HANDLE : exits.includes(sourceHandle);
}
