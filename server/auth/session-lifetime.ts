/**
 * How long sessions live, in seconds, for better-auth and for our own reading of its sessions: a session ends
 * `expiresInSeconds` after its last use, which is noted at most every `updateAgeSeconds`. One made with
 * `rememberMe: false` ends `unrememberedSeconds` after sign-in (fixed by better-auth) and never slides.
 */
export const sessionLifetime = {
  expiresInSeconds: 7 * 86_400,
  updateAgeSeconds: 86_400,
  unrememberedSeconds: 86_400,
} as const;
