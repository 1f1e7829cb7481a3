import { setTimeout as delay } from "node:timers/promises";
import type { Principal } from "../auth/principal.js";
import type { Database } from "../db/client.js";
import { isUuid } from "../db/uuid.js";
import type { AttemptPage, Engine, RunOutcome } from "../engine/engine.js";
import { AppError } from "../errors/app-error.js";
import type { WorkflowDocument } from "../workflows/document.js";
import { type BlockStatus, blockStatuses } from "./block-states.js";
import type { FindDocument } from "./document-cache.js";
import type { RunChanges } from "./run-changes.js";
import { hasEnded, RunTeller, type TrackedRunEvent } from "./run-events.js";
import * as store from "./store.js";

/**
 * Shortest pause between two reads for one stream, in milliseconds and in times that a read took: runs with many items
 * take long to read. Changes in between are told together.
 */
const STREAM_PAUSE = { ms: 50, reads: 4 } as const;

/** A run as clients read it. */
export type Run = Omit<store.StoredRun, "versionId"> &
  RunOutcome & {
    /** How each block of the pinned document stands. */
    readonly blocks: Readonly<Record<string, BlockStatus>>;
  };

/** Where reads are made for; every one of them is scoped to it. */
type Reader = Pick<Principal, "organizationId">;

export interface RunReaderOptions {
  readonly database: Database;
  readonly engine: Pick<Engine, "readProgress" | "listAttempts">;
  readonly changes: RunChanges;
  readonly findDocument: FindDocument;
}

/** What people see of the runs of an organization: state, blocks, logs, and all of it while it happens. */
export class RunReader {
  readonly #options: RunReaderOptions;
  readonly #closing = new AbortController();

  constructor(options: RunReaderOptions) {
    this.#options = options;
  }

  /** Ends every stream; those that begin later end at once. */
  close(): void {
    this.#closing.abort(new AppError("unavailable"));
  }

  /** @throws AppError `not_found`. */
  async get(reader: Reader, runId: string): Promise<Run> {
    const { run } = await this.#read(reader, runId);
    return run;
  }

  /** A run with the document that it is pinned to. @throws AppError `not_found`. */
  async getWithDocument(
    reader: Reader,
    runId: string,
  ): Promise<{ readonly run: Run; readonly document: WorkflowDocument }> {
    return this.#read(reader, runId);
  }

  /** Step attempts in order. @throws AppError `not_found`, `logs_failed`; `invalid_body` for a bad cursor. */
  async logs(
    { organizationId }: Reader,
    request: { readonly runId: string; readonly limit: number; readonly after?: string | undefined },
  ): Promise<AttemptPage> {
    const run = await store.findRun(this.#options.database.db, organizationId, request.runId);
    if (run === null) throw new AppError("not_found");
    try {
      return await this.#options.engine.listAttempts(run.id, request);
    } catch (cause) {
      if (cause instanceof AppError) throw cause;
      throw new AppError("logs_failed", { cause });
    }
  }

  /**
   * What happens to a run, beginning with how it stands, or with what has changed since the event of `lastEventId`.
   * Ends after the event `end`, or when `signal` aborts. It throws `unavailable` when the server stops.
   * @throws AppError `not_found`.
   */
  async stream(
    reader: Reader,
    request: { readonly runId: string; readonly lastEventId?: string | undefined },
    signal: AbortSignal | undefined,
  ): Promise<AsyncGenerator<TrackedRunEvent, void>> {
    const { run, document } = await this.#read(reader, request.runId);
    const teller = new RunTeller(request.lastEventId, document.blocks.length);
    return this.#tell(reader, run, teller, signal ?? new AbortController().signal);
  }

  async *#tell(
    reader: Reader,
    first: Run,
    teller: RunTeller,
    gone: AbortSignal,
  ): AsyncGenerator<TrackedRunEvent, void> {
    if (teller.isOver) return;
    const over = AbortSignal.any([gone, this.#closing.signal]);
    const changed = new Latch();
    const open = () => changed.open();
    over.addEventListener("abort", open);
    const unsubscribe = this.#options.changes.subscribe(first.id, open);
    try {
      for (let run = first, readMs = 0; ; ) {
        yield* teller.tell(run);
        if (hasEnded(run.state)) return;
        const pauseMs = Math.max(STREAM_PAUSE.ms, STREAM_PAUSE.reads * readMs);
        await delay(pauseMs, undefined, { signal: over }).catch(() => undefined);
        if (!over.aborted) await changed.wait();
        if (over.aborted) break;
        const startedAt = performance.now();
        run = await this.get(reader, first.id);
        readMs = performance.now() - startedAt;
      }
      if (!gone.aborted) throw this.#closing.signal.reason;
    } finally {
      unsubscribe();
      // A composed signal with a listener lives as long as those it is made of.
      over.removeEventListener("abort", open);
    }
  }

  async #read({ organizationId }: Reader, runId: string) {
    const { database, engine, findDocument } = this.#options;
    if (!isUuid(runId)) throw new AppError("not_found");
    const id = runId.toLowerCase();
    const [stored, seen] = await Promise.all([
      store.findRun(database.db, organizationId, id),
      engine.readProgress(id),
    ]);
    if (stored === null) throw new AppError("not_found");
    const { versionId, ...run } = stored;
    // The run may have ended between the two reads; what it came to does not change any more.
    const isTorn = hasEnded(run.state) && seen?.hasEnded === false;
    const [progress, document] = await Promise.all([
      isTorn ? engine.readProgress(id) : seen,
      findDocument(database.db, organizationId, versionId),
    ]);
    if (document === null) throw new AppError("not_found");
    const { output, error, ...blocks } = progress ?? {
      output: null,
      error: null,
      hasEnded: true,
      blocks: [],
    };
    return {
      document,
      run: {
        ...run,
        output: run.state === "completed" ? output : null,
        error: run.state === "failed" ? error : null,
        blocks: blockStatuses(document, blocks),
      },
    };
  }
}

/** Remembers that it was opened until somebody has waited for it. */
class Latch {
  #isOpen = false;
  #resolve: () => void = () => undefined;

  open(): void {
    this.#isOpen = true;
    this.#resolve();
  }

  async wait(): Promise<void> {
    if (!this.#isOpen) {
      await new Promise<void>((resolve) => {
        this.#resolve = resolve;
      });
    }
    this.#isOpen = false;
  }
}
