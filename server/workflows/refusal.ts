import type { SkippedItem } from "./skip-reasons.js";

/** Why an operation, or one parameter of it, was not applied. */
export type Refusal = Pick<SkippedItem, "reason_code" | "reason" | "details">;

/** A refusal; `details` is absent where there are none. */
export function refusal(
  reason_code: Refusal["reason_code"],
  reason: string,
  details?: Refusal["details"],
): Refusal {
  return details === undefined ? { reason_code, reason } : { reason_code, reason, details };
}
