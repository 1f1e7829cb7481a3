import { type ErrorCode, errorRow, errorTable } from "./error-table.js";

/** A row of the error table as clients read it. */
export interface ErrorDescription {
  readonly code: ErrorCode;
  readonly status: number;
  readonly message: string;
  readonly remedy: string;
  readonly retryable: boolean;
  /** What each further field of the body holds. */
  readonly details: Record<string, string>;
}

/** Every code of the table, by status and then in the order of the table. */
export function describeErrors(): ErrorDescription[] {
  const codes = Object.keys(errorTable) as ErrorCode[];
  return codes
    .map((code) => {
      const { status, message, remedy, isRetryable, details } = errorRow(code);
      return { code, status, message, remedy, retryable: isRetryable, details: { ...details } };
    })
    .sort((left, right) => left.status - right.status);
}
