/** Longest value of a secret, in bytes as UTF-8. */
export const MAX_SECRET_BYTES = 65_536;

/** Names of secrets: like an environment variable, 1 to 64 letters, digits and underscores, no digit first. */
export const SECRET_NAME_PATTERN = /^[A-Za-z_][A-Za-z0-9_]{0,63}$/;

/** Whether an organization can have a secret of this name. */
export function isSecretName(text: string): boolean {
  return SECRET_NAME_PATTERN.test(text);
}
