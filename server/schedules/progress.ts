import { isCounted, spentReason } from "./decide-candidate.js";
import type { Settled } from "./ledger.js";
import type { FiringSchedule, ScheduleProgress } from "./store.js";

/** Names a schedule among those of all organizations. */
export const keyOf = ({ organizationId, id }: Pick<FiringSchedule, "organizationId" | "id">) =>
  `${organizationId}/${id}`;

/** How many runs towards `maxRuns` were started of each schedule, by `keyOf`. */
export function countStarted(settled: readonly Settled[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const { candidate, runId } of settled) {
    if (runId === null || !isCounted(candidate)) continue;
    const key = keyOf(candidate.schedule);
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return counts;
}

/** Where a schedule stands that goes on as before, with the runs it has started now. */
export function countedProgress(
  schedule: FiringSchedule,
  started: ReadonlyMap<string, number>,
): ScheduleProgress {
  const { organizationId, id, maxRuns, nextScheduledFor, nextFireAt } = schedule;
  const runCount = schedule.runCount + (started.get(keyOf(schedule)) ?? 0);
  const isSpent = maxRuns !== null && runCount >= maxRuns;
  return {
    organizationId,
    id,
    runCount,
    nextScheduledFor: isSpent ? null : nextScheduledFor,
    nextFireAt: isSpent ? null : nextFireAt,
    stoppedReason: isSpent && schedule.isEnabled ? spentReason(maxRuns) : null,
  };
}
