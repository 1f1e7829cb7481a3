import { MAX_PART_STEPS, MAX_RUN_STEPS, type StepBudget } from "../engine/steps/step-budget.js";
import type { Block, WorkflowDocument } from "./document.js";
import { errorAt, type ValidationError } from "./validation-error.js";

/** Counts the steps that runs of a document can need at most. */
export type StepsOf = (document: WorkflowDocument) => StepBudget;

/** What would need more steps than the engine keeps of one run. */
export function* checkSteps(
  { outside, perItem }: StepBudget,
  byId: ReadonlyMap<string, Block>,
): Generator<ValidationError> {
  const remedy = "allow fewer attempts, or move blocks into a workflow that run_workflow starts";
  if (outside > MAX_RUN_STEPS) {
    const error = `A run could need ${outside} steps, retries included; ${MAX_RUN_STEPS} are possible: ${remedy}.`;
    yield errorAt(undefined, "too_many_steps", error);
  }
  for (const [id, steps] of perItem) {
    if (steps <= MAX_PART_STEPS) continue;
    const error = `One item of loop "${id}" could need ${steps} steps, retries included; ${MAX_PART_STEPS} are possible: ${remedy}.`;
    yield errorAt(byId.get(id), "too_many_steps", error);
  }
}
