import { randomUUID } from "node:crypto";
import type { Logger } from "pino";
import type { Sql } from "../db/client.js";
import { RUN_CHANGED_CHANNEL, WATCH_LOCK_CLASS } from "../engine/database/run-change-sql.js";

/** How long a watch lasts without being renewed, in seconds; so long a dead process is still notified. */
const WATCH_S = 60;
const RENEW_MS = 20_000;

export interface RunChangesOptions {
  /** Pool whose connection listens. */
  readonly sql: Sql;
  readonly logger: Logger;
}

/**
 * Says that a run has changed, in whatever process that happened, over one listening connection. Nothing is known of a
 * change: whoever hears of one reads what it needs.
 */
export class RunChanges {
  readonly #options: RunChangesOptions;
  readonly #watcher = randomUUID();
  readonly #subscribers = new Map<string, Set<() => void>>();
  #timer: NodeJS.Timeout | null = null;

  constructor(options: RunChangesOptions) {
    this.#options = options;
  }

  /** Begins to listen; ends with the pool, or with `stop`. */
  async start(): Promise<void> {
    await this.#options.sql.listen(
      RUN_CHANGED_CHANNEL,
      (runId) => this.#tell(runId),
      // Called again after every lost connection: changes may have been missed, and a crash of the database empties
      // the watches.
      () => void this.#watch([...this.#subscribers.keys()]),
    );
    this.#timer = setInterval(() => void this.#renew(), RENEW_MS);
    this.#timer.unref();
  }

  /** Notifies nobody any more. */
  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#subscribers.clear();
  }

  /**
   * Calls `onChange` after every change of the run, its steps included, that is committed after this call; also
   * without a change, at least once when the watch stands and after a lost connection. Several changes may give one
   * call. Returns what ends it.
   */
  subscribe(runId: string, onChange: () => void): () => void {
    const subscribers = this.#subscribers.get(runId) ?? new Set();
    // A function may subscribe twice, and each of them ends by itself.
    const subscriber = () => onChange();
    subscribers.add(subscriber);
    this.#subscribers.set(runId, subscribers);
    void this.#watch([runId]);
    return () => {
      subscribers.delete(subscriber);
      if (subscribers.size === 0 && this.#subscribers.get(runId) === subscribers) {
        this.#subscribers.delete(runId);
      }
    };
  }

  #tell(runId: string): void {
    for (const onChange of [...(this.#subscribers.get(runId) ?? [])]) onChange();
  }

  /** Watches the runs and tells their subscribers, who may have read before the watch stood. */
  async #watch(runIds: readonly string[]): Promise<void> {
    for (const runId of runIds) {
      try {
        await this.#options.sql`
          with locked as materialized (select pg_advisory_xact_lock(${WATCH_LOCK_CLASS}, hashtext(${runId})))
          insert into openworkflow.flowkeep_watches (run_id, watcher, until)
          select ${runId}, ${this.#watcher}, now() + make_interval(secs => ${WATCH_S}) from locked
          on conflict (run_id, watcher) do update set until = excluded.until`;
      } catch (error) {
        this.#options.logger.warn({ err: error, runId }, "Watching a run failed; it is tried again.");
      }
      this.#tell(runId);
    }
  }

  /** Keeps the watches of this process alive and removes what is left of others. */
  async #renew(): Promise<void> {
    const runIds = [...this.#subscribers.keys()];
    try {
      const renewed = await this.#options.sql<{ runId: string }[]>`
        update openworkflow.flowkeep_watches set until = now() + make_interval(secs => ${WATCH_S})
        where watcher = ${this.#watcher} and run_id = any(${runIds}::text[]) and until > now() returning run_id`;
      const known = new Set(renewed.map(({ runId }) => runId));
      await this.#watch(runIds.filter((runId) => !known.has(runId)));
      await this.#options.sql`delete from openworkflow.flowkeep_watches where until < now()`;
    } catch (error) {
      this.#options.logger.warn({ err: error }, "Renewing the watches of runs failed; it is tried again.");
    }
  }
}
