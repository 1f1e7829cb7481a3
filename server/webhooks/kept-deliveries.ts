import { LRUCache } from "lru-cache";
import type { Db } from "../db/client.js";
import { absentWebhook } from "./delivery-runs.js";
import type { ReceivedDelivery } from "./received-delivery.js";
import { toExcerpt } from "./show-delivery.js";
import * as store from "./store.js";
import { type DeliveryVerdict, isRepeatable } from "./verdicts.js";

/** What became of a delivery that started no run. */
export type Outcome = { readonly verdict: Exclude<DeliveryVerdict, "accepted"> } & Pick<
  store.StoredDelivery,
  "reason"
> &
  Partial<Pick<store.StoredDelivery, "deliveryKey" | "repeats" | "runId">>;

/** How many deliveries of a verdict a webhook keeps, about: accepted ones are kept as long as the webhook. */
const KEPT: Readonly<Record<Outcome["verdict"], number>> = {
  rejected: 100,
  duplicate: 1_000,
  filtered: 1_000,
  failed: 1_000,
};
/** How much their bodies may come to for each verdict, about, in bytes. */
const KEPT_BYTES = 67_108_864;
/** The share of either by which the limit may be exceeded before the oldest go: deleting costs more than writing. */
const SLACK = 1 / 20;
/** Webhooks and verdicts whose writes are counted at a time. */
const MAX_TALLIES = 10_000;

/** Deliveries that started no run, and how many of them stay. */
export class KeptDeliveries {
  readonly #db: Db;
  /** What was written since the oldest were deleted last, in this process. */
  readonly #tallies = new LRUCache<string, { count: number; bytes: number }>({ max: MAX_TALLIES });

  constructor(db: Db) {
    this.#db = db;
  }

  /** Writes the delivery and deletes the oldest once there are too many. @throws AppError `not_found`. */
  async keep(
    { organizationId, id }: store.StoredWebhook,
    received: ReceivedDelivery,
    outcome: Outcome,
  ): Promise<void> {
    const { verdict } = outcome;
    const delivery = { ...received, ...(isRepeatable(verdict) ? {} : toExcerpt(received)) };
    const isWritten = await store.insertDelivery(this.#db, organizationId, {
      deliveryKey: null,
      repeats: null,
      runId: null,
      holdsKey: false,
      ...delivery,
      ...outcome,
      // What an expression gives as its reason may be text that PostgreSQL does not take.
      reason: outcome.reason?.replaceAll("\u0000", "\ufffd") ?? null,
    });
    if (isWritten === null) throw absentWebhook();
    if (!this.#isTrimDue(`${id} ${verdict}`, KEPT[verdict], delivery.body.length)) return;
    await store.trimDeliveries(this.#db, organizationId, id, {
      verdict,
      keep: KEPT[verdict],
      keepBytes: KEPT_BYTES,
    });
  }

  /** True for the first write too: what others have written before is not known. */
  #isTrimDue(key: string, keep: number, bytes: number): boolean {
    const tally = this.#tallies.get(key) ?? { count: keep, bytes: 0 };
    const next = { count: tally.count + 1, bytes: tally.bytes + bytes };
    const isDue = next.count >= keep * SLACK || next.bytes >= KEPT_BYTES * SLACK;
    this.#tallies.set(key, isDue ? { count: 0, bytes: 0 } : next);
    return isDue;
  }
}
