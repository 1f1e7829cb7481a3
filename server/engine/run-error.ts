import { z } from "zod";

/** Why a run failed, as clients read it; block and attempt are absent where no block is to blame. */
export const RunError = z.object({
  code: z.string(),
  message: z.string(),
  blockId: z.string().optional(),
  attempt: z.number().optional(),
});
export type RunError = z.infer<typeof RunError>;

const NAME = "RunFailedError";

/** Most step attempts of one run of the engine; openworkflow reads no more. */
export const MAX_STEP_ATTEMPTS = 1_000;

/** Why a run fails that would need more. */
export const stepLimitExceeded: RunError = {
  code: "step_limit_exceeded",
  message: `The run needed more than ${MAX_STEP_ATTEMPTS} step attempts; split the workflow or retry less often.`,
};

/** What openworkflow stores for a run whose deadline has passed. */
export const DEADLINE_MESSAGE = "Workflow run deadline exceeded";

/**
 * Thrown out of the durable workflow to fail a run. openworkflow keeps `name` and `message` only, so the message is
 * the error as JSON; there is no stack to keep.
 */
export class RunFailedError extends Error {
  constructor(error: RunError) {
    super(JSON.stringify(error));
    this.name = NAME;
    delete this.stack;
  }
}

/** What openworkflow stored for a failed run, as an error for clients; internal text never gets out. */
export function toRunError(stored: unknown): RunError {
  const { name, message, code } = StoredError.catch({}).parse(stored);
  if (name === NAME && message !== undefined) return RunError.parse(JSON.parse(message));
  if (code === "STEP_LIMIT_EXCEEDED") return stepLimitExceeded;
  if (message === DEADLINE_MESSAGE) {
    return { code: "deadline_exceeded", message: "The run did not end before its deadline." };
  }
  return { code: "engine_failed", message: "The engine could not go on with this run; start it again." };
}

const StoredError = z.object({
  name: z.string().optional(),
  message: z.string().optional(),
  code: z.string().optional(),
});
