import { randomUUID } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import type { Principal } from "../auth/principal.js";
import type { AwaitContext } from "../connectors/define-connector.js";
import type { Database, Transaction } from "../db/client.js";
import { AppError } from "../errors/app-error.js";
import * as store from "./store.js";

/** A signal as it is sent. */
export interface NewSignal {
  readonly name: string;
  readonly correlationKey?: string | undefined;
  readonly payload?: unknown;
  readonly ttlSeconds: number;
  readonly idempotencyKey?: string | undefined;
}

/** What became of a signal the moment it was sent. */
export interface SentSignal {
  readonly id: string;
  /** Runs that waited for it and go on. */
  readonly delivered: string[];
  /** Nobody waited, so the first wait that comes takes it. */
  readonly buffered: boolean;
}

/** What a block waits for; `timeoutMs` null is as long as it takes. */
export interface SignalWait extends store.SignalAddress {
  readonly timeoutMs: number | null;
}

/** The attempt of a block that waits. */
export type Waiter = Pick<AwaitContext, "organizationId" | "runId" | "blockId" | "wakeKey">;

/** How a wait ended. */
export interface WaitOutcome {
  readonly data: unknown;
  readonly timedOut: boolean;
}

export interface SignalServiceOptions {
  readonly database: Database;
  /** Lets the runs of these waits go on once the transaction commits. */
  readonly wake: (tx: Transaction, wakeKeys: readonly string[]) => Promise<void>;
  /** Keeps the run of a wait from ending until the transaction does; throws when it has ended. */
  readonly hold: (tx: Transaction, wakeKey: string) => Promise<void>;
  readonly now: () => Date;
}

/** Largest payload of a signal, in bytes of JSON. */
const MAX_PAYLOAD_BYTES = 262_144;
/** How long an idempotency key holds at least, in milliseconds. */
const KEY_MS = 86_400_000;

/** Rolls a sending back whose idempotency key is taken. */
class KeyTaken extends Error {}

/**
 * The inbox of an organization. A signal goes to every wait that is open under its name and correlation key; without
 * any it is buffered, and the first wait that opens takes it. Sending and waiting under one name and key happen one
 * after the other, so that no signal is lost between them or taken twice.
 */
export class SignalService {
  readonly #options: SignalServiceOptions;

  constructor(options: SignalServiceOptions) {
    this.#options = options;
  }

  /**
   * Sends a signal; when this returns, it is durable. A key that has a signal already gives the first answer.
   * @throws AppError `payload_too_large`, `idempotency_key_reused`.
   */
  async send(principal: Principal, input: NewSignal): Promise<SentSignal> {
    const size = Buffer.byteLength(JSON.stringify(input.payload ?? null));
    if (size > MAX_PAYLOAD_BYTES) {
      throw new AppError("payload_too_large", {
        message: `payload: has ${size} bytes as JSON; send at most ${MAX_PAYLOAD_BYTES}, or a reference to the data.`,
        details: { limitBytes: MAX_PAYLOAD_BYTES },
      });
    }
    try {
      return await this.#options.database.transaction((tx) => this.#write(tx, principal, input));
    } catch (cause) {
      if (!(cause instanceof KeyTaken) || input.idempotencyKey === undefined) throw cause;
      return this.#repeat(principal.organizationId, input, input.idempotencyKey);
    }
  }

  /**
   * Opens the wait of a block's attempt and gives the milliseconds to park at most; 0 when a signal was there already.
   * Opening it again after a crash changes nothing.
   */
  async openWait(waiter: Waiter, wait: SignalWait): Promise<number | null> {
    const { organizationId, runId, blockId, wakeKey } = waiter;
    const address = { name: wait.name, correlationKey: wait.correlationKey };
    return this.#options.database.transaction(async (tx) => {
      await this.#options.hold(tx, wakeKey);
      const { db } = tx;
      await store.lockAddress(db, organizationId, address);
      const now = this.#options.now();
      const expiresAt = wait.timeoutMs === null ? null : new Date(now.getTime() + wait.timeoutMs);
      const isNew = await store.insertWait(db, organizationId, {
        ...address,
        wakeKey,
        runId,
        blockId,
        createdAt: now,
        expiresAt,
      });
      if (!isNew) return remainingMs(await store.findWait(db, organizationId, wakeKey), now);
      const signalId = await store.takeBufferedSignal(db, organizationId, address, now);
      if (signalId === null) return wait.timeoutMs;
      await store.resolveWaits(db, organizationId, [wakeKey], signalId);
      return 0;
    });
  }

  /** Ends the wait of a block's attempt and tells how; a signal that comes later is buffered for others. */
  async closeWait({
    organizationId,
    wakeKey,
  }: Pick<Waiter, "organizationId" | "wakeKey">): Promise<WaitOutcome> {
    const closed = await this.#options.database.transaction(({ db }) =>
      store.closeWait(db, organizationId, wakeKey, this.#options.now()),
    );
    return { data: closed?.payload ?? null, timedOut: closed === null || closed.signalId === null };
  }

  async #write(tx: Transaction, principal: Principal, input: NewSignal): Promise<SentSignal> {
    const { organizationId } = principal;
    const address = { name: input.name, correlationKey: input.correlationKey ?? "" };
    await store.lockAddress(tx.db, organizationId, address);
    const now = this.#options.now();
    const waits = await store.lockOpenWaits(tx.db, organizationId, address, now);
    const id = randomUUID();
    const delivered = [...new Set(waits.map(({ runId }) => runId))];
    const isWritten = await store.insertSignal(tx.db, organizationId, {
      ...address,
      id,
      payload: input.payload ?? null,
      deliveredTo: delivered,
      idempotencyKey: input.idempotencyKey ?? null,
      createdAt: now,
      createdBy: principal.id,
      expiresAt: new Date(now.getTime() + input.ttlSeconds * 1_000),
      consumedAt: waits.length > 0 ? now : null,
    });
    if (!isWritten) throw new KeyTaken();
    if (waits.length === 0) {
      await store.deleteExpiredSignals(tx.db, organizationId, {
        now,
        keptSince: new Date(now.getTime() - KEY_MS),
      });
      return { id, delivered, buffered: true };
    }
    const wakeKeys = waits.map(({ wakeKey }) => wakeKey);
    await store.resolveWaits(tx.db, organizationId, wakeKeys, id);
    await this.#options.wake(tx, wakeKeys);
    return { id, delivered, buffered: false };
  }

  async #repeat(organizationId: string, input: NewSignal, idempotencyKey: string): Promise<SentSignal> {
    const first = await store.findSignalByKey(this.#options.database.db, organizationId, idempotencyKey);
    if (first === null) throw new Error("The signal of a taken idempotency key is gone.");
    const sent = [
      input.name,
      input.correlationKey ?? "",
      // The stored payload has been through JSON, which knows no negative zero.
      JSON.parse(JSON.stringify(input.payload ?? null)),
      input.ttlSeconds * 1_000,
    ];
    const ttlMs = first.expiresAt.getTime() - first.createdAt.getTime();
    if (!isDeepStrictEqual(sent, [first.name, first.correlationKey, first.payload, ttlMs])) {
      throw new AppError("idempotency_key_reused", { details: { signalId: first.id } });
    }
    return { id: first.id, delivered: first.deliveredTo, buffered: first.deliveredTo.length === 0 };
  }
}

function remainingMs(wait: Awaited<ReturnType<typeof store.findWait>>, now: Date): number | null {
  if (wait === null || wait.signalId !== null || wait.closedAt !== null) return 0;
  return wait.expiresAt === null ? null : Math.max(0, wait.expiresAt.getTime() - now.getTime());
}
