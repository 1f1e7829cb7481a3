/** States of an attempt: `interrupted` ran in a worker that went away and was, or will be, tried anew. */
export const attemptStatuses = [
  "running",
  "waiting",
  "completed",
  "failed",
  "interrupted",
  "canceled",
] as const;
export type AttemptStatus = (typeof attemptStatuses)[number];

/** What an attempt shows: a try of a block, what a block waits for, or the pause between two tries. */
export const attemptKinds = ["block", "wait", "backoff"] as const;
export type AttemptKind = (typeof attemptKinds)[number];
