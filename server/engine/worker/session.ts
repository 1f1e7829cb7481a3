import type { Logger } from "pino";
import postgres from "postgres";
import type { Sql } from "../../db/client.js";
import { DONE_CHANNEL, WAKE_CHANNEL } from "../database/install-sql.js";
import { WAIT_CHANNEL } from "../database/link-sql.js";
import { enterRegister, listSilentWorkers, retireWorker, type WorkerNumber } from "./leases.js";

/** How often the session looks for dead workers; a process is dead when two looks in a row miss its lock. */
const LOOK_INTERVAL_MS = 1_000;
/** A look without an answer for this long means that the connection is dead. */
const LOOK_TIMEOUT_MS = 10_000;
const RECONNECT_PAUSE_MS = 200;
const CONNECT_TIMEOUT_S = 5;

export interface SessionOptions {
  readonly url: string;
  readonly number: WorkerNumber;
  /** Called for every notification with channel and payload. */
  readonly onNotification: (channel: string, payload: string) => void;
  /** Called whenever the session stands, again after every loss: notifications may have been missed. */
  readonly onConnected: () => void;
  readonly logger: Logger;
}

/** One connection of a worker process that listens, holds the process's liveness lock and watches the others'. */
export interface Session {
  /** Whether others can see that this process lives; without it no run may be claimed. */
  isConnected(): boolean;
  /** Strikes the process off the register, gives its runs back and closes the connection. */
  close(): Promise<void>;
}

/** Opens the session; it reconnects by itself until it is closed. Resolves with the first connection. */
export async function openSession(options: SessionOptions): Promise<Session> {
  const session = new WorkerSession(options);
  await session.connect();
  return session;
}

type NotifyingOptions = postgres.Options<Record<string, never>> & {
  onnotify: (channel: string, payload: string) => void;
};

class WorkerSession implements Session {
  private readonly options: SessionOptions;
  private connection: Sql | null = null;
  private timer: NodeJS.Timeout | null = null;
  private isClosed = false;
  /** Processes whose lock the last look did not find. */
  private silent: ReadonlySet<WorkerNumber> = new Set();

  constructor(options: SessionOptions) {
    this.options = options;
  }

  isConnected(): boolean {
    return this.connection !== null;
  }

  async connect(): Promise<void> {
    const { number, url, logger } = this.options;
    // A client of its own for every try: a client that reconnects by itself would drop lock and channels unseen.
    let isLost = false;
    const onClose = () => {
      isLost = true;
      this.lose(connection);
    };
    const connection: Sql = postgres(url, this.driverOptions(onClose));
    try {
      if (!(await enterRegister(connection, number))) throw new Error("The worker's lock is still held.");
      await connection.unsafe(`listen ${WAKE_CHANNEL}; listen ${DONE_CHANNEL}; listen ${WAIT_CHANNEL};`);
      if (isLost) throw new Error("The connection was lost while the session was set up.");
    } catch (error) {
      await connection.end({ timeout: 0 });
      throw error;
    }
    if (this.isClosed) return connection.end({ timeout: 0 });
    this.connection = connection;
    this.silent = new Set();
    this.schedule(() => this.look(connection), LOOK_INTERVAL_MS);
    logger.debug({ worker: number }, "The worker's session is connected.");
    this.options.onConnected();
  }

  async close(): Promise<void> {
    this.isClosed = true;
    if (this.timer !== null) clearTimeout(this.timer);
    const { connection } = this;
    this.connection = null;
    if (connection === null) return;
    await retireWorker(connection, this.options.number).catch((error: unknown) =>
      this.options.logger.warn({ err: error }, "The worker could not sign off; others take its runs over."),
    );
    await connection.end({ timeout: 1 });
  }

  private driverOptions(onClose: () => void): NotifyingOptions {
    return {
      max: 1,
      connect_timeout: CONNECT_TIMEOUT_S,
      max_lifetime: null,
      fetch_types: false,
      connection: { application_name: "flowkeep worker session" },
      onnotice: () => {},
      onnotify: this.options.onNotification,
      onclose: onClose,
    };
  }

  private lose(connection: Sql): void {
    if (this.connection !== connection) return;
    this.connection = null;
    this.options.logger.warn("The worker's session lost its connection; reconnecting.");
    void connection.end({ timeout: 0 });
    this.schedule(() => this.reconnect(), 0);
  }

  private async reconnect(): Promise<void> {
    try {
      await this.connect();
    } catch {
      this.schedule(() => this.reconnect(), RECONNECT_PAUSE_MS);
    }
  }

  /** Gives the runs of dead processes back. */
  private async look(connection: Sql): Promise<void> {
    const deadline = setTimeout(() => this.lose(connection), LOOK_TIMEOUT_MS);
    try {
      const missing = await listSilentWorkers(connection, this.options.number);
      for (const number of missing.filter((candidate) => this.silent.has(candidate))) {
        const runs = await retireWorker(connection, number);
        this.options.logger.warn({ worker: number, runs }, "A worker has died; its runs were given back.");
      }
      this.silent = new Set(missing);
    } catch (error) {
      if (this.connection !== connection) return;
      this.options.logger.warn({ err: error }, "Looking for dead workers failed; it is tried again.");
    } finally {
      clearTimeout(deadline);
    }
    if (this.connection === connection) this.schedule(() => this.look(connection), LOOK_INTERVAL_MS);
  }

  private schedule(work: () => Promise<void>, milliseconds: number): void {
    if (this.isClosed) return;
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = setTimeout(() => void work(), milliseconds);
  }
}
