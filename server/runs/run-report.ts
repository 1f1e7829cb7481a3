import type { Logger } from "pino";
import type { Sql } from "../db/client.js";
import { RUN_MILESTONE_CHANNEL } from "../engine/database/run-change-sql.js";
import type { RunState, RunTrigger } from "./run-kinds.js";

/** A run that was dispatched or has ended. */
export interface RunMilestone {
  readonly runId: string;
  readonly workflowId: string;
  readonly trigger: RunTrigger["kind"];
  /** `pending` when it was dispatched. */
  readonly state: RunState;
  /** From its start to its end; null before the end. */
  readonly seconds: number | null;
}

/** Milestones of the same kind that one transaction has caused. */
interface RunMilestones extends Pick<RunMilestone, "trigger" | "state" | "seconds"> {
  /** `application_name` of the connection that caused them. */
  readonly origin: string;
  readonly runs: readonly (readonly [runId: string, workflowId: string])[];
}

export interface RunReportOptions {
  /** Pool whose connection listens. */
  readonly sql: Sql;
  /** How the `application_name` of this process's connections ends, and of no other's. */
  readonly origin: string;
  readonly logger: Logger;
  readonly onMilestone: (milestone: RunMilestone) => void;
}

/**
 * Writes a log line for every run that this process dispatches and ends, and hands it to `onMilestone`: among all
 * processes each exactly once, whatever ended the run. Ends with the pool.
 */
export async function reportRuns({ sql, origin, logger, onMilestone }: RunReportOptions): Promise<void> {
  await sql.listen(RUN_MILESTONE_CHANNEL, (payload) => {
    const { origin: cause, runs, ...common } = JSON.parse(payload) as RunMilestones;
    if (!cause.endsWith(origin)) return;
    for (const [runId, workflowId] of runs) {
      const milestone: RunMilestone = { runId, workflowId, ...common };
      logger.info(milestone, milestone.seconds === null ? "run dispatched" : "run ended");
      onMilestone(milestone);
    }
  });
}
