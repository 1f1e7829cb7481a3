import { createHash, randomUUID } from "node:crypto";
import { resolveValue } from "../engine/blocks/resolve-values.js";
import { findUnsafeInput } from "../errors/unsafe-input.js";
import {
  type DeliveryRequest,
  openHeaders,
  parseExactly,
  readBody,
  readParameters,
  scopeOf,
} from "./delivery-request.js";
import type { StoredDelivery, StoredWebhook } from "./store.js";
import { defaultDeliveryKey } from "./verification.js";
import type { DeliveryHeaders } from "./verify-delivery.js";

/** A delivery as it came in. */
export interface IncomingDelivery {
  readonly headers: DeliveryHeaders;
  readonly query: URLSearchParams;
  /** As it was sent; null when it was larger than what is read. */
  readonly body: Buffer | null;
  readonly remoteAddress: string | null;
}

/** What is kept of a delivery whatever becomes of it. */
export type ReceivedDelivery = Pick<
  StoredDelivery,
  | "id"
  | "webhookId"
  | "contentType"
  | "headers"
  | "query"
  | "body"
  | "bodyBytes"
  | "remoteAddress"
  | "createdAt"
>;

/** `problem` is the end of a sentence about the part. */
export interface UnreadablePart {
  readonly part: string;
  readonly problem: string;
}

const MAX_KEY_LENGTH = 255;

/** Gives a delivery its id and takes credentials and signatures out of its headers. */
export function describeIncoming(
  webhook: StoredWebhook,
  { headers, query, body, remoteAddress }: IncomingDelivery,
  now: Date,
): ReceivedDelivery {
  return {
    id: randomUUID(),
    webhookId: webhook.id,
    contentType: headers["content-type"]?.[0] ?? null,
    headers: openHeaders(headers, webhook.verification),
    query: readParameters(query),
    body: body ?? Buffer.alloc(0),
    bodyBytes: body?.length ?? 0,
    remoteAddress,
    createdAt: now,
  };
}

/** Reads what was sent; a `problem` is the end of a sentence about the `part` that has it. */
export function readRequest({
  headers,
  query,
  body,
  contentType,
}: ReceivedDelivery): DeliveryRequest | UnreadablePart {
  const content = readBody(body, contentType);
  if ("problem" in content) return { part: "body", ...content };
  const request = { headers, query, body: content.value };
  const unsafe = findUnsafeInput(request);
  return unsafe === null ? request : { part: String(unsafe.path[0]), problem: unsafe.message };
}

/**
 * The sender's own id of a delivery, or null; a number has the digits that were sent, and a long id is replaced by its
 * digest.
 * @throws BlockError `value_too_large`.
 */
export function readDeliveryKey(
  webhook: StoredWebhook,
  { body, contentType }: ReceivedDelivery,
  request: DeliveryRequest,
): string | null {
  const templates =
    webhook.deliveryKey === null ? defaultDeliveryKey(webhook.verification) : [webhook.deliveryKey];
  const readsBody = templates.some((template) => template.includes("body"));
  const exact = readsBody ? readBody(body, contentType, parseExactly) : {};
  const scope = scopeOf("value" in exact ? { ...request, body: exact.value } : request);
  for (const template of templates) {
    const found = resolveValue(template, scope);
    if (typeof found !== "string" && typeof found !== "number") continue;
    const key = String(found);
    if (key === "") continue;
    return key.length > MAX_KEY_LENGTH ? `sha256:${createHash("sha256").update(key).digest("hex")}` : key;
  }
  return null;
}

/** What Slack wants back when it is given the address; null for any other delivery. */
export function readChallenge(
  { verification }: StoredWebhook,
  { body }: DeliveryRequest,
): { readonly challenge: string } | UnreadablePart | null {
  if (verification.type !== "slack" || typeof body !== "object" || body === null) return null;
  if (!("type" in body) || body.type !== "url_verification") return null;
  return "challenge" in body && typeof body.challenge === "string"
    ? { challenge: body.challenge }
    : { part: "body", problem: "must have a text challenge, as Slack's url_verification does" };
}
