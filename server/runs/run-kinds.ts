/** States of a run as clients see them. */
export const runStates = ["pending", "running", "waiting", "completed", "failed", "canceled"] as const;
export type RunState = (typeof runStates)[number];

/** `workflow` is a `run_workflow` block of another run, `failure` the `onFailure` of one that failed. */
export const triggerKinds = ["manual", "schedule", "webhook", "workflow", "failure"] as const;

/** What started a run; `kind` is the discriminator, further fields depend on it. */
export interface RunTrigger {
  readonly kind: (typeof triggerKinds)[number];
  readonly [field: string]: unknown;
}

/** Most runs that may start each other, by `run_workflow` and by `onFailure`. */
export const MAX_RUN_DEPTH = 10;
