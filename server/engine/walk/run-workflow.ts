import { defineWorkflow, type Workflow } from "openworkflow";
import type { Backend } from "openworkflow/internal";
import type { Logger } from "pino";
import type { BlockLogger } from "../../connectors/define-connector.js";
import type { Database } from "../../db/client.js";
import type { WorkflowDocument } from "../../workflows/document.js";
import type { EvaluateFor } from "../blocks/execute-block.js";
import { OutputRoom } from "../blocks/output-room.js";
import type { ReadSecrets } from "../blocks/resolve-params.js";
import { readWakes } from "../database/wakes.js";
import { RunFailedError } from "../run-error.js";
import { PART_WORKFLOW, PartPointer, RUN_WORKFLOW, RunPointer } from "../run-pointer.js";
import { Parked, RunSteps } from "../steps/run-steps.js";
import { type ActiveRuns, RunAbandonedError, type RunPass } from "../worker/active-runs.js";
import { loopPhases, readLoopScope } from "./loops.js";
import { type ConnectorLookup, type Plan, planDocument } from "./plan.js";
import { Walk } from "./walk.js";
import { ItemsWalk, type PartOutput } from "./walk-items.js";
import type { AttemptObserver, Outputs, WalkOptions } from "./walk-options.js";

/** A run with the document it is pinned to. */
export interface LoadedRun {
  /** The same object for the same version where possible: what is derived from it is kept with it. */
  readonly document: WorkflowDocument;
  readonly input: unknown;
  readonly trigger: unknown;
  /** The user who asked for it, with a key of theirs too; else the key, schedule or hook that started it. */
  readonly startedBy: string;
}

/** What a completed run leaves: the output of every block that ran. */
export interface RunOutput {
  readonly outputs: Readonly<Record<string, unknown>>;
}

export interface RunWorkflowOptions {
  /** As the worker sees it. */
  readonly backend: Backend;
  readonly database: Database;
  /** The run, or null when it is gone. */
  readonly loadRun: (organizationId: string, runId: string) => Promise<LoadedRun | null>;
  readonly readSecrets: ReadSecrets;
  readonly evaluate: EvaluateFor;
  readonly connectors: ConnectorLookup;
  readonly activeRuns: ActiveRuns;
  /** Gives a run of this process back, so that another worker goes on. */
  readonly handBack: (runId: string) => Promise<void>;
  /** Runs database work again while the database cannot be reached. */
  readonly retry: <T>(work: () => Promise<T>) => Promise<T>;
  readonly onAttempt?: AttemptObserver | undefined;
  readonly logger: Logger;
  readonly now: () => Date;
}

type PlanOf = (document: WorkflowDocument) => Plan;

/**
 * The durable workflows of runs and of parts of loops. They keep their steps themselves, over openworkflow's public
 * backend, because its own primitives end a pass with the first branch that waits.
 */
export function createRunWorkflows(options: RunWorkflowOptions): Workflow<unknown, unknown, unknown>[] {
  const plans = new WeakMap<WorkflowDocument, Plan>();
  const planOf = (document: WorkflowDocument): Plan => {
    const plan = plans.get(document) ?? planDocument(document, options.connectors);
    plans.set(document, plan);
    return plan;
  };
  return [
    defineWorkflow(RUN_WORKFLOW, ({ input, run }) =>
      guard(options, run.id, (pass) => walkRun(options, planOf, RunPointer.parse(input), run.id, pass)),
    ),
    defineWorkflow(PART_WORKFLOW, ({ input, run }) =>
      guard(options, run.id, (pass) => walkPart(options, planOf, PartPointer.parse(input), run.id, pass)),
    ),
  ];
}

/** One pass over a run; gives the run back when this process has to let go of it. */
async function guard<T>(
  { activeRuns, handBack, logger }: RunWorkflowOptions,
  runId: string,
  work: (pass: RunPass) => Promise<T>,
): Promise<T> {
  const pass = activeRuns.enter(runId);
  try {
    return await work(pass);
  } catch (error) {
    if (error instanceof RunAbandonedError) {
      // Once the run is given back, the engine's attempt to record this error is refused and dropped.
      if (error.reason === "handed_back") await handBack(runId);
    } else if (!(error instanceof RunFailedError)) {
      logger.error({ err: error, runId }, "A run ended with an error of the engine.");
    }
    throw error;
  } finally {
    pass.leave();
  }
}

/** What both kinds of runs are walked with. */
interface Journey {
  readonly pointer: RunPointer;
  readonly plan: Plan;
  readonly loaded: LoadedRun;
  /** The run that clients see, and the engine's own, which is the same outside of parts of loops. */
  readonly rootRunId: string;
  readonly runId: string;
  readonly pass: RunPass;
  readonly around: Outputs;
  readonly item: string | null;
}

/**
 * Walks a document to its end, or to the point where it waits.
 * @throws RunFailedError once nothing runs any more and a block has failed; any error of the engine untouched.
 */
async function walkRun(
  options: RunWorkflowOptions,
  planOf: PlanOf,
  pointer: RunPointer,
  runId: string,
  pass: RunPass,
): Promise<RunOutput | Parked> {
  const loaded = await requireRun(options, pointer, runId);
  const plan = planOf(loaded.document);
  const journey = { pointer, plan, loaded, rootRunId: runId, runId, pass, around: {}, item: null };
  const walking = walkOptions(options, journey);
  const walk = new Walk(walking);
  walk.start();
  const end = await walking.steps.conclude(walk.end);
  if (end instanceof Parked) return end;
  if (!end.ok) throw new RunFailedError(end.error);
  return { outputs: end.outputs };
}

/** Walks some items of a loop; a part never fails because of its items. */
async function walkPart(
  options: RunWorkflowOptions,
  planOf: PlanOf,
  pointer: PartPointer,
  runId: string,
  pass: RunPass,
): Promise<PartOutput | Parked> {
  const { loopId, from, parallelism, isStrict, item, rootRunId } = pointer;
  const [loaded, scope] = await Promise.all([
    requireRun(options, pointer, rootRunId),
    options.retry(() => readLoopScope(options.database.sql, pointer)),
  ]);
  // The loop has ended, and this part with it.
  if (scope === null) throw new RunAbandonedError("ended_elsewhere");
  const plan = planOf(loaded.document).body(loopId);
  const walking = walkOptions(options, { pointer, plan, loaded, rootRunId, runId, pass, item, ...scope });
  const walk = new ItemsWalk(walking, { loopId, from, items: scope.items, parallelism, isStrict });
  walk.start();
  return walking.steps.conclude(walk.end, () => walk.giveUpWaiting());
}

async function requireRun(
  { loadRun, retry }: RunWorkflowOptions,
  { organizationId }: RunPointer,
  runId: string,
): Promise<LoadedRun> {
  const loaded = await retry(() => loadRun(organizationId, runId));
  if (loaded !== null) return loaded;
  throw new RunFailedError({ code: "run_missing", message: "The run or its workflow was deleted." });
}

function walkOptions(options: RunWorkflowOptions, journey: Journey): WalkOptions {
  const { backend, database, retry, logger, evaluate, now } = options;
  const { pointer, plan, loaded, rootRunId, runId, pass, around, item } = journey;
  const { organizationId, workflowId, versionId } = pointer;
  const site = { organizationId, workflowId, versionId, rootRunId, plan };
  return {
    plan,
    steps: new RunSteps({
      backend,
      runId,
      pass,
      readWakes: (wakeKeys) => retry(() => readWakes(database.sql, wakeKeys)),
    }),
    organizationId,
    workflowId,
    runId: rootRunId,
    startedBy: loaded.startedBy,
    input: loaded.input,
    around,
    item,
    room: new OutputRoom(),
    signal: pass.signal,
    logFor: (blockId, attempt) => blockLogger(logger, { runId: rootRunId, blockId, attempt }),
    readSecrets: (id, names) => retry(() => options.readSecrets(id, names)),
    evaluate: (text, scope) => evaluate(organizationId, text, scope),
    onAttempt: options.onAttempt,
    retry,
    loopOf: ({ block }, place) => loopPhases(database, { ...site, loopId: block.id }, place),
    now,
  };
}

function blockLogger(logger: Logger, ids: { runId: string; blockId: string; attempt: number }): BlockLogger {
  return {
    info: (message, fields) => logger.info({ ...fields, ...ids }, message),
    warn: (message, fields) => logger.warn({ ...fields, ...ids }, message),
    error: (message, fields) => logger.error({ ...fields, ...ids }, message),
  };
}
