import { AppError } from "./app-error.js";

/** One entry of `issues[]`: where in the input, a stable code, and what was expected there. */
export interface InputIssue {
  readonly path: readonly (string | number)[];
  readonly code: string;
  readonly message: string;
}

/** An `invalid_body` whose message tells the first issue and whose details hold all of them. */
export function invalidBody(issues: readonly InputIssue[], cause?: unknown): AppError {
  const [first] = issues;
  const where = first === undefined || first.path.length === 0 ? "The request" : first.path.join(".");
  return new AppError("invalid_body", {
    message: `${where}: ${first?.message ?? "does not match the schema"}.`,
    details: { issues },
    cause,
  });
}
