import type { Socket } from "node:net";
import postgres from "postgres";
import { MAX_OUTPUT_BYTES } from "../../engine/blocks/json-output.js";
import { BlockError } from "../block-error.js";
import { addressRule, openGuardedSocket } from "./address-guard.js";
import type { PostgresTarget } from "./postgres-url.js";

/** One statement and where to send it. */
export interface PostgresJob {
  readonly target: PostgresTarget;
  /** Whether the database may be at a private address. */
  readonly allowsPrivate: boolean;
  readonly query: string;
  readonly values: readonly unknown[];
  readonly readOnly: boolean;
  readonly maxRows: number;
  readonly timeoutMs: number;
}

/** What the statement gave, as JSON. */
export interface QueryOutputs {
  readonly rows: Record<string, unknown>[];
  readonly rowCount: number;
  readonly truncated: boolean;
}

/** How far an attempt has come: its statement, its COMMIT may be with the database from now on. */
export type PostgresPhase = "statement" | "commit";

/** What a session says to its owner. */
export interface SessionEvents {
  /** Said, and waited for, before the phase begins. */
  announce(phase: PostgresPhase): Promise<void>;
  /** The attempt has failed, whatever `run` still waits for. */
  fail(error: BlockError): void;
}

/** Rows that are fetched at a time. */
const BATCH_ROWS = 100;
/** Most that a database may send in all, before it is looked at as rows. */
const MAX_RECEIVED_BYTES = 16 * MAX_OUTPUT_BYTES;
const RECEIVED_CHECK_MS = 10;

/**
 * Sends one statement in a transaction of its own over one connection, which nothing but the address of the job decides
 * about. It belongs into a process of its own: a database can make the driver fail, spin or wait in every phase.
 */
export class PostgresSession {
  readonly #job: PostgresJob;
  readonly #events: SessionEvents;
  readonly #sql: postgres.Sql;
  readonly #rows: Record<string, unknown>[] = [];
  #rowsBytes = 0;
  #isTruncated = false;
  #phase: "start" | PostgresPhase = "start";
  #statement: postgres.PendingQuery<postgres.Row[]> | null = null;
  #hasConnected = false;
  #isCanceled = false;

  constructor(job: PostgresJob, events: SessionEvents) {
    this.#job = job;
    this.#events = events;
    const { host, port, database, username, password, ssl } = job.target;
    const options = {
      host,
      port,
      database,
      username,
      password,
      ssl,
      max: 1,
      prepare: false,
      max_lifetime: null,
      connect_timeout: 10,
      onnotice: () => {},
      connection: { application_name: "flowkeep", TimeZone: "UTC" },
      types: jsonTypes,
      transform: { row: (row: Record<string, unknown>) => this.#keep(row) },
      // Not in the driver's types: gives the connected socket.
      socket: () => this.#openSocket(),
    };
    this.#sql = postgres(options as unknown as postgres.Options<Record<string, never>>);
  }

  /**
   * Resolves with what the statement gave once it is committed. Rejects with a `BlockError`, what the database said or
   * what the connection failed with.
   */
  async run(): Promise<QueryOutputs> {
    const { readOnly, timeoutMs } = this.#job;
    const outputs = await this.#sql.begin(readOnly ? "read only" : "read write", async (tx) => {
      await tx.unsafe(`set local statement_timeout = ${timeoutMs}`);
      const count = await this.#send(tx);
      if (this.#isCanceled) throw failure("CANCELED");
      await this.#enter("commit");
      const rowCount = this.#rows.length > 0 ? this.#rows.length : count;
      return { rows: this.#rows, rowCount, truncated: this.#isTruncated };
    });
    return outputs as QueryOutputs;
  }

  /** Asks the database to cancel what it does; false when that is nothing, and the connection can just end. */
  cancel(): boolean {
    this.#isCanceled = true;
    if (this.#phase === "statement") this.#statement?.cancel();
    return this.#phase !== "start";
  }

  /** Says goodbye to the database. */
  close(): void {
    void this.#sql.end({ timeout: 0 });
  }

  async #enter(phase: PostgresPhase): Promise<void> {
    await this.#events.announce(phase);
    this.#phase = phase;
  }

  /** Collects the rows of the statement and gives the database's count of them. */
  async #send(tx: postgres.TransactionSql): Promise<number> {
    const { query, values, maxRows } = this.#job;
    await this.#enter("statement");
    this.#statement = tx.unsafe(query, values as postgres.ParameterOrJSON<never>[]);
    const batchRows = Math.min(BATCH_ROWS, maxRows + 1);
    const result: unknown = await this.#statement.cursor(batchRows, () =>
      this.#isTruncated ? this.#sql.CLOSE : undefined,
    );
    if (Array.isArray(result)) return "count" in result ? Number(result.count) : 0;
    const error = new BlockError(
      "postgres_0A000",
      "query: COPY from or to the client is not possible here; write select or insert instead.",
    );
    this.#events.fail(error);
    throw error;
  }

  /** The driver gives every row as it arrives, those of its own statements too. */
  #keep(row: Record<string, unknown>): Record<string, unknown> {
    if (this.#phase !== "statement") return row;
    if (this.#rows.length === this.#job.maxRows) {
      this.#isTruncated = true;
      return row;
    }
    try {
      this.#rowsBytes += Buffer.byteLength(JSON.stringify(row));
    } catch {
      this.#events.fail(
        new BlockError("invalid_output", "query: a value is nested too deeply; return less of it."),
      );
    }
    if (this.#rowsBytes > MAX_OUTPUT_BYTES) this.#events.fail(tooLarge("The rows have", MAX_OUTPUT_BYTES));
    else this.#rows.push(row);
    return row;
  }

  async #openSocket(): Promise<Socket> {
    // A lost connection the driver would open again and again; beside it only a cancellation needs one.
    if (this.#hasConnected && !this.#isCanceled) throw failure("CONNECTION_CLOSED");
    this.#hasConnected = true;
    const { target, allowsPrivate } = this.#job;
    const caller = { type: "postgres_query", parameter: "connectionUrl" };
    const socket = await openGuardedSocket(target, addressRule(allowsPrivate), caller);
    setInterval(() => {
      if (socket.bytesRead > MAX_RECEIVED_BYTES) {
        this.#events.fail(tooLarge("The database sends", MAX_RECEIVED_BYTES));
      }
    }, RECEIVED_CHECK_MS);
    return socket;
  }
}

function failure(code: string): Error {
  return Object.assign(new Error(code), { code });
}

function tooLarge(what: string, maxBytes: number): BlockError {
  return new BlockError(
    "output_too_large",
    `${what} more than ${maxBytes} bytes; nothing was changed. Ask for fewer rows, or for less of them.`,
  );
}

const asIs = (value: unknown) => value;

/** How values travel so that JSON can carry them; by object identifier of the type in PostgreSQL. */
const jsonTypes = {
  timestamptz: {
    to: 1184,
    from: [1184],
    serialize: asIs,
    parse: (text: string) => text.replace(" ", "T").replace(/\+00$/, "Z"),
  },
  timestamp: { to: 1114, from: [1114], serialize: asIs, parse: (text: string) => text.replace(" ", "T") },
  date: { to: 1082, from: [1082], serialize: asIs, parse: asIs },
  bytea: {
    to: 17,
    from: [17],
    serialize: (value: unknown) => `\\x${Buffer.from(String(value), "base64").toString("hex")}`,
    parse: (text: string) => Buffer.from(text.slice(2), "hex").toString("base64"),
  },
  text: {
    to: 25,
    from: [25, 1043],
    serialize: (value: unknown) => (typeof value === "object" ? JSON.stringify(value) : String(value)),
    parse: asIs,
  },
};
