/**
 * A failure that says whether another attempt can help. Thrown values of any other class count as retryable with
 * code `block_failed`. `message` is shown to users: it must hold no secret.
 */
export class BlockError extends Error {
  /** Holds for errors of another copy of this package too, which a connector module may have loaded. */
  static override [Symbol.hasInstance](value: unknown): boolean {
    return value instanceof Error && value.name === "BlockError" && "isRetryable" in value;
  }

  readonly code: string;
  readonly isRetryable: boolean;
  /** Earliest next attempt, in milliseconds from now, when the far side asked for one. */
  readonly retryAfterMs: number | null;

  constructor(
    code: string,
    message: string,
    options: { isRetryable?: boolean; retryAfterMs?: number | null } = {},
  ) {
    super(message);
    this.name = "BlockError";
    this.code = code;
    this.isRetryable = options.isRetryable ?? false;
    this.retryAfterMs = options.retryAfterMs ?? null;
  }
}
