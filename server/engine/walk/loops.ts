import type { ForEachOutputs, ForEachParams } from "../../connectors/builtin/for-each.js";
import { BlockError } from "../../connectors/define-connector.js";
import type { Database, Sql } from "../../db/client.js";
import type { LoopPhases } from "../blocks/execute-block.js";
import { toStorableJson } from "../blocks/json-output.js";
import { MAX_RUN_BYTES } from "../blocks/output-room.js";
import { holdParent } from "../database/children.js";
import { ENGINE_NAMESPACE } from "../database/install-sql.js";
import { runOfWake } from "../database/wakes.js";
import { toRunError } from "../run-error.js";
import { PART_WORKFLOW, type PartPointer, type RunPointer } from "../run-pointer.js";
import { MAX_PART_STEPS } from "../steps/step-budget.js";
import type { Plan } from "./plan.js";
import type { ItemEnd, PartOutput } from "./walk-items.js";
import type { LoopPlace, Outputs } from "./walk-options.js";

/** One loop block of a run that is walked. */
export interface LoopSite extends RunPointer {
  readonly rootRunId: string;
  readonly loopId: string;
  readonly plan: Plan;
}

/** What the parts of an attempt of a loop share. */
export interface LoopScope {
  /** The items of the part. */
  readonly items: readonly unknown[];
  /** Outputs around the loop. */
  readonly around: Outputs;
}

interface PartRow {
  /** Index of the part's first item. */
  readonly from: number;
  readonly status: string;
  readonly error: unknown;
  /** Whether an item has failed in a strict loop. */
  readonly isStopped: boolean;
  /** What the part's output takes. */
  readonly bytes: number;
}

/** What a loop does: its items are walked in runs of the engine that hold some neighbouring items each. */
export function loopPhases(database: Database, site: LoopSite, place: LoopPlace): LoopPhases {
  return {
    async open(params) {
      const { items, maxItems, ...rest } = params as ForEachParams;
      if (items.length > maxItems) {
        throw new BlockError(
          "limit_exceeded",
          `items: there are ${items.length} items, but maxItems allows ${maxItems}; split the array, or raise maxItems, which goes up to 10000.`,
        );
      }
      if (items.length === 0) return 0;
      await openParts(database, site, place, { items, ...rest });
      return null;
    },
    async close(params) {
      const { items } = params as ForEachParams;
      if (items.length === 0) return toOutputs([]);
      return toOutputs(await collectItems(database.sql, place.wakeKey));
    },
  };
}

/** The items of a part and the outputs around its loop; null once the loop has ended. */
export async function readLoopScope(sql: Sql, { wakeKey, from, to }: PartPointer): Promise<LoopScope | null> {
  const [row] = await sql<LoopScope[]>`
    select jsonb_path_query_array(items, ${`$[${from} to ${to - 1}]`}::jsonpath) as items, scope as around
    from openworkflow.flowkeep_loops where wake_key = ${wakeKey}`;
  return row ?? null;
}

/** Writes the runs of all parts at once; as many start as the parallelism allows, the end of one starts the next. */
async function openParts(
  database: Database,
  site: LoopSite,
  { wakeKey, item, visible }: LoopPlace,
  { items, parallelism, onItemError }: Omit<ForEachParams, "maxItems">,
): Promise<void> {
  const { plan, loopId, organizationId, workflowId, versionId, rootRunId } = site;
  const size = Math.max(1, Math.floor(MAX_PART_STEPS / Math.max(1, plan.body(loopId).worstSteps)));
  const within = Math.min(parallelism, size);
  const openAtOnce = Math.max(1, Math.floor(parallelism / within));
  const pointers = Array.from({ length: Math.ceil(items.length / size) }, (_each, number): PartPointer => {
    const from = number * size;
    const to = Math.min(from + size, items.length);
    const isStrict = onItemError === "fail";
    const range = { loopId, item, wakeKey, from, to, parallelism: within, isStrict };
    return { organizationId, workflowId, versionId, rootRunId, ...range };
  });
  const stored = toStorableJson(items, MAX_RUN_BYTES).value;
  await database.transaction(async ({ sql }) => {
    await holdParent(sql, wakeKey);
    const { count } = await sql`
      insert into openworkflow.flowkeep_loops (wake_key, run_id, items, scope)
      values (${wakeKey}, ${runOfWake(wakeKey)}, ${JSON.stringify(stored)}::text::jsonb,
        ${JSON.stringify(aroundLoop(plan, loopId, visible))}::text::jsonb)
      on conflict do nothing`;
    // A step that runs again after a crash finds its parts.
    if (count === 0) return;
    await sql`
      with pointer as (
        select input, number from jsonb_array_elements(${JSON.stringify(pointers)}::text::jsonb)
          with ordinality as pointer(input, number)
      ), part as (
        insert into openworkflow.workflow_runs (
          namespace_id, id, workflow_name, version, status, config, input, attempts, available_at, created_at, updated_at
        )
        select ${ENGINE_NAMESPACE}, gen_random_uuid(), ${PART_WORKFLOW.name}, ${PART_WORKFLOW.version},
          case when number <= ${openAtOnce} then 'running' else 'pending' end, '{}', input, 0,
          case when number <= ${openAtOnce} then now() end, date_trunc('milliseconds', now()), now()
        from pointer
        returning id, (input->>'from')::int as first_item
      )
      insert into openworkflow.flowkeep_children (child_id, parent_id, root_id, wake_key, is_part, number)
      select id, ${runOfWake(wakeKey)}, ${rootRunId}, ${wakeKey}, true, first_item from part`;
  });
}

/** What the body may reference of what is around its loop. */
function aroundLoop(plan: Plan, loopId: string, visible: Readonly<Outputs>): Outputs {
  const before = plan.ancestorsOf(loopId);
  const ownIds = new Set(plan.blocks.map(({ block }) => block.id));
  return Object.fromEntries(Object.entries(visible).filter(([id]) => before.has(id) || !ownIds.has(id)));
}

/** What every item came to; a strict loop that was stopped fails. @throws BlockError. */
async function collectItems(sql: Sql, wakeKey: string): Promise<ItemEnd[]> {
  const parts = await sql<PartRow[]>`
    select link.number as "from", run.status, run.error, coalesce((run.output->'isStopped')::boolean, false) as "isStopped",
      coalesce(octet_length(run.output::text), 0) as bytes
    from openworkflow.flowkeep_children link
    join openworkflow.workflow_runs run on run.namespace_id = ${ENGINE_NAMESPACE} and run.id = link.child_id
    where link.wake_key = ${wakeKey} order by link.number`;
  const stopped = parts.find(({ isStopped }) => isStopped);
  const broken = parts.find(({ status }) => status !== "completed");
  if (stopped !== undefined || broken !== undefined) await cancelParts(sql, wakeKey);
  if (stopped !== undefined) {
    throw itemFailure(await readItems(sql, wakeKey, sql`link.number = ${stopped.from}`), stopped.from);
  }
  if (broken !== undefined) {
    const { code, message } = toRunError(broken.error);
    throw new BlockError(code, `Items of the loop could not be walked to their end: ${message}`);
  }
  requireRoom(parts.reduce((sum, { bytes }) => sum + bytes, 0));
  return readItems(sql, wakeKey, sql`true`);
}

/** Keeps outputs out of memory that certainly do not fit into the run; their text in the database has more spaces. */
function requireRoom(bytes: number): void {
  if (bytes <= 2 * MAX_RUN_BYTES) return;
  throw new BlockError(
    "output_too_large",
    `The items of the loop have outputs of about ${bytes} bytes together; ${MAX_RUN_BYTES} are allowed. Return less from its body.`,
  );
}

async function readItems(sql: Sql, wakeKey: string, which: ReturnType<Sql>): Promise<ItemEnd[]> {
  const parts = await sql<{ output: PartOutput }[]>`
    select run.output from openworkflow.flowkeep_children link
    join openworkflow.workflow_runs run on run.namespace_id = ${ENGINE_NAMESPACE} and run.id = link.child_id
    where link.wake_key = ${wakeKey} and ${which} order by link.number`;
  return parts.flatMap(({ output }) => output.items);
}

/** The failure of the first item that failed, of those from `from` on. */
function itemFailure(items: readonly ItemEnd[], from: number): BlockError {
  const position = items.findIndex((end) => end !== null && "error" in end);
  const end = items[position];
  const { code, message, blockId } = end && "error" in end ? end.error : { code: "item_failed", message: "" };
  const place = blockId === undefined ? "" : ` in block ${blockId}`;
  const text = `Item ${from + position} failed${place}: ${message}`;
  return new BlockError(code, text, { isRetryable: true });
}

async function cancelParts(sql: Sql, wakeKey: string): Promise<void> {
  await sql`
    update openworkflow.workflow_runs run
    set status = 'canceled', worker_id = null, available_at = null, finished_at = now(), updated_at = now()
    from openworkflow.flowkeep_children link
    where link.wake_key = ${wakeKey} and run.namespace_id = ${ENGINE_NAMESPACE} and run.id = link.child_id
      and run.status in ('pending', 'running', 'sleeping')`;
}

function toOutputs(items: readonly ItemEnd[]): ForEachOutputs {
  const errors = items.flatMap((end, index) => {
    if (end === null || !("error" in end)) return [];
    const { code, message, blockId = null } = end.error;
    return [{ index, code, message, blockId }];
  });
  return {
    results: items.map((end) => (end !== null && "outputs" in end ? end.outputs : null)),
    errors,
    count: items.length,
    succeeded: items.length - errors.length,
    failed: errors.length,
  };
}
