import type { Sql } from "../../db/client.js";
import { RunAbandonedError } from "../worker/active-runs.js";
import { ENGINE_NAMESPACE } from "./install-sql.js";
import { runOfWake } from "./wakes.js";

/** A run that another run started: its end wakes the wait of this key, and the other run's end cancels it. */
export interface ParentLink {
  readonly wakeKey: string;
  /** The run that clients see. */
  readonly rootRunId: string;
}

/**
 * Keeps the run that a wait belongs to from ending until the transaction does, so that its end finds every child.
 * @throws RunAbandonedError when it has ended.
 */
export async function holdParent(sql: Sql, wakeKey: string): Promise<void> {
  const [parent] = await sql`
    select from openworkflow.workflow_runs
    where namespace_id = ${ENGINE_NAMESPACE} and id = ${runOfWake(wakeKey)}
      and status in ('pending', 'running', 'sleeping')
    for share`;
  if (parent === undefined) throw new RunAbandonedError("ended_elsewhere");
}

/** Links a child to its parent in the transaction that creates it; the caller holds the parent. */
export async function linkChild(sql: Sql, childId: string, parent: ParentLink): Promise<void> {
  await sql`
    insert into openworkflow.flowkeep_children (child_id, parent_id, root_id, wake_key, is_part)
    values (${childId}, ${runOfWake(parent.wakeKey)}, ${parent.rootRunId}, ${parent.wakeKey}, false)`;
}
