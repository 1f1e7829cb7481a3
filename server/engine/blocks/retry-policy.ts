import type { Connector } from "../../connectors/define-connector.js";
import type { Block } from "../../workflows/document.js";

/** Longest back-off that a far side may ask for, in milliseconds: one day. */
const MAX_RETRY_AFTER_MS = 86_400_000;

/** A retry policy with nothing left open; times in milliseconds. */
export interface FullRetryPolicy {
  readonly maxAttempts: number;
  readonly initialMs: number;
  readonly maxMs: number;
  readonly factor: number;
  /** Error codes to try again for; null: every failure that another attempt can help. */
  readonly on: readonly string[] | null;
}

/** The retry policy of a block: its own fields over its connector's over the defaults. */
export function retryPolicyOf(block: Block, connector: Connector | undefined): FullRetryPolicy {
  const byConnector = connector?.kind === "compute" ? connector.retry : {};
  return {
    maxAttempts: block.retry?.maxAttempts ?? byConnector.maxAttempts ?? 1,
    initialMs: block.retry?.initialMs ?? byConnector.initialMs ?? 1_000,
    maxMs: block.retry?.maxMs ?? byConnector.maxMs ?? 60_000,
    factor: block.retry?.factor ?? byConnector.factor ?? 2,
    on: block.retry?.on ?? byConnector.on ?? null,
  };
}

/** Whether a failed attempt is followed by another; one that no other can help never is, whatever the policy names. */
export function isTriedAgain(
  policy: FullRetryPolicy,
  attempt: number,
  failure: { readonly code: string; readonly isRetryable: boolean },
): boolean {
  const isListed = policy.on === null || policy.on.includes(failure.code);
  return attempt < policy.maxAttempts && failure.isRetryable && isListed;
}

/** Milliseconds between a failed attempt and the next; never less than the far side asked for. */
export function backoffMs(
  policy: FullRetryPolicy,
  failedAttempt: number,
  retryAfterMs: number | null,
): number {
  const exponential = Math.min(policy.initialMs * policy.factor ** (failedAttempt - 1), policy.maxMs);
  return Math.max(exponential, Math.min(retryAfterMs ?? 0, MAX_RETRY_AFTER_MS));
}
