import { createHash, randomBytes, randomUUID } from "node:crypto";
import type { Principal } from "../auth/principal.js";
import type { AwaitContext } from "../connectors/define-connector.js";
import type { Database, Db, Transaction } from "../db/client.js";
import { type Page, type PageRequest, pageWindow } from "../db/page.js";
import { isUuid } from "../db/uuid.js";
import { AppError } from "../errors/app-error.js";
import {
  type ApprovalState,
  type Approvers,
  type Decision,
  endOf,
  judge,
  objectionTo,
  type Person,
  type RecordedDecision,
  type Refusal,
  refusalOf,
  type Speaker,
} from "./approval-rules.js";
import { type Approval, toApproval } from "./approval-view.js";
import * as store from "./store.js";

/** What a block asks; `timeoutMs` null is as long as it takes. */
export interface ApprovalRequest {
  readonly prompt: string;
  readonly details: unknown;
  readonly approvers: Approvers | null;
  readonly quorum: number;
  readonly allowSelfApproval: boolean;
  readonly timeoutMs: number | null;
}

/** What somebody says. */
export interface Saying {
  readonly decision: Decision;
  readonly note: string | null;
}

/** What the holder of a link sees. */
export interface Invitation {
  readonly name: string;
  readonly prompt: string;
  readonly details: unknown;
}

export interface ApprovalServiceOptions {
  readonly database: Database;
  /** Public origin without a trailing slash, for links. */
  readonly baseUrl: string;
  /** Lets the runs of these waits go on once the transaction commits. */
  readonly wake: (tx: Transaction, wakeKeys: readonly string[]) => Promise<void>;
  /** Keeps the run of a wait from ending until the transaction does; throws when it has ended. */
  readonly hold: (tx: Transaction, wakeKey: string) => Promise<void>;
  readonly now: () => Date;
}

const HOUR_MS = 3_600_000;

/** Questions that runs ask people, and the decisions on them. */
export class ApprovalService {
  readonly #options: ApprovalServiceOptions;

  constructor(options: ApprovalServiceOptions) {
    this.#options = options;
  }

  /** Pending ones first, then newest first. @throws AppError `invalid_body` for a bad cursor. */
  async list(principal: Principal, request: PageRequest & store.ApprovalFilter): Promise<Page<Approval>> {
    const { db } = this.#options.database;
    const window = pageWindow(request, store.isListId);
    if (request.runId !== undefined && !isUuid(request.runId)) {
      return { data: [], pagination: { next: null, prev: null } };
    }
    const now = this.#options.now();
    const page = await store.listApprovals(db, principal.organizationId, window, { ...request, now });
    const decisions = await store.listDecisions(
      db,
      page.data.map(({ id }) => id),
    );
    return {
      ...page,
      data: page.data.map((stored) => toApproval(stored, decisions.get(stored.id) ?? [], now)),
    };
  }

  /** @throws AppError `not_found`. */
  async get(principal: Principal, id: string): Promise<Approval> {
    const { db } = this.#options.database;
    const stored = await store.findApproval(db, principal.organizationId, id);
    if (stored === null) throw new AppError("not_found");
    return toApproval(stored, await decisionsOf(db, id), this.#options.now());
  }

  /**
   * Decides; saying the same again changes nothing.
   * @throws AppError `not_found`, `forbidden` (not an approver), `conflict` (decided otherwise), `expired`.
   */
  async decide(principal: Principal, id: string, saying: Saying): Promise<Approval> {
    return this.#options.database.transaction(async (tx) => {
      const person = await requirePerson(tx.db, principal);
      const stored = await store.lockApproval(tx.db, principal.organizationId, id);
      if (stored === null) throw new AppError("not_found");
      requireNoObjection(person, stored);
      return this.#decide(tx, stored, person, saying);
    });
  }

  /**
   * Makes a link with which somebody without an account decides with the voice of whoever makes it, as long as that
   * one may decide. The token is shown here only.
   * @throws AppError `not_found`, `forbidden`, `conflict` (decided), `expired`.
   */
  async createLink(
    principal: Principal,
    input: { readonly id: string; readonly name: string; readonly expiresInHours: number },
  ): Promise<{ readonly url: string; readonly expiresAt: Date }> {
    const { db } = this.#options.database;
    const [stored, person] = await Promise.all([
      store.findApproval(db, principal.organizationId, input.id),
      requirePerson(db, principal),
    ]);
    if (stored === null) throw new AppError("not_found");
    requireNoObjection(person, stored);
    const now = this.#options.now();
    const refusal = endOf(stored, now) ?? refusalOf(stored, await decisionsOf(db, stored.id), person, now);
    if (refusal !== null) throw errorOf(refusal);
    const token = randomBytes(32).toString("base64url");
    const wanted = new Date(now.getTime() + Math.round(input.expiresInHours * HOUR_MS));
    const expiresAt = stored.expiresAt !== null && stored.expiresAt < wanted ? stored.expiresAt : wanted;
    await store.insertLink(db, {
      tokenHash: hashOf(token),
      approvalId: stored.id,
      name: input.name,
      createdAt: now,
      createdBy: principal.id,
      expiresAt,
    });
    return { url: `${this.#options.baseUrl}/approve/${token}`, expiresAt };
  }

  /**
   * What the holder of a link is asked.
   * @throws AppError `not_found`, `forbidden` (whoever made it may not decide any more), `expired`, `conflict` (the
   * link was used or the approval is decided).
   */
  async openLink(token: string): Promise<Invitation> {
    const { db } = this.#options.database;
    const { approval, link } = await this.#requireLink(db, token);
    const holder = await requireHolder(db, link, approval);
    const recorded = await decisionsOf(db, approval.id);
    const refusal = refusalOf(approval, recorded, holder, this.#options.now());
    if (refusal !== null) throw errorOf(refusal);
    return { name: link.name, prompt: approval.prompt, details: approval.details };
  }

  /**
   * Decides as the holder of a link; saying the same again changes nothing.
   * @throws AppError `not_found`, `forbidden` (whoever made it may not decide any more), `expired`, `conflict`.
   */
  async decideByLink(token: string, saying: Saying): Promise<void> {
    await this.#options.database.transaction(async (tx) => {
      const { approval, link } = await this.#requireLink(tx.db, token);
      const stored = await store.lockApproval(tx.db, approval.organizationId, approval.id);
      if (stored === null) throw new AppError("not_found");
      await this.#decide(tx, stored, await requireHolder(tx.db, link, stored), saying);
    });
  }

  /**
   * Opens the approval of a block's attempt and gives the milliseconds to park at most; 0 when it is decided already.
   * Opening it again after a crash changes nothing.
   */
  async request(context: AwaitContext, { timeoutMs, ...asked }: ApprovalRequest): Promise<number | null> {
    const { organizationId, workflowId, runId, blockId, wakeKey, startedBy } = context;
    return this.#options.database.transaction(async (tx) => {
      await this.#options.hold(tx, wakeKey);
      const now = this.#options.now();
      const isNew = await store.insertApproval(tx.db, organizationId, {
        ...asked,
        id: randomUUID(),
        workflowId,
        runId,
        blockId,
        wakeKey,
        startedBy,
        createdAt: now,
        expiresAt: timeoutMs === null ? null : new Date(now.getTime() + timeoutMs),
      });
      if (isNew) return timeoutMs;
      const stored = await store.lockApprovalOfWait(tx.db, organizationId, wakeKey);
      if (stored === null || stored.state !== "pending") return 0;
      return stored.expiresAt === null ? null : Math.max(0, stored.expiresAt.getTime() - now.getTime());
    });
  }

  /** Ends the approval of a block's attempt and tells how; one that nobody has decided is expired from now on. */
  async conclude({ organizationId, wakeKey }: Pick<AwaitContext, "organizationId" | "wakeKey">): Promise<{
    readonly state: Exclude<ApprovalState, "pending">;
    readonly decisions: RecordedDecision[];
  }> {
    return this.#options.database.transaction(async ({ db }) => {
      const stored = await store.lockApprovalOfWait(db, organizationId, wakeKey);
      if (stored === null) return { state: "canceled", decisions: [] };
      const { id, state } = stored;
      const decisions = await decisionsOf(db, id);
      if (state !== "pending") return { state, decisions };
      const decidedAt = this.#options.now();
      await store.settleApproval(db, organizationId, id, { state: "expired", decidedAt });
      return { state: "expired", decisions };
    });
  }

  async #decide(
    tx: Transaction,
    stored: store.StoredApproval,
    { kind, id, name }: Speaker,
    { decision, note }: Saying,
  ): Promise<Approval> {
    const by = { kind, id, name };
    const recorded = await decisionsOf(tx.db, stored.id);
    const now = this.#options.now();
    const verdict = judge(stored, recorded, by, decision, now);
    if (verdict.kind === "refuse") throw errorOf(verdict);
    if (verdict.kind === "repeat") return toApproval(stored, recorded, now);
    const own: RecordedDecision = { by, decision, note, decidedAt: now };
    await store.insertDecision(tx.db, stored.id, own);
    if (!verdict.settles) return toApproval(stored, [...recorded, own], now);
    const settled = { state: decision, decidedAt: now };
    await store.settleApproval(tx.db, stored.organizationId, stored.id, settled);
    await this.#options.wake(tx, [stored.wakeKey]);
    return toApproval({ ...stored, ...settled }, [...recorded, own], now);
  }

  async #requireLink(db: Db, token: string) {
    const found = await store.findLink(db, hashOf(token));
    if (found === null) throw new AppError("not_found", { message: "This link is not known." });
    if (found.link.expiresAt <= this.#options.now()) {
      throw new AppError("expired", { message: "This link has expired; ask for a new one." });
    }
    return found;
  }
}

/** A random token has nothing to guess, so that a plain hash conceals it. */
function hashOf(token: string): string {
  return createHash("sha256").update(token).digest("base64url");
}

/** @throws AppError `unauthorized` for one who was let in before, but is not any more. */
async function requirePerson(db: Db, { organizationId, id }: Principal): Promise<Person> {
  const person = await store.findPerson(db, organizationId, id);
  if (person === null) throw new AppError("unauthorized");
  return person;
}

/** Who speaks through a link. @throws AppError `forbidden` when whoever made it may not decide any more. */
async function requireHolder(
  db: Db,
  { createdBy: id, name }: store.StoredLink,
  approval: store.StoredApproval,
): Promise<Speaker> {
  const maker = await store.findPerson(db, approval.organizationId, id);
  if (maker !== null && objectionTo(maker, approval) === null) return { kind: "link", id, name };
  throw new AppError("forbidden", {
    message: "Whoever made this link may not decide any more; ask one of the approvers for a new one.",
  });
}

async function decisionsOf(db: Db, approvalId: string): Promise<RecordedDecision[]> {
  return (await store.listDecisions(db, [approvalId])).get(approvalId) ?? [];
}

function requireNoObjection(person: Person, approval: store.StoredApproval): void {
  const objection = objectionTo(person, approval);
  if (objection !== null) throw new AppError("forbidden", { message: objection });
}

function errorOf({ code, message }: Refusal): AppError {
  return new AppError(code, { message });
}
