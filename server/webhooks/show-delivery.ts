import { readTextAnyhow } from "./delivery-request.js";
import type { ReceivedDelivery } from "./received-delivery.js";
import { redactBody, redactParameters } from "./redact-body.js";
import type { DeliverySummary, StoredDelivery } from "./store.js";
import { isRepeatable } from "./verdicts.js";

/** Most of a body that is shown, in characters. */
export const MAX_SHOWN_CHARACTERS = 65_536;

/** Kept of the body of a delivery that cannot be delivered again, in bytes as they were sent. */
const EXCERPT_BYTES = 4_096;

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
  const { contentType, bodyBytes } = stored;
  const isWhole = isRepeatable(stored.verdict);
  const text = isWhole ? readTextAnyhow(body, contentType) : body.toString("utf8");
  const shown = redactBody(text.slice(0, MAX_SHOWN_CHARACTERS), contentType);
  const isCut = [text, shown].some(({ length }) => length > MAX_SHOWN_CHARACTERS);
  return {
    ...toDelivery(summary),
    headers,
    query: redactParameters(query),
    body: shown.slice(0, MAX_SHOWN_CHARACTERS),
    isBodyTruncated: isCut || (!isWhole && bodyBytes > EXCERPT_BYTES),
  };
}

/** What is kept of a delivery that nobody can deliver again: the beginning of it in UTF-8, without credentials. */
export function toExcerpt({
  query,
  body,
  contentType,
}: ReceivedDelivery): Pick<StoredDelivery, "query" | "body"> {
  const text = readTextAnyhow(body.subarray(0, EXCERPT_BYTES), contentType);
  return { query: redactParameters(query), body: Buffer.from(redactBody(text, contentType)) };
}
