import type { ListedWebhook, StoredWebhook } from "./store.js";
import type { Verification } from "./verification.js";

/** A webhook as clients read it: its secrets are never read again. */
export interface Webhook {
  readonly id: string;
  /** Where senders deliver. */
  readonly url: string;
  readonly name: string;
  readonly workflowId: string;
  readonly workflowVersion: number | null;
  readonly verification: Verification;
  readonly enabled: boolean;
  readonly stoppedReason: string | null;
  readonly inputMapping: unknown;
  readonly filter: string | null;
  readonly deliveryKey: string | null;
  readonly allowWait: boolean;
  readonly rateLimitPerMinute: number;
  readonly previousSecretEndsAt: Date | null;
  readonly version: number;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** A row of the list: without the mapping, of which a page could hold a hundred large ones. */
export type WebhookSummary = Omit<Webhook, "inputMapping">;

/** Leaves out the secrets and what only the server needs. */
export function toWebhook({ inputMapping, ...stored }: StoredWebhook, baseUrl: string, now: Date): Webhook {
  return { inputMapping, ...toWebhookSummary(stored, baseUrl, now) };
}

export function toWebhookSummary(stored: ListedWebhook, baseUrl: string, now: Date): WebhookSummary {
  const { id, previousSecretEndsAt } = stored;
  const isOver = previousSecretEndsAt === null || previousSecretEndsAt <= now;
  return {
    id,
    url: `${baseUrl}/hooks/${id}`,
    name: stored.name,
    workflowId: stored.workflowId,
    workflowVersion: stored.workflowVersion,
    verification: stored.verification,
    enabled: stored.isEnabled,
    stoppedReason: stored.stoppedReason,
    filter: stored.filter,
    deliveryKey: stored.deliveryKey,
    allowWait: stored.allowsWait,
    rateLimitPerMinute: stored.rateLimitPerMinute,
    previousSecretEndsAt: isOver ? null : previousSecretEndsAt,
    version: stored.version,
    createdAt: stored.createdAt,
    updatedAt: stored.updatedAt,
  };
}
