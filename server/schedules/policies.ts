/** What happens at an instant while an earlier run of the same schedule has not ended. */
export const overlapPolicies = ["allow", "skip", "buffer_one", "cancel_previous"] as const;
export type OverlapPolicy = (typeof overlapPolicies)[number];

/** Which of the instants that passed while nothing could fire get a run afterwards. */
export const catchupModes = ["none", "latest", "all"] as const;

/** How a schedule makes up for instants that are late by more than a minute. */
export interface Catchup {
  readonly mode: (typeof catchupModes)[number];
  /** Instants that are older are missed; null sets no limit. */
  readonly windowSeconds: number | null;
  /** Most instants that `all` starts at once. */
  readonly max: number;
}

/** What can become of an instant; `pending` waits for its run. */
export const outcomes = [
  "pending",
  "fired",
  "caught_up",
  "backfilled",
  "skipped_overlap",
  "missed",
  "failed",
] as const;
export type Outcome = (typeof outcomes)[number];

/** The outcomes that come with a run. */
export type RunOutcome = Extract<Outcome, "fired" | "caught_up" | "backfilled">;

/** `calendar`: an instant of the cron expression, once per schedule. `manual`: started by hand beside them. */
export const occurrenceKinds = ["calendar", "manual"] as const;
export type OccurrenceKind = (typeof occurrenceKinds)[number];
