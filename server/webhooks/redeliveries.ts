import { randomUUID } from "node:crypto";
import type { Principal } from "../auth/principal.js";
import type { Database } from "../db/client.js";
import { AppError } from "../errors/app-error.js";
import { KeyTaken, type RunService } from "../runs/service.js";
import type { DeliveryRequest } from "./delivery-request.js";
import { type DeliveryRuns, KeyHeld } from "./delivery-runs.js";
import { readRequest } from "./received-delivery.js";
import * as store from "./store.js";
import { isRepeatable } from "./verdicts.js";

/** A run that was started from what was sent before. */
export interface Redelivery {
  readonly runId: string;
  readonly deliveryId: string;
  /** The delivery that was delivered again. */
  readonly repeats: string;
}

/** A delivery to deliver again: once for each key, any number of times without. */
export interface RedeliveryRequest {
  /** The webhook's. */
  readonly id: string;
  readonly deliveryId: string;
  readonly idempotencyKey?: string | undefined;
}

export interface RedeliveriesOptions {
  readonly database: Database;
  readonly runs: Pick<RunService, "findByKey">;
  readonly deliveryRuns: DeliveryRuns;
  readonly now: () => Date;
}

/** Longer than the keys of callers may be, so that no run that they start by themselves has one of these. */
const KEY_LENGTH = 512;

/** Starts runs from deliveries that were kept. */
export class Redeliveries {
  readonly #options: RedeliveriesOptions;

  constructor(options: RedeliveriesOptions) {
    this.#options = options;
  }

  async redeliver(
    principal: Principal,
    { id, deliveryId, idempotencyKey }: RedeliveryRequest,
  ): Promise<Redelivery> {
    const { organizationId } = principal;
    const { database, deliveryRuns, now } = this.#options;
    const [webhook, first] = await Promise.all([
      store.findWebhook(database.db, organizationId, id),
      store.findDelivery(database.db, organizationId, id, deliveryId),
    ]);
    if (webhook === null || first === null) throw new AppError("not_found");
    const request = requireRepeatable(first);
    const key =
      idempotencyKey === undefined ? null : `redelivery ${first.id} ${idempotencyKey}`.padEnd(KEY_LENGTH);
    const known = await this.#findStarted(webhook, first, key);
    if (known !== null) return known;
    const again = { ...first, id: randomUUID(), repeats: first.id, createdAt: now() };
    const starter = { createdBy: principal.id, requestedBy: principal.userId, idempotencyKey: key };
    const prospect = await deliveryRuns.check(webhook, again, request, starter);
    if (prospect.verdict !== "accepted") throw new AppError("delivery_failed", { message: prospect.reason });
    // One that started no run yet takes its key, so that the sender's own next try starts none either.
    const holdsKey = first.verdict !== "accepted" && first.deliveryKey !== null;
    try {
      const runId = await deliveryRuns.start(prospect.run, { ...again, holdsKey });
      return { runId, deliveryId: again.id, repeats: first.id };
    } catch (cause) {
      const started = cause instanceof KeyTaken ? await this.#findStarted(webhook, first, key) : null;
      if (started !== null) return started;
      if (cause instanceof AppError) throw cause;
      if (!(cause instanceof KeyHeld)) throw new AppError("dispatch_failed", { cause });
      throw new AppError("conflict", {
        message: "A delivery with the same key has started a run meanwhile; deliver that one again.",
      });
    }
  }

  /** What the key has started. */
  async #findStarted(
    { organizationId, workflowId }: store.StoredWebhook,
    { id: repeats }: store.StoredDelivery,
    key: string | null,
  ): Promise<Redelivery | null> {
    if (key === null) return null;
    const run = await this.#options.runs.findByKey(organizationId, workflowId, key);
    return run === null ? null : { runId: run.id, deliveryId: String(run.trigger.deliveryId), repeats };
  }
}

function requireRepeatable(delivery: store.StoredDelivery): DeliveryRequest {
  const { verdict, repeats } = delivery;
  if (!isRepeatable(verdict)) {
    const remedy = verdict === "rejected" ? "let the sender send it again" : `deliver ${repeats} again`;
    throw new AppError("conflict", {
      message: `A ${verdict} delivery cannot be delivered again; ${remedy}.`,
    });
  }
  const request = readRequest(delivery);
  if ("problem" in request)
    throw new AppError("conflict", { message: `The ${request.part} ${request.problem}.` });
  return request;
}
