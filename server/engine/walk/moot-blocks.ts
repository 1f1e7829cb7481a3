import type { Plan } from "./plan.js";

/**
 * Ids of the blocks that nothing depends on any more: every path from them leads to a block that has started with
 * the first of its paths. A block without outgoing connections is never moot.
 */
export function mootBlocks(plan: Plan, startedRaces: ReadonlySet<string>): ReadonlySet<string> {
  const moot = new Set<string>();
  if (startedRaces.size === 0) return moot;
  for (const planned of plan.blocks.toReversed()) {
    const { block, outgoing } = planned;
    const isMoot =
      outgoing.length > 0 && outgoing.every(({ target }) => moot.has(target) || startedRaces.has(target));
    if (isMoot && !startedRaces.has(block.id)) moot.add(block.id);
  }
  return moot;
}
