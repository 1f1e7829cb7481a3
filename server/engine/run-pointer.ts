import { z } from "zod";

/** Name and version of the durable workflow of a run; a new version is registered beside the old when walking changes. */
export const RUN_WORKFLOW = { name: "flowkeep.run", version: "1" } as const;
/** Name and version of the durable workflow of a part of a loop. */
export const PART_WORKFLOW = { name: "flowkeep.part", version: "1" } as const;

/** What the engine's run is created with; the rest is read from the run's own row. */
export const RunPointer = z.object({
  organizationId: z.string(),
  workflowId: z.string(),
  versionId: z.string(),
});
export type RunPointer = z.infer<typeof RunPointer>;

/** What a part of a loop is created with: some neighbouring items of one attempt of a loop. */
export const PartPointer = RunPointer.extend({
  /** The run that clients see. */
  rootRunId: z.string(),
  loopId: z.string(),
  /** Item of the loops around this one. */
  item: z.string().nullable(),
  /** Names the attempt of the loop. */
  wakeKey: z.string(),
  /** Index of the first item and the one after the last. */
  from: z.int(),
  to: z.int(),
  parallelism: z.int(),
  isStrict: z.boolean(),
});
export type PartPointer = z.infer<typeof PartPointer>;
