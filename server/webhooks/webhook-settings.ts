import { type InputIssue, invalidBody } from "../errors/invalid-body.js";
import { findExpressionIssues, findKeyIssues, findTemplateIssues } from "./check-references.js";
import type { StoredWebhook } from "./store.js";
import type { Verification } from "./verification.js";

/** What may be set when a webhook is created and changed. */
export interface WebhookSettings {
  readonly name?: string | undefined;
  readonly workflowVersion?: number | null | undefined;
  readonly verification?: Verification | undefined;
  readonly enabled?: boolean | undefined;
  readonly inputMapping?: unknown;
  readonly filter?: string | null | undefined;
  readonly deliveryKey?: string | null | undefined;
  readonly allowWait?: boolean | undefined;
  readonly rateLimitPerMinute?: number | undefined;
}

/** A change of a webhook; what is absent stays. */
export interface WebhookChange extends WebhookSettings, ChangedWebhook {
  readonly workflowId?: string | undefined;
}

/** A new webhook; a secret is made when none is given. */
export interface NewWebhook extends WebhookSettings {
  readonly workflowId: string;
  readonly verification: Verification;
  readonly secret?: string | undefined;
}

/** A webhook to change; with `expectedVersion` only while it has that version. */
export interface ChangedWebhook {
  readonly id: string;
  readonly expectedVersion?: number | undefined;
}

/** A new secret, made by the server when absent. */
export interface SecretRotation extends ChangedWebhook {
  readonly secret?: string | undefined;
  readonly overlapSeconds: number;
}

/** Refuses templates and expressions that cannot be read. @throws AppError `invalid_body` naming each. */
export function requireSettings({ inputMapping, filter, verification }: WebhookSettings): void {
  const issues: InputIssue[] = [
    ...findHeaderIssues(verification),
    ...findTemplateIssues(inputMapping, ["inputMapping"]),
    ...(filter === undefined || filter === null ? [] : findExpressionIssues(filter, ["filter"])),
  ];
  if (issues.length > 0) throw invalidBody(issues);
}

/** A time that is also the signature would be signed by nobody. */
function findHeaderIssues(verification: Verification | undefined): InputIssue[] {
  if (verification?.type !== "hmac" || verification.timestampHeader !== verification.header) return [];
  const message = "must name another header than header, which carries the signature";
  return [{ path: ["verification", "timestampHeader"], code: "same_header", message }];
}

/** Refuses a key that cannot tell deliveries apart. @throws AppError `invalid_body`. */
export function requireKey({ deliveryKey, verification }: StoredWebhook): void {
  const issues = deliveryKey === null ? [] : findKeyIssues(deliveryKey, verification, ["deliveryKey"]);
  if (issues.length > 0) throw invalidBody(issues);
}
