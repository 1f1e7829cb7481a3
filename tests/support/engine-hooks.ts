import { afterAll, beforeAll } from "vitest";
import type { Engine, RunOutcome } from "../../server/engine/engine.js";
import type { StoredRun } from "../../server/runs/store.js";
import { createTestDatabase } from "./database.js";
import { type EngineStage, openEngineStage } from "./engine-stage.js";
import { standInFor } from "./server-hooks.js";
import type { block, Parts } from "./workflows.js";

/** A run that has ended, with what it came to. */
export interface EndedRun extends RunOutcome {
  readonly runId: string;
  readonly run: StoredRun;
}

/** What the tests of a file work with. */
export interface RunningStage {
  readonly stage: EngineStage;
  readonly engine: Engine;
  /** Connection URL of the stage's database, once the hooks have run. */
  databaseUrl(): string;
  /** Dispatches a run of the document and gives its id. */
  begin(document: Parts, input?: unknown): Promise<string>;
  /** The run of the document, once it has ended. */
  runToEnd(document: Parts, input?: unknown, timeoutMs?: number): Promise<EndedRun>;
  /** Every attempt of a run, up to a hundred. */
  logs(runId: string): Promise<Awaited<ReturnType<Engine["listAttempts"]>>["data"]>;
}

/** A stage on a database of its own and an engine that works on it, for the tests of a file. */
export function useEngineStage(): RunningStage {
  let current: { databaseUrl: string; stage: EngineStage; engine: Engine; close(): Promise<void> } | null =
    null;
  beforeAll(async () => {
    const database = await createTestDatabase();
    const stage = await openEngineStage(database.url);
    const engine = stage.createEngine();
    await engine.start();
    const close = async () => {
      await engine.stop();
      await stage.close();
      await database.drop();
    };
    current = { databaseUrl: database.url, stage, engine, close };
  });
  afterAll(() => current?.close());

  const stage = standInFor(() => current?.stage ?? null);
  const engine = standInFor(() => current?.engine ?? null);
  const begin = async (document: Parts, input?: unknown) => stage.dispatch(await stage.keep(document), input);
  return {
    stage,
    engine,
    databaseUrl: () => current?.databaseUrl ?? "",
    begin,
    async runToEnd(document, input, timeoutMs = 30_000) {
      const runId = await begin(document, input);
      const run = await stage.waitFor(runId, ["completed", "failed", "canceled"], timeoutMs);
      return { runId, run, ...(await engine.readOutcome(runId)) };
    },
    logs: async (runId) => (await engine.listAttempts(runId, { limit: 100 })).data,
  };
}

/** A document of these blocks and of connections `a>b`, `a:handle>b` and `a>b?condition`. */
export function graph(blocks: readonly ReturnType<typeof block>[], paths: readonly string[]): Parts {
  const connections = paths.map((text) => {
    const [path = "", condition] = text.split("?");
    const [from = "", target = ""] = path.split(">");
    const [source = "", sourceHandle] = from.split(":");
    return {
      source,
      target,
      ...(sourceHandle === undefined ? {} : { sourceHandle }),
      ...(condition === undefined ? {} : { condition }),
    };
  });
  return { blocks, connections };
}
