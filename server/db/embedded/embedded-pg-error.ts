/**
 * Why an embedded PostgreSQL cannot be used: no binaries for this machine, folder taken by another server, root
 * without a way to another user, unusable folder, cluster of another major version, or PostgreSQL itself failed.
 */
export type EmbeddedPgErrorCode = "UNSUPPORTED" | "IN_USE" | "ROOT" | "FOLDER" | "VERSION" | "FAILED";

/** A start that cannot go on; `message` is for the person who started the server and names the remedy. */
export class EmbeddedPgError extends Error {
  override readonly name = "EmbeddedPgError";
  readonly code: EmbeddedPgErrorCode;

  constructor(code: EmbeddedPgErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
