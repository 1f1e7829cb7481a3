import { randomUUID } from "node:crypto";
import { pino } from "pino";
import { forEach } from "../../server/connectors/builtin/for-each.js";
import { transform } from "../../server/connectors/builtin/transform.js";
import { triggerWebhook } from "../../server/connectors/builtin/trigger-webhook.js";
import { waitDuration } from "../../server/connectors/builtin/wait-duration.js";
import { type Database, openDatabase } from "../../server/db/client.js";
import { createEngine, type Engine, type EngineOptions } from "../../server/engine/engine.js";
import { createExpressions } from "../../server/expressions/expressions.js";
import { keepDocuments } from "../../server/runs/document-cache.js";
import { createRunLoader } from "../../server/runs/load-run.js";
import { findRun, insertRun, type StoredRun } from "../../server/runs/store.js";
import { WorkflowDocument } from "../../server/workflows/document.js";
import { stageConnectors } from "./stage-connectors.js";
import type { Parts } from "./workflows.js";

const ORGANIZATION = "engine-tests";
/** Longest wait for what a running step does, in milliseconds. */
const EFFECT_PATIENCE_MS = 5_000;

/** One line that a connector of the stage wrote while it ran. */
export interface Effect {
  readonly runId: string;
  readonly blockId: string;
  readonly attempt: number;
  /** `start`, `end`, `aborted`. */
  readonly kind: string;
  readonly at: Date;
}

/** A database on which engines can be started and runs of any document dispatched. */
export interface EngineStage {
  readonly database: Database;
  /** An engine of this process with the stage's connectors; `stop` it. */
  createEngine(options?: Partial<EngineOptions>): Engine;
  /** Keeps a document and returns the id of its version. */
  keep(document: Parts): Promise<string>;
  /** Dispatches a run as the run service does. */
  dispatch(versionId: string, input?: unknown): Promise<string>;
  find(runId: string): Promise<StoredRun>;
  /** The run, once its state is one of these. */
  waitFor(runId: string, states: readonly StoredRun["state"][], timeoutMs?: number): Promise<StoredRun>;
  effects(runId?: string): Promise<Effect[]>;
  /** The effects of the run, once they are as `isSo` says. */
  waitForEffects(runId: string, isSo: (effects: readonly Effect[]) => boolean): Promise<Effect[]>;
  /** Waits until this many gates of the run have begun. */
  waitForGates(runId: string, count: number): Promise<void>;
  /** How often each `count` block ran in this process, by `{runId}:{blockId}`. */
  readonly counts: ReadonlyMap<string, number>;
  /** Lets the `isHeld` blocks of this name go on that run in this process, now and later. */
  release(runId: string, blockId: string): void;
  /** Lets the `gate` blocks of this name pass that have begun. */
  passGate(engine: Engine, runId: string, blockId: string, value: unknown): Promise<void>;
  close(): Promise<void>;
}

/** Opens the stage on a migrated database; several processes may open it on the same one. */
export async function openEngineStage(url: string, applicationName = "engine stage"): Promise<EngineStage> {
  const database = openDatabase(url, { max: 10, applicationName });
  const counts = new Map<string, number>();
  const releases = new Map<string, { readonly done: Promise<void>; readonly release: () => void }>();
  const releaseOf = (runId: string, blockId: string) => {
    const key = `${runId}:${blockId}`;
    const known = releases.get(key) ?? openRelease();
    releases.set(key, known);
    return known;
  };
  const { sql } = database;
  await sql.unsafe(`
    set client_min_messages = warning;
    create table if not exists stage_documents (version_id uuid primary key default gen_random_uuid(), document jsonb);
    create table if not exists stage_effects (
      number bigserial, run_id text, block_id text, attempt int, kind text, at timestamptz default clock_timestamp()
    );
    create table if not exists stage_gates (wake_key text primary key, run_id text, block_id text, value jsonb);`);
  const expressions = createExpressions();
  const released = (runId: string, blockId: string) => releaseOf(runId, blockId).done;
  const own = stageConnectors({ sql, counts, released });
  const connectors = new Map(
    [...own, transform, forEach, triggerWebhook, waitDuration].map((each) => [each.type, each]),
  );
  const find = async (runId: string) => {
    const run = await findRun(database.db, ORGANIZATION, runId);
    if (run === null) throw new Error(`There is no run ${runId}.`);
    return run;
  };

  const effects = async (runId?: string): Promise<Effect[]> => sql<Effect[]>`
    select run_id, block_id, attempt, kind, at from stage_effects
    where ${runId ?? null}::text is null or run_id = ${runId ?? null} order by number`;

  return {
    database,
    createEngine: (options = {}) =>
      createEngine({
        database,
        listenUrl: url,
        loadRun: createRunLoader(
          database,
          keepDocuments(async (_db, _organizationId, versionId) => {
            const [row] = await sql<{ document: WorkflowDocument }[]>`
              select document from stage_documents where version_id = ${versionId}`;
            return row?.document ?? null;
          }),
        ),
        readSecrets: async () => new Map(),
        expressions,
        catalogue: connectors,
        concurrency: 20,
        shutdownGraceMs: 5_000,
        logger: pino({ level: process.env.LOG_LEVEL ?? "silent" }),
        now: () => new Date(),
        ...options,
      }),
    async keep(document) {
      const text = JSON.stringify(WorkflowDocument.parse(document));
      const [row] = await sql<{ versionId: string }[]>`
        insert into stage_documents (document) values (${text}::text::jsonb) returning version_id`;
      return row?.versionId ?? "";
    },
    async dispatch(versionId, input = {}) {
      const id = randomUUID();
      await insertRun(database.db, ORGANIZATION, {
        id,
        workflowId: versionId,
        workflowVersion: 1,
        versionId,
        input,
        trigger: { kind: "manual" },
        idempotencyKey: null,
        createdBy: "test",
        now: new Date(),
      });
      return id;
    },
    find,
    async waitFor(runId, states, timeoutMs = 30_000) {
      return waitUntil(
        async () => {
          const run = await find(runId);
          return states.includes(run.state) ? run : null;
        },
        timeoutMs,
        `run ${runId} to be ${states.join(" or ")}`,
      );
    },
    effects,
    waitForEffects: (runId, isSo) =>
      waitUntil(
        async () => {
          const found = await effects(runId);
          return isSo(found) ? found : null;
        },
        EFFECT_PATIENCE_MS,
        `what run ${runId} does`,
      ),
    async waitForGates(runId, count) {
      const areOpen = async () => {
        const gates = await sql`select from stage_gates where run_id = ${runId}`;
        return gates.length === count ? true : null;
      };
      await waitUntil(areOpen, EFFECT_PATIENCE_MS, `${count} gates of run ${runId}`);
    },
    counts,
    release: (runId, blockId) => releaseOf(runId, blockId).release(),
    async passGate(engine, runId, blockId, value) {
      await database.transaction(async (tx) => {
        const rows = await tx.sql<{ wakeKey: string }[]>`
          update stage_gates set value = ${JSON.stringify(value)}::text::jsonb
          where run_id = ${runId} and block_id = ${blockId} and value is null returning wake_key`;
        await engine.wake(
          tx,
          rows.map(({ wakeKey }) => wakeKey),
        );
      });
    },
    async close() {
      await expressions.close();
      await database.close();
    },
  };
}

function openRelease() {
  let release = () => {};
  const done = new Promise<void>((resolve) => {
    release = resolve;
  });
  return { done, release: () => release() };
}

/** Asks every 10 ms until the answer is not null. */
export async function waitUntil<T>(
  ask: () => Promise<T | null>,
  timeoutMs: number,
  what: string,
): Promise<T> {
  for (const deadline = Date.now() + timeoutMs; ; ) {
    const answer = await ask();
    if (answer !== null) return answer;
    if (Date.now() > deadline) throw new Error(`Waited ${timeoutMs} ms in vain for ${what}.`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
