import { z } from "zod";
import { isUuid } from "../../db/uuid.js";
import type { ChildRun, ChildRuns } from "../../runs/child-runs.js";
import { type AwaitConnector, BlockError } from "../define-connector.js";

const Params = z.object({
  workflowId: z
    .string()
    .refine(isUuid, "must be the id of a workflow, which is a UUID")
    .meta({ title: "Workflow", description: "Id of a workflow of the same organization." }),
  version: z
    .int()
    .min(1)
    .optional()
    .meta({ title: "Version", description: "A version to stay with; the newest when left out." }),
  input: z
    .unknown()
    .optional()
    .meta({ title: "Input", description: "Input of the run; an empty object when left out." }),
});

/**
 * Runs another workflow of the organization and waits for its end. Canceling or failing the run that waits cancels
 * the other one.
 */
export function runWorkflow(children: Pick<ChildRuns, "start" | "find">): AwaitConnector {
  return {
    kind: "wait",
    type: "run_workflow",
    name: "Run workflow",
    description:
      "Runs another workflow and waits until it has ended. Its outputs are under output by block id, such as {{<id>.output.send.status}}. The block fails when the other run fails or is canceled.",
    category: "flow",
    params: Params,
    outputs: z.object({
      runId: z.string().describe("The run that was started."),
      output: z.record(z.string(), z.unknown()).describe("Outputs of the other run's blocks by block id."),
    }),
    examples: [
      {
        title: "Hand an order on",
        params: { workflowId: "6a8f2c1e-0d4b-4b53-9a57-5f2b8d1c7e90", input: { order: "{{start.order}}" } },
      },
    ],
    async open(params, context) {
      const { workflowId, version = null, input = {} } = params as z.output<typeof Params>;
      await children.start(context, { workflowId, version, input });
      return null;
    },
    async close(_params, context) {
      const child = await children.find(context);
      if (child?.state === "completed") return { runId: child.runId, output: child.outputs ?? {} };
      throw childFailed(child);
    },
  };
}

/** Another attempt of the block starts another run. */
function childFailed(child: ChildRun | null): BlockError {
  if (child === null) return new BlockError("child_failed", "The run that was started is gone.");
  const { runId, state, error } = child;
  if (error === null) {
    const what = state === "canceled" ? "was canceled" : `did not end; it is ${state}`;
    return new BlockError("child_failed", `The run ${runId} ${what}.`, { isRetryable: true });
  }
  const place = error.blockId === undefined ? "" : ` in block ${error.blockId}`;
  const message = `The run ${runId} failed${place} with ${error.code}: ${error.message}`;
  return new BlockError("child_failed", message, { isRetryable: true });
}
