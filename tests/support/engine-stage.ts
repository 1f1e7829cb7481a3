import { pino } from "pino";
import { z } from "zod";
import { forEach } from "../../server/connectors/builtin/for-each.js";
import { transform } from "../../server/connectors/builtin/transform.js";
import { triggerWebhook } from "../../server/connectors/builtin/trigger-webhook.js";
import { waitDuration } from "../../server/connectors/builtin/wait-duration.js";
import {
  type AwaitConnector,
  BlockError,
  type Connector,
  defineConnector,
} from "../../server/connectors/define-connector.js";
import { type Database, openDatabase, type Sql } from "../../server/db/client.js";
import { createEngine, type Engine, type EngineOptions } from "../../server/engine/engine.js";
import { createExpressions } from "../../server/expressions/expressions.js";
import { keepDocuments } from "../../server/runs/document-cache.js";
import { createRunLoader } from "../../server/runs/load-run.js";
import { findRun, insertRun, type StoredRun } from "../../server/runs/store.js";
import { WorkflowDocument } from "../../server/workflows/document.js";

const ORGANIZATION = "engine-tests";

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
  keep(document: z.input<typeof WorkflowDocument>): Promise<string>;
  /** Dispatches a run as the run service does. */
  dispatch(engine: Engine, versionId: string, input?: unknown): Promise<string>;
  find(runId: string): Promise<StoredRun>;
  /** The run, once its state is one of these. */
  waitFor(runId: string, states: readonly StoredRun["state"][], timeoutMs?: number): Promise<StoredRun>;
  effects(runId?: string): Promise<Effect[]>;
  /** How often each `count` block ran in this process, by `{runId}:{blockId}`. */
  readonly counts: ReadonlyMap<string, number>;
  /** Lets the `gate` blocks of this name pass that have begun. */
  passGate(engine: Engine, runId: string, blockId: string, value: unknown): Promise<void>;
  close(): Promise<void>;
}

/** Opens the stage on a migrated database; several processes may open it on the same one. */
export async function openEngineStage(url: string, applicationName = "engine stage"): Promise<EngineStage> {
  const database = openDatabase(url, { max: 10, applicationName });
  const counts = new Map<string, number>();
  const { sql } = database;
  await sql.unsafe(`
    set client_min_messages = warning;
    create table if not exists stage_documents (version_id uuid primary key default gen_random_uuid(), document jsonb);
    create table if not exists stage_effects (
      number bigserial, run_id text, block_id text, attempt int, kind text, at timestamptz default clock_timestamp()
    );
    create table if not exists stage_gates (wake_key text primary key, run_id text, block_id text, value jsonb);`);
  const expressions = createExpressions();
  const connectors = new Map(
    [...stageConnectors(sql, counts), gate(sql), transform, forEach, triggerWebhook, waitDuration].map(
      (each) => [each.type, each],
    ),
  );
  const find = async (runId: string) => {
    const run = await findRun(database.db, ORGANIZATION, runId);
    if (run === null) throw new Error(`There is no run ${runId}.`);
    return run;
  };

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
    dispatch: (engine, versionId, input = {}) =>
      database.transaction(async (tx) => {
        const workflowId = versionId;
        const id = await engine.enqueue(tx, { organizationId: ORGANIZATION, workflowId, versionId });
        await insertRun(tx.db, ORGANIZATION, {
          id,
          workflowId,
          workflowVersion: 1,
          versionId,
          input,
          trigger: { kind: "manual" },
          idempotencyKey: null,
          createdBy: "test",
          now: new Date(),
        });
        return id;
      }),
    find,
    async waitFor(runId, states, timeoutMs = 15_000) {
      return waitUntil(
        async () => {
          const run = await find(runId);
          return states.includes(run.state) ? run : null;
        },
        timeoutMs,
        `run ${runId} to be ${states.join(" or ")}`,
      );
    },
    async effects(runId) {
      return sql<Effect[]>`
        select run_id, block_id, attempt, kind, at from stage_effects
        where ${runId ?? null}::text is null or run_id = ${runId ?? null} order by number`;
    },
    counts,
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

/** Waits until the test lets it pass or its time is up. */
function gate(sql: Sql): AwaitConnector {
  return {
    kind: "wait",
    type: "gate",
    name: "Gate",
    description: "Waits for the test.",
    category: "test",
    params: z.object({ ms: z.number().nullable().default(null), openMs: z.number().default(0) }),
    outputs: z.object({ value: z.unknown() }),
    examples: [],
    exits: {
      of: () => ["passed", "timed_out"],
      taken: ({ value }) => [value === "timeout" ? "timed_out" : "passed"],
    },
    async open({ ms, openMs }, { runId, blockId, wakeKey }) {
      await sql`
        insert into stage_gates (run_id, block_id, wake_key) values (${runId}, ${blockId}, ${wakeKey})
        on conflict do nothing`;
      if (Number(openMs) > 0) await new Promise((resolve) => setTimeout(resolve, Number(openMs)));
      return ms === null ? null : Number(ms);
    },
    async close(_params, { wakeKey }) {
      const [row] = await sql<{ value: unknown }[]>`
        update stage_gates set value = coalesce(value, '"timeout"') where wake_key = ${wakeKey} returning value`;
      if (row?.value === "fail")
        throw new BlockError("gate_failed", "The gate failed.", { isRetryable: true });
      return { value: row?.value };
    },
  };
}

/** Connectors that write down what they do. */
function stageConnectors(sql: Sql, counts: Map<string, number>): Connector[] {
  const note = async (context: { runId: string; blockId: string; attempt: number }, kind: string) => {
    const { runId, blockId, attempt } = context;
    await sql`
      insert into stage_effects (run_id, block_id, attempt, kind) values (${runId}, ${blockId}, ${attempt}, ${kind})`;
  };
  const work = defineConnector({
    type: "work",
    description: "Works for a time and gives its value on.",
    params: z.object({ ms: z.number().default(0), value: z.unknown().optional() }),
    outputs: z.object({ value: z.unknown().optional() }),
    async run({ ms, value }, context) {
      await note(context, "start");
      if (ms > 0) await new Promise((resolve) => setTimeout(resolve, ms));
      await note(context, "end");
      return { value };
    },
  });
  const count = defineConnector({
    type: "count",
    description: "Works for a time without the database.",
    params: z.object({ ms: z.number() }),
    outputs: z.object({}),
    async run({ ms }, { runId, blockId }) {
      const key = `${runId}:${blockId}`;
      counts.set(key, (counts.get(key) ?? 0) + 1);
      await new Promise((resolve) => setTimeout(resolve, ms));
      return {};
    },
  });
  const flaky = defineConnector({
    type: "flaky",
    description: "Fails until an attempt.",
    params: z.object({ succeedsOn: z.number(), retryAfterMs: z.number().nullable().default(null) }),
    outputs: z.object({ attempt: z.number() }),
    async run({ succeedsOn, retryAfterMs }, context) {
      await note(context, "start");
      if (context.attempt >= succeedsOn) return { attempt: context.attempt };
      throw new BlockError("not_yet", `Attempt ${context.attempt} fails.`, {
        isRetryable: true,
        retryAfterMs,
      });
    },
  });
  const hang = defineConnector({
    type: "hang",
    description: "Works until it is aborted.",
    params: z.object({}),
    outputs: z.object({}),
    async run(_params, context) {
      await note(context, "start");
      await new Promise((resolve) => context.signal.addEventListener("abort", resolve, { once: true }));
      await note(context, "aborted");
      throw new Error("The work was aborted.");
    },
  });
  const broken = defineConnector({
    type: "broken",
    description: "Always fails.",
    effect: "pure",
    params: z.object({}),
    outputs: z.object({}),
    run: () => {
      throw new BlockError("broken", "It is broken.");
    },
  });
  const suicide = defineConnector({
    type: "suicide",
    description: "Kills its process.",
    params: z.object({}),
    outputs: z.object({}),
    run: () => {
      process.kill(process.pid, "SIGKILL");
      return new Promise<never>(() => {});
    },
  });
  return [work, count, flaky, hang, broken, suicide];
}
