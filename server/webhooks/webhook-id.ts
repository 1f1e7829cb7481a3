import type { SecretLabel } from "../secrets/secret-box.js";

/** Whether the text can be the id of a webhook; one of another shape names nothing. */
export function isWebhookId(text: string): boolean {
  return /^whk_[0-9a-f]{32}$/.test(text);
}

/** What the secrets of a webhook are sealed for; no secret of an organization can have a name like it. */
export function labelOf(webhook: { readonly organizationId: string; readonly id: string }): SecretLabel {
  return { organizationId: webhook.organizationId, name: `webhook:${webhook.id}` };
}
