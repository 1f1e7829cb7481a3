import { BlockError } from "../connectors/define-connector.js";
import type { Database } from "../db/client.js";
import { resolveValue } from "../engine/blocks/resolve-values.js";
import { AppError } from "../errors/app-error.js";
import type { Expressions } from "../expressions/expressions.js";
import type { CheckedRun } from "../runs/run-checks.js";
import type { RunService } from "../runs/service.js";
import { type DeliveryRequest, scopeOf, toInput } from "./delivery-request.js";
import type { ReceivedDelivery } from "./received-delivery.js";
import * as store from "./store.js";

/** A delivery with the sender's own id. */
export type KeyedDelivery = ReceivedDelivery & Pick<store.StoredDelivery, "deliveryKey">;

/** What a delivery comes to, before anything is written. */
export type Prospect =
  | { readonly verdict: "accepted"; readonly run: CheckedRun }
  | {
      readonly verdict: "filtered" | "failed";
      readonly reason: string;
      /** What was sent, or what the mapping made of it, is larger than the input of a run. */
      readonly isTooLarge?: boolean;
    };

/** Rolls a start back whose key another delivery holds. */
export class KeyHeld extends Error {}

export interface DeliveryRunsOptions {
  readonly database: Database;
  readonly runs: Pick<RunService, "check" | "dispatch" | "findByKey">;
  readonly expressions: Pick<Expressions, "evaluate">;
}

const CANNOT_RUN = "The workflow, or the version of it that the webhook names, is not there any more.";

/** Makes runs of deliveries that were verified and read. */
export class DeliveryRuns {
  readonly #options: DeliveryRunsOptions;

  constructor(options: DeliveryRunsOptions) {
    this.#options = options;
  }

  /** Asks the filter, then whether a run may start; writes nothing. */
  assess(webhook: store.StoredWebhook, delivery: KeyedDelivery, request: DeliveryRequest): Promise<Prospect> {
    return orFailed(async () => {
      const { filter, organizationId } = webhook;
      const { expressions } = this.#options;
      const isWanted =
        filter === null || Boolean(await expressions.evaluate(organizationId, filter, scopeOf(request)));
      if (!isWanted) return { verdict: "filtered", reason: "The filter does not hold." };
      return this.check(webhook, delivery, request, { createdBy: webhook.id });
    });
  }

  /** A workflow that cannot run is what the delivery comes to, not an error of the sender; writes nothing. */
  check(
    webhook: store.StoredWebhook,
    { id: deliveryId, repeats }: { readonly id: string; readonly repeats?: string },
    request: DeliveryRequest,
    starter: Pick<CheckedRun, "createdBy" | "requestedBy"> & Partial<Pick<CheckedRun, "idempotencyKey">>,
  ): Promise<Prospect> {
    return orFailed(async () => {
      const { inputMapping, workflowId, workflowVersion, organizationId, id: hookId } = webhook;
      const mapped = inputMapping === null ? request.body : resolveValue(inputMapping, scopeOf(request));
      const run = await this.#options.runs.check(this.#options.database.db, organizationId, {
        workflowId,
        version: workflowVersion,
        input: toInput(mapped),
        trigger: { kind: "webhook", hookId, deliveryId, ...(repeats === undefined ? {} : { repeats }) },
        idempotencyKey: null,
        ...starter,
      });
      return { verdict: "accepted", run };
    });
  }

  /** Writes the run and its delivery together. @throws KeyHeld, KeyTaken; AppError `not_found` for a webhook that was deleted. */
  start(
    run: CheckedRun,
    delivery: KeyedDelivery & Pick<store.StoredDelivery, "repeats" | "holdsKey">,
  ): Promise<string> {
    return this.#options.database.transaction(async (tx) => {
      const runId = await this.#options.runs.dispatch(tx, run);
      const isWritten = await store.insertDelivery(tx.db, run.organizationId, {
        ...delivery,
        verdict: "accepted",
        reason: null,
        runId,
      });
      if (isWritten === null) throw absentWebhook();
      if (!isWritten) throw new KeyHeld();
      return runId;
    });
  }
}

/** The same for a webhook that never was, is switched off, or was deleted a moment ago. */
export function absentWebhook(): AppError {
  return new AppError("not_found", { message: "There is no such webhook." });
}

/** What the workflow, the templates and the expression refuse fails the delivery, not the request. */
async function orFailed(work: () => Promise<Prospect>): Promise<Prospect> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof BlockError) return { verdict: "failed", reason: error.message };
    if (!(error instanceof AppError) || error.errorCode === "internal_error") throw error;
    const reason = error.errorCode === "not_found" ? CANNOT_RUN : error.message;
    return { verdict: "failed", reason, isTooLarge: error.errorCode === "payload_too_large" };
  }
}
