/** What credentials may do; declared by every procedure. */
export const permissions = [
  "workflows:read",
  "workflows:write",
  "runs:read",
  "runs:write",
  "schedules:read",
  "schedules:write",
  "connectors:read",
  "webhooks:read",
  "webhooks:write",
  "signals:write",
  "approvals:read",
  "approvals:write",
  "secrets:read",
  "secrets:write",
] as const;
export type Permission = (typeof permissions)[number];

/** Who asks, for which organization, and what they may do. Resolved anew on every request. */
export interface Principal {
  readonly kind: "user" | "api_key";
  /** User id or API key id. */
  readonly id: string;
  /** The user, or the one who made the key; null for a key whose maker is not known. */
  readonly userId: string | null;
  readonly organizationId: string;
  readonly permissions: ReadonlySet<Permission>;
}
