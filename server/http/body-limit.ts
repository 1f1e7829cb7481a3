/** Largest request body on every door, in bytes. */
export const MAX_BODY_BYTES = 1_048_576;
