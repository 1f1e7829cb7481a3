import { isCredentialName } from "./credential-names.js";
import { isForm, REDACTED } from "./delivery-request.js";
import type { DeliverySummary, StoredDelivery } from "./store.js";

/** Most of a body that is shown, in characters. */
export const MAX_SHOWN_CHARACTERS = 65_536;

/** A delivery as lists show it. */
export interface Delivery {
  readonly id: string;
  readonly webhookId: string;
  readonly verdict: StoredDelivery["verdict"];
  readonly reason: string | null;
  readonly deliveryKey: string | null;
  readonly repeats: string | null;
  readonly runId: string | null;
  readonly contentType: string | null;
  readonly bodyBytes: number;
  readonly remoteAddress: string | null;
  readonly receivedAt: Date;
}

/** A delivery with what was sent. */
export interface DeliveryDetail extends Delivery {
  readonly headers: Record<string, string>;
  readonly query: Record<string, string | string[]>;
  /** Text; fields that look like credentials are replaced. */
  readonly body: string;
  /** Whether `body` is only its beginning. */
  readonly isBodyTruncated: boolean;
}

/** Leaves out what only the server needs. */
export function toDelivery({ holdsKey: _, createdAt, ...rest }: DeliverySummary): Delivery {
  return { ...rest, receivedAt: createdAt };
}

/** Shows what was sent, without credentials and not more than a person reads. */
export function toDeliveryDetail(stored: StoredDelivery): DeliveryDetail {
  const { headers, query, body, organizationId: _, ...summary } = stored;
  const text = redactBody(body.toString("utf8"), stored.contentType);
  return {
    ...toDelivery(summary),
    headers,
    query: redact(query) as Record<string, string | string[]>,
    body: text.slice(0, MAX_SHOWN_CHARACTERS),
    isBodyTruncated: text.length > MAX_SHOWN_CHARACTERS || body.length < stored.bodyBytes,
  };
}

const JSON_FIELD = /"([^"\\]{1,100})"\s*:\s*(?:"(?:[^"\\]|\\.)*"?|[^",{}[\]\s]+)/g;

function redactBody(text: string, contentType: string | null): string {
  if (isForm(contentType)) return text.split("&").map(redactField).join("&");
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" ? JSON.stringify(redact(value)) : text;
  } catch {
    // Text, or JSON of which only the beginning was kept.
    return text.replace(JSON_FIELD, (whole, name: string) =>
      isCredentialName(name) ? `"${name}":"${REDACTED}"` : whole,
    );
  }
}

function redactField(field: string): string {
  const [name = ""] = field.split("=", 1);
  return name.length < field.length && isCredentialName(decodeName(name)) ? `${name}=${REDACTED}` : field;
}

/** A form writes `card[cvc]` as `card%5Bcvc%5D`. */
function decodeName(name: string): string {
  return new URLSearchParams(name).keys().next().value ?? name;
}

function redact(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(redact);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [
      key,
      isCredentialName(key) && item !== null ? REDACTED : redact(item),
    ]),
  );
}
