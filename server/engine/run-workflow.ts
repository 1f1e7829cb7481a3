import { defineWorkflow, type Workflow } from "openworkflow";
import type { Logger } from "pino";
import { z } from "zod";
import type { BlockLogger } from "../connectors/define-connector.js";
import type { WorkflowDocument } from "../workflows/document.js";
import { type ActiveRuns, RunAbandonedError, type RunPass } from "./active-runs.js";
import type { BlockRecord } from "./execute-block.js";
import { type ConnectorLookup, type Plan, planDocument } from "./plan.js";
import { RunFailedError } from "./run-error.js";
import { type DurableSteps, walkDocument } from "./walk-document.js";

/** Name and version of the one durable workflow; a new version is registered beside the old when walking changes. */
export const RUN_WORKFLOW = { name: "flowkeep.run", version: "1" } as const;

/** What the engine's run is created with; the rest is read from the run's own row. */
export const RunPointer = z.object({
  organizationId: z.string(),
  workflowId: z.string(),
  versionId: z.string(),
});
export type RunPointer = z.infer<typeof RunPointer>;

/** A run with the document it is pinned to. */
export interface LoadedRun {
  /** The same object for the same version where possible: what is derived from it is kept with it. */
  readonly document: WorkflowDocument;
  readonly input: unknown;
  readonly trigger: unknown;
}

export interface RunWorkflowOptions {
  /** The run, or null when it is gone. */
  readonly loadRun: (organizationId: string, runId: string) => Promise<LoadedRun | null>;
  readonly connectors: ConnectorLookup;
  readonly activeRuns: ActiveRuns;
  /** Gives a run of this process back, so that another worker goes on. */
  readonly handBack: (runId: string) => Promise<void>;
  readonly logger: Logger;
  readonly now: () => Date;
}

type StepApi = Parameters<Workflow<unknown, unknown, unknown>["fn"]>[0]["step"];

/** The durable workflow that walks the document of any run. */
export function createRunWorkflow(options: RunWorkflowOptions): Workflow<unknown, unknown, unknown> {
  const { activeRuns, handBack, logger, now } = options;
  const plans = new WeakMap<WorkflowDocument, Plan>();
  const planOf = (document: WorkflowDocument): Plan => {
    const plan = plans.get(document) ?? planDocument(document, options.connectors);
    plans.set(document, plan);
    return plan;
  };

  return defineWorkflow(RUN_WORKFLOW, async ({ input, step, run }) => {
    const pass = activeRuns.enter(run.id);
    try {
      const { organizationId } = RunPointer.parse(input);
      const loaded = await options.loadRun(organizationId, run.id);
      if (loaded === null) {
        throw new RunFailedError({ code: "run_missing", message: "The run or its workflow was deleted." });
      }
      return await walkDocument({
        plan: planOf(loaded.document),
        steps: durableSteps(step, run.id, pass),
        organizationId,
        runId: run.id,
        input: loaded.input,
        signal: pass.signal,
        logFor: (blockId, attempt) => blockLogger(logger, { runId: run.id, blockId, attempt }),
        now,
      });
    } catch (error) {
      if (error instanceof RunAbandonedError) {
        // Once the run is given back, the engine's attempt to record this error is refused and dropped.
        if (error.reason === "handed_back") await handBack(run.id);
      } else if (!(isPark(error) || error instanceof RunFailedError)) {
        logger.error({ err: error, runId: run.id }, "A run ended with an error of the engine.");
      }
      throw error;
    } finally {
      pass.leave();
    }
  });
}

/** Our primitives over openworkflow's. Timers are signal waits with a timeout: a sleep would park every branch. */
function durableSteps(step: StepApi, runId: string, pass: RunPass): DurableSteps {
  return {
    async run(name, work) {
      // Work never fails by itself: it records its failures. What it throws is not to be tried again by the engine.
      const kept = await step.run({ name, retryPolicy: { maximumAttempts: 1 } }, async () => ({
        blocks: await work(),
      }));
      return kept.blocks satisfies BlockRecord[];
    },
    async wait(name, milliseconds) {
      await step.waitForSignal({ name, signal: `${runId}:${name}`, timeout: milliseconds });
    },
    crashesOf: (name) => pass.crashes.get(name) ?? 0,
    isPark,
  };
}

/** openworkflow does not export the class. */
function isPark(error: unknown): error is Error & { readonly resumeAt: Date } {
  return error instanceof Error && error.name === "SleepSignalError" && "resumeAt" in error;
}

function blockLogger(logger: Logger, ids: { runId: string; blockId: string; attempt: number }): BlockLogger {
  return {
    info: (message, fields) => logger.info({ ...fields, ...ids }, message),
    warn: (message, fields) => logger.warn({ ...fields, ...ids }, message),
    error: (message, fields) => logger.error({ ...fields, ...ids }, message),
  };
}
