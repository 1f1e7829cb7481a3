import { randomBytes } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import type { Principal } from "../auth/principal.js";
import type { Database, Transaction } from "../db/client.js";
import { type Page, type PageRequest, pageWindow } from "../db/page.js";
import { isUuid } from "../db/uuid.js";
import { AppError } from "../errors/app-error.js";
import { invalidBody } from "../errors/invalid-body.js";
import type { ResealedBatch, SealedValues } from "../secrets/rotate-keys.js";
import type { SealedSecret, SecretBox } from "../secrets/secret-box.js";
import type { WorkflowService } from "../workflows/service.js";
import { toWebhook, toWebhookSummary, type Webhook, type WebhookSummary } from "./show-webhook.js";
import * as store from "./store.js";
import { secretProblem, type Verification } from "./verification.js";
import { isWebhookId, labelOf } from "./webhook-id.js";
import {
  type ChangedWebhook,
  type NewWebhook,
  requireKey,
  requireSettings,
  type SecretRotation,
  type WebhookChange,
} from "./webhook-settings.js";

/** The one answer that shows a secret: when the server has made it. */
export interface WebhookWithSecret extends Webhook {
  readonly secret: string | null;
}

export interface WebhookServiceOptions {
  readonly database: Database;
  readonly workflows: WorkflowService;
  readonly box: SecretBox;
  /** Public origin without a trailing slash. */
  readonly baseUrl: string;
  readonly now: () => Date;
}

const DEFAULT_RATE_LIMIT_PER_MINUTE = 600;
/** Webhooks that a rotation of the server's keys takes at a time. */
const ROTATION_BATCH = 200;

/** Webhooks of an organization: what may be sent to a workflow, by whom and how it becomes the input of a run. */
export class WebhookService implements SealedValues {
  readonly #options: WebhookServiceOptions;

  constructor(options: WebhookServiceOptions) {
    this.#options = options;
  }

  /** Makes a secret unless one is given. @throws AppError `workflow_not_found`, `invalid_body`. */
  async create(principal: Principal, input: NewWebhook): Promise<WebhookWithSecret> {
    const { organizationId } = principal;
    const { verification, workflowId } = input;
    const id = `whk_${randomBytes(16).toString("hex")}`;
    requireSettings(input);
    const { made, sealed } = this.#sealNew(verification, { organizationId, id }, input.secret);
    const now = this.#options.now();
    const webhook: store.StoredWebhook = {
      id,
      organizationId,
      workflowId,
      workflowVersion: input.workflowVersion ?? null,
      name: input.name ?? "",
      verification,
      secret: sealed,
      previousSecret: null,
      previousSecretEndsAt: null,
      isEnabled: input.enabled ?? true,
      stoppedReason: null,
      inputMapping: input.inputMapping ?? null,
      filter: input.filter ?? null,
      deliveryKey: input.deliveryKey ?? null,
      allowsWait: input.allowWait ?? false,
      rateLimitPerMinute: input.rateLimitPerMinute ?? DEFAULT_RATE_LIMIT_PER_MINUTE,
      version: 1,
      createdAt: now,
      updatedAt: now,
      createdBy: principal.id,
    };
    requireKey(webhook);
    const { database, workflows } = this.#options;
    await database.transaction(async (tx) => {
      const isHeld = await workflows.hold(tx, organizationId, workflowId);
      if (!isHeld) throw new AppError("workflow_not_found");
      await this.#requireVersion(tx, webhook);
      await store.insertWebhook(tx.db, organizationId, webhook);
    });
    return { ...this.#toWebhook(webhook), secret: made };
  }

  /** @throws AppError `not_found`. */
  async get(principal: Principal, id: string): Promise<Webhook> {
    const found = await store.findWebhook(this.#options.database.db, principal.organizationId, id);
    if (found === null) throw new AppError("not_found");
    return this.#toWebhook(found);
  }

  /** @throws AppError `invalid_body` for a bad cursor. */
  async list(
    principal: Principal,
    request: PageRequest & { readonly workflowId?: string | undefined },
  ): Promise<Page<WebhookSummary>> {
    const window = pageWindow(request, isWebhookId);
    if (request.workflowId !== undefined && !isUuid(request.workflowId)) {
      return { data: [], pagination: { next: null, prev: null } };
    }
    const { database, baseUrl, now } = this.#options;
    const page = await store.listWebhooks(database.db, principal.organizationId, window, request);
    return { ...page, data: page.data.map((webhook) => toWebhookSummary(webhook, baseUrl, now())) };
  }

  /**
   * Changes what is given and leaves the rest. The type of the verification stays; its options may change.
   * @throws AppError `not_found`, `version_mismatch`, `workflow_not_found` (switching on, or a new workflow), `invalid_body`.
   */
  async update(principal: Principal, { id, expectedVersion, ...settings }: WebhookChange): Promise<Webhook> {
    requireSettings(settings);
    const { enabled, allowWait, ...same } = settings;
    const given = Object.entries({ ...same, isEnabled: enabled, allowsWait: allowWait });
    const change: Partial<store.StoredWebhook> = Object.fromEntries(
      given.filter(([, value]) => value !== undefined),
    );
    if (enabled === true) change.stoppedReason = null;
    const decide = async (tx: Transaction, current: store.StoredWebhook, isHeld: boolean) => {
      if (settings.verification !== undefined && settings.verification.type !== current.verification.type) {
        const message = `cannot be changed (it is ${current.verification.type}); create another webhook`;
        throw invalidBody([{ path: ["verification"], code: "unchangeable", message }]);
      }
      const next = { ...current, ...change };
      requireKey(next);
      const isNeeded = neededWorkflow(current, change) !== null;
      if (isNeeded && !isHeld) throw new AppError("workflow_not_found");
      if (isNeeded || next.workflowVersion !== current.workflowVersion) await this.#requireVersion(tx, next);
      return change;
    };
    return this.#change(principal, { id, expectedVersion }, decide, (seen) => neededWorkflow(seen, change));
  }

  /**
   * Puts a new secret in place; the one before works for `overlapSeconds` more.
   * @throws AppError `not_found`, `version_mismatch`, `conflict` (without verification there is no secret),
   * `invalid_body`.
   */
  async rotateSecret(principal: Principal, input: SecretRotation): Promise<WebhookWithSecret> {
    let secret: string | null = null;
    const webhook = await this.#change(principal, input, async (_tx, current, _isHeld, now) => {
      if (current.verification.type === "none") {
        throw new AppError("conflict", {
          message: "This webhook takes deliveries without verification, so it has no secret.",
        });
      }
      const { made, sealed } = this.#sealNew(current.verification, current, input.secret);
      secret = made;
      const hasOverlap = input.overlapSeconds > 0;
      return {
        secret: sealed,
        previousSecret: hasOverlap ? current.secret : null,
        previousSecretEndsAt: hasOverlap ? new Date(now.getTime() + input.overlapSeconds * 1_000) : null,
      };
    });
    return { ...webhook, secret };
  }

  /** Its deliveries go with it. @throws AppError `not_found`. */
  async remove(principal: Principal, id: string): Promise<void> {
    const isDeleted = await store.deleteWebhook(this.#options.database.db, principal.organizationId, id);
    if (!isDeleted) throw new AppError("not_found");
  }

  /** Switches the webhooks of a removed workflow off, in the transaction that removes it. */
  stopForWorkflow(tx: Transaction, organizationId: string, workflowId: string): Promise<void> {
    return store.stopWebhooks(tx.db, organizationId, {
      workflowId,
      reason: "The workflow was removed.",
      now: this.#options.now(),
    });
  }

  async resealSome(keyIds: readonly string[], after: readonly string[] | null): Promise<ResealedBatch> {
    const { box, database } = this.#options;
    return database.transaction(async ({ db }) => {
      const position = { after: after?.[0] ?? "", limit: ROTATION_BATCH };
      const rows = await store.claimSealedUnder(db, keyIds, position);
      let unreadable = 0;
      for (const row of rows) {
        const reseal = (sealed: SealedSecret | null) => sealed && box.reseal(labelOf(row), sealed);
        const secret = reseal(row.secret);
        const previousSecret = reseal(row.previousSecret) ?? row.previousSecret;
        if (secret === null) unreadable += 1;
        else await store.updateWebhook(db, row.organizationId, row.id, { secret, previousSecret });
      }
      const last = rows.at(-1);
      const next = rows.length === ROTATION_BATCH && last !== undefined ? [last.id] : null;
      return { resealed: rows.length - unreadable, unreadable, next };
    });
  }

  countByKey() {
    return store.countByKey(this.#options.database.db);
  }

  /**
   * Writes what `decide` returns for the locked row as its next version; a change to what it is writes nothing. The
   * workflow that `toHold` names is held first and `decide` told whether it is there: who removes a workflow locks it
   * before its webhooks too.
   */
  async #change(
    principal: Principal,
    { id, expectedVersion }: ChangedWebhook,
    decide: (
      tx: Transaction,
      current: store.StoredWebhook,
      isHeld: boolean,
      now: Date,
    ) => Promise<Partial<store.StoredWebhook>>,
    toHold: (webhook: store.StoredWebhook) => string | null = () => null,
  ): Promise<Webhook> {
    const { organizationId } = principal;
    const { database, workflows } = this.#options;
    const seen = await store.findWebhook(database.db, organizationId, id);
    if (seen === null) throw new AppError("not_found");
    const workflowId = toHold(seen);
    const changed = await database.transaction(async (tx) => {
      const isHeld = workflowId !== null && (await workflows.hold(tx, organizationId, workflowId));
      const current = await store.lockWebhook(tx.db, organizationId, id);
      if (current === null) throw new AppError("not_found");
      if (![workflowId, null].includes(toHold(current))) return null;
      if (expectedVersion !== undefined && expectedVersion !== current.version) {
        throw new AppError("version_mismatch", {
          message: "The webhook was changed since the version you sent.",
          details: { current: current.version },
        });
      }
      const now = this.#options.now();
      const change = await decide(tx, current, isHeld, now);
      if (isDeepStrictEqual({ ...current, ...change }, current)) return current;
      const next = { ...change, version: current.version + 1, updatedAt: now };
      await store.updateWebhook(tx.db, organizationId, id, next);
      return { ...current, ...next };
    });
    // Another change came in between and made it another workflow.
    if (changed === null) return this.#change(principal, { id, expectedVersion }, decide, toHold);
    return this.#toWebhook(changed);
  }

  /** @throws AppError `workflow_not_found`, `invalid_body` when the workflow has no version that the webhook names. */
  async #requireVersion({ db }: Transaction, webhook: store.StoredWebhook): Promise<void> {
    const { organizationId, workflowId, workflowVersion } = webhook;
    const { workflows } = this.#options;
    if (workflowVersion === null) return;
    if ((await workflows.findVersion(db, organizationId, workflowId, workflowVersion)) !== null) return;
    const newest = await workflows.findVersion(db, organizationId, workflowId, null);
    if (newest === null) throw new AppError("workflow_not_found");
    const message = `is ${workflowVersion}, and the workflow has no such version`;
    throw invalidBody([{ path: ["workflowVersion"], code: "unknown_version", message }]);
  }

  /** Seals the given secret, or one that it makes; `made` is what the caller must be told. */
  #sealNew(
    verification: Verification,
    owner: { readonly organizationId: string; readonly id: string },
    given: string | undefined,
  ) {
    const problem = given === undefined ? null : secretProblem(verification, given);
    if (problem !== null) throw invalidBody([{ path: ["secret"], code: "invalid_secret", message: problem }]);
    if (verification.type === "none") return { made: null, sealed: null };
    const secret = given ?? makeSecret(verification);
    return {
      made: given === undefined ? secret : null,
      sealed: this.#options.box.seal(labelOf(owner), secret),
    };
  }

  #toWebhook(stored: store.StoredWebhook): Webhook {
    return toWebhook(stored, this.#options.baseUrl, this.#options.now());
  }
}

/** The workflow that must be there for a change: when it switches the webhook on, or moves it; else null. */
function neededWorkflow(current: store.StoredWebhook, change: Partial<store.StoredWebhook>): string | null {
  const { workflowId, isEnabled } = { ...current, ...change };
  const isSwitchedOn = isEnabled && !current.isEnabled;
  return isSwitchedOn || workflowId !== current.workflowId ? workflowId : null;
}

function makeSecret({ type }: Verification): string {
  const bytes = randomBytes(32);
  return type === "standard_webhooks" ? `whsec_${bytes.toString("base64")}` : bytes.toString("base64url");
}
