import type { Principal } from "../auth/principal.js";
import type { AdmittedDelivery } from "../auth/rate-limit.js";
import { BlockError } from "../connectors/define-connector.js";
import { type Page, type PageRequest, pageWindow } from "../db/page.js";
import { AppError } from "../errors/app-error.js";
import { isConnectionLoss } from "../errors/error-body.js";
import { invalidBody } from "../errors/invalid-body.js";
import { MAX_BODY_BYTES } from "../http/body-limit.js";
import type { RunReader } from "../runs/run-reader.js";
import type { SecretBox } from "../secrets/secret-box.js";
import { awaitRun, type EndedRun } from "./await-run.js";
import type { DeliveryRequest } from "./delivery-request.js";
import {
  absentWebhook,
  DeliveryRuns,
  type DeliveryRunsOptions,
  type KeyedDelivery,
  KeyHeld,
} from "./delivery-runs.js";
import { KeptDeliveries } from "./kept-deliveries.js";
import {
  describeIncoming,
  type IncomingDelivery,
  type ReceivedDelivery,
  readChallenge,
  readDeliveryKey,
  readRequest,
  type UnreadablePart,
} from "./received-delivery.js";
import { Redeliveries, type Redelivery, type RedeliveryRequest } from "./redeliveries.js";
import { type Delivery, type DeliveryDetail, toDelivery, toDeliveryDetail } from "./show-delivery.js";
import * as store from "./store.js";
import type { DeliveryVerdict } from "./verdicts.js";
import { verifyDelivery } from "./verify-delivery.js";
import { isWebhookId, labelOf } from "./webhook-id.js";

/** A webhook that takes deliveries. */
export type OpenWebhook = store.StoredWebhook;

/** What the sender is told of a delivery that is in order. */
export type DeliveryAnswer =
  | { readonly kind: "accepted" | "duplicate"; readonly runId: string; readonly deliveryId: string }
  | { readonly kind: "filtered"; readonly deliveryId: string }
  | { readonly kind: "challenge"; readonly challenge: string };

export interface DeliveryServiceOptions extends DeliveryRunsOptions {
  readonly runReader: Pick<RunReader, "get" | "stream">;
  readonly box: SecretBox;
  readonly now: () => Date;
}

/** Deliveries to webhooks: verified, counted once, kept, and turned into runs. */
export class DeliveryService {
  readonly #options: DeliveryServiceOptions;
  readonly #runs: DeliveryRuns;
  readonly #kept: KeptDeliveries;
  readonly #redeliveries: Redeliveries;

  constructor(options: DeliveryServiceOptions) {
    this.#options = options;
    this.#runs = new DeliveryRuns(options);
    this.#kept = new KeptDeliveries(options.database.db);
    this.#redeliveries = new Redeliveries({ ...options, deliveryRuns: this.#runs });
  }

  /** The webhook of a public address. @throws AppError `not_found`, also for one that is switched off. */
  async open(webhookId: string): Promise<OpenWebhook> {
    const { db } = this.#options.database;
    const found = isWebhookId(webhookId) ? await store.findEnabledWebhook(db, webhookId) : null;
    if (found === null) throw absentWebhook();
    return found;
  }

  /**
   * Takes a delivery that the rate limit has admitted. When the answer is `accepted` its run is durable, and no other
   * delivery with the same key starts one.
   * @throws AppError `not_found` (deleted meanwhile), `unauthorized` (not verified), `invalid_body` (not readable),
   * `rate_limited`, `payload_too_large`, `delivery_failed` and `dispatch_failed` (kept, but no run was started).
   */
  async receive(
    webhook: OpenWebhook,
    incoming: IncomingDelivery,
    admitted: AdmittedDelivery,
  ): Promise<DeliveryAnswer> {
    const now = this.#options.now();
    const received = describeIncoming(webhook, incoming, now);
    const { headers, body } = incoming;
    if (body === null) {
      await this.#distrust(webhook, received, admitted, "The body is larger than 1 MiB.");
      throw new AppError("payload_too_large", { details: { limitBytes: MAX_BODY_BYTES } });
    }
    const mistrust = verifyDelivery(
      webhook.verification,
      this.#secretsOf(webhook, now),
      { headers, body },
      now,
    );
    if (mistrust !== null) {
      await this.#distrust(webhook, received, admitted, mistrust);
      throw new AppError("unauthorized", { message: "The delivery could not be verified." });
    }
    await admitted.countVerified();
    const request = readRequest(received);
    if ("problem" in request) return this.#refuse(webhook, received, request);
    const asked = readChallenge(webhook, request);
    if (asked === null) return this.#take(webhook, received, request);
    if ("problem" in asked) return this.#refuse(webhook, received, asked);
    const reason = "Slack asked whether the address answers.";
    await this.#kept.keep(webhook, received, { verdict: "filtered", reason });
    return { kind: "challenge", challenge: asked.challenge };
  }

  /** @throws AppError `not_found`; `invalid_body` for a bad cursor. */
  async list(
    principal: Principal,
    { id, ...request }: PageRequest & { readonly id: string; readonly verdict?: DeliveryVerdict | undefined },
  ): Promise<Page<Delivery>> {
    const window = pageWindow(request);
    const { db } = this.#options.database;
    const [webhook, page] = await Promise.all([
      store.findWebhook(db, principal.organizationId, id),
      store.listDeliveries(db, principal.organizationId, id, window, request),
    ]);
    if (webhook === null) throw new AppError("not_found");
    return { ...page, data: page.data.map(toDelivery) };
  }

  /** @throws AppError `not_found`. */
  async get(
    principal: Principal,
    { id, deliveryId }: { readonly id: string; readonly deliveryId: string },
  ): Promise<DeliveryDetail> {
    const { db } = this.#options.database;
    const found = await store.findDelivery(db, principal.organizationId, id, deliveryId);
    if (found === null) throw new AppError("not_found");
    return toDeliveryDetail(found);
  }

  /**
   * Starts a run from what was sent, with the webhook's settings of now and past its filter; the same key again gives
   * the run that it has started.
   * @throws AppError `not_found`, `conflict` (never verified, or its key has a run already), `delivery_failed` with
   * the reason, `dispatch_failed`.
   */
  redeliver(principal: Principal, request: RedeliveryRequest): Promise<Redelivery> {
    return this.#redeliveries.redeliver(principal, request);
  }

  /** How the run of a delivery ended; null when it did not within `waitMs`, or `signal` came first. */
  awaitRun(
    { organizationId }: OpenWebhook,
    runId: string,
    limits: { readonly waitMs: number; readonly signal: AbortSignal },
  ): Promise<EndedRun | null> {
    return awaitRun(this.#options.runReader, { organizationId, runId }, limits);
  }

  /** A verified delivery: one run per key. */
  async #take(
    webhook: OpenWebhook,
    received: ReceivedDelivery,
    request: DeliveryRequest,
  ): Promise<DeliveryAnswer> {
    const deliveryKey = await this.#readKey(webhook, received, request);
    const delivery = { ...received, deliveryKey };
    const [holder, prospect] = await Promise.all([
      this.#findHolder(webhook, deliveryKey),
      this.#runs.assess(webhook, delivery, request),
    ]);
    if (holder !== null) return this.#answerDuplicate(webhook, delivery, holder);
    if (prospect.verdict !== "accepted") {
      if (prospect.verdict === "failed") return this.#fail(webhook, delivery, prospect);
      const { verdict, reason } = prospect;
      await this.#kept.keep(webhook, delivery, { verdict, reason });
      return { kind: "filtered", deliveryId: delivery.id };
    }
    try {
      const holdsKey = deliveryKey !== null;
      const runId = await this.#runs.start(prospect.run, { ...delivery, repeats: null, holdsKey });
      return { kind: "accepted", runId, deliveryId: delivery.id };
    } catch (cause) {
      const first = cause instanceof KeyHeld ? await this.#findHolder(webhook, deliveryKey) : null;
      if (first !== null) return this.#answerDuplicate(webhook, delivery, first);
      if (isConnectionLoss(cause) || cause instanceof AppError) throw cause;
      await this.#kept.keep(webhook, delivery, {
        verdict: "failed",
        reason: "The engine did not take the run.",
      });
      throw new AppError("dispatch_failed", { cause });
    }
  }

  async #readKey(webhook: OpenWebhook, received: ReceivedDelivery, request: DeliveryRequest) {
    try {
      return readDeliveryKey(webhook, received, request);
    } catch (error) {
      if (error instanceof BlockError) return this.#fail(webhook, received, { reason: error.message });
      throw error;
    }
  }

  async #findHolder({ organizationId, id }: OpenWebhook, deliveryKey: string | null) {
    if (deliveryKey === null) return null;
    const { db } = this.#options.database;
    const holder = await store.findKeyHolder(db, organizationId, id, deliveryKey);
    return holder?.runId == null ? null : { id: holder.id, runId: holder.runId };
  }

  async #answerDuplicate(
    webhook: OpenWebhook,
    delivery: KeyedDelivery,
    first: { readonly id: string; readonly runId: string },
  ): Promise<DeliveryAnswer> {
    const { id: repeats, runId } = first;
    await this.#kept.keep(webhook, delivery, { verdict: "duplicate", reason: null, repeats, runId });
    return { kind: "duplicate", runId, deliveryId: delivery.id };
  }

  /** Counts what is not verified for its sender, and keeps it while there is room for such. */
  async #distrust(
    webhook: OpenWebhook,
    received: ReceivedDelivery,
    admitted: AdmittedDelivery,
    reason: string,
  ): Promise<void> {
    if (await admitted.countRefused()) {
      await this.#kept.keep(webhook, received, { verdict: "rejected", reason });
    }
  }

  async #refuse(
    webhook: OpenWebhook,
    received: ReceivedDelivery,
    { part, problem }: UnreadablePart,
  ): Promise<never> {
    await this.#kept.keep(webhook, received, { verdict: "rejected", reason: `The ${part} ${problem}.` });
    throw invalidBody([{ path: [part], code: `unreadable_${part}`, message: problem }]);
  }

  async #fail(
    webhook: OpenWebhook,
    delivery: ReceivedDelivery,
    { reason, isTooLarge = false }: { readonly reason: string; readonly isTooLarge?: boolean },
  ): Promise<never> {
    await this.#kept.keep(webhook, delivery, { verdict: "failed", reason });
    // What a mapping has made is not the sender's fault.
    if (!isTooLarge || webhook.inputMapping !== null) throw new AppError("delivery_failed");
    throw new AppError("payload_too_large", { message: reason, details: { limitBytes: MAX_BODY_BYTES } });
  }

  #secretsOf(webhook: OpenWebhook, now: Date): string[] {
    const { secret, previousSecret, previousSecretEndsAt } = webhook;
    const hasPrevious = previousSecretEndsAt !== null && previousSecretEndsAt > now;
    const sealed = [secret, hasPrevious ? previousSecret : null].filter((each) => each !== null);
    return sealed.map((each) => this.#options.box.open(labelOf(webhook), each));
  }
}
