/**
 * Says what went wrong without the values of a statement: of an error its innermost cause, because Drizzle puts the
 * parameters, among them password hashes and session tokens, into the message of the outer one.
 */
export function describeCause(cause: unknown): string {
  if (!(cause instanceof Error)) return typeof cause === "string" ? cause : typeof cause;
  if (cause.cause instanceof Error) return describeCause(cause.cause);
  const code = "code" in cause && typeof cause.code === "string" ? ` ${cause.code}` : "";
  return `${cause.name}${code}: ${cause.message}`;
}
