import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { pino } from "pino";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { startEmbeddedPostgres } from "../../server/db/embedded/embedded-postgres.js";
import { migrateDatabase } from "../../server/db/migrate.js";
import { nudgeOverlooked } from "../../server/engine/database/wakes.js";
import { type BundledProgram, bundleProgram } from "../support/bundled-program.js";
import { createTestDatabase, type TestDatabase } from "../support/database.js";
import { type EngineStage, openEngineStage, waitUntil } from "../support/engine-stage.js";
import { killProcess, startProgram } from "../support/processes.js";
import { block, connect, transform } from "../support/workflows.js";

let program: BundledProgram;
let testDatabase: TestDatabase;
let stage: EngineStage;
let children: ChildProcess[];

beforeAll(async () => {
  program = await bundleProgram(new URL("../support/engine-worker.ts", import.meta.url));
});
afterAll(() => program.remove());

beforeEach(async () => {
  testDatabase = await createTestDatabase();
  stage = await openEngineStage(testDatabase.url, "engine observer");
  children = [];
});
afterEach(async () => {
  for (const child of children) await killProcess(child);
  await stage.close();
  await testDatabase.drop();
});

/** A worker in a process of its own, ready to claim. */
async function startWorker(): Promise<ChildProcess> {
  const child = await startProgram(program.file, [testDatabase.url]);
  children.push(child);
  return child;
}

const chainOf = (ids: string[], type: string, params: Readonly<Record<string, unknown>>) => ({
  blocks: ids.map((id) => block(id, type, params)),
  connections: connect(ids.join(">")),
});
const fiveSteps = (type: string, ms: number) => chainOf(["a", "b", "c", "d", "e"], type, { ms });

describe("kill -9 of a worker process", () => {
  it("between dispatch and start loses nothing", async () => {
    const runId = await stage.dispatch(await stage.keep(fiveSteps("work", 0)));
    expect((await stage.find(runId)).state).toBe("pending");
    await startWorker();
    await stage.waitFor(runId, ["completed"]);
    expect((await stage.effects(runId)).filter(({ kind }) => kind === "start")).toHaveLength(5);
  });

  it("in the middle of runs hands them to another within seconds, and finished steps stay finished", async () => {
    const child = await startWorker();
    const warnings: { msg: string; runs?: number }[] = [];
    const logger = pino({ level: "warn" }, { write: (line) => void warnings.push(JSON.parse(line)) });
    const engine = stage.createEngine({ logger });
    const versionId = await stage.keep(fiveSteps("work", 150));
    const runIds = await Promise.all(Array.from({ length: 10 }, () => stage.dispatch(versionId)));
    await waitUntil(
      async () =>
        (await stage.effects()).some(({ blockId, kind }) => blockId === "c" && kind === "start")
          ? true
          : null,
      10_000,
      "the third step",
    );
    await killProcess(child);
    const finished = await stage.database.sql<{ runId: string; blockId: string }[]>`
      select workflow_run_id as run_id, step_name as block_id from openworkflow.step_attempts
      where status = 'completed'`;
    expect(finished.length).toBeGreaterThan(0);
    const held = await stage.database.sql`
      select from openworkflow.workflow_runs where worker_id is not null`;

    await engine.start();
    try {
      for (const runId of runIds) await stage.waitFor(runId, ["completed"], 15_000);
      // Their leases had not ended.
      expect(warnings).toMatchObject([
        { msg: "A worker has died; its runs were given back.", runs: held.length },
      ]);
      const starts = (await stage.effects()).filter(({ kind }) => kind === "start");
      const startsOf = (runId: string, blockId: string) =>
        starts.filter((effect) => effect.runId === runId && effect.blockId === blockId).length;
      for (const { runId, blockId } of finished) expect(startsOf(runId, blockId)).toBe(1);
      // Only the one step of each run that was in flight may have started twice.
      for (const runId of runIds) {
        expect(starts.filter((effect) => effect.runId === runId).length).toBeLessThanOrEqual(6);
      }
      const [first = ""] = runIds;
      const statuses = (await engine.listAttempts(first, { limit: 100 })).data.map(({ status }) => status);
      expect(statuses.filter((status) => status !== "completed" && status !== "interrupted")).toEqual([]);
    } finally {
      await engine.stop();
    }
  }, 60_000);

  it("three times in the same block fails the block", async () => {
    const engine = stage.createEngine();
    const runId = await stage.dispatch(await stage.keep(chainOf(["before", "deadly"], "work", {})));
    await stage.database.sql`
      update stage_documents set document = jsonb_set(document, '{blocks,1,type}', '"suicide"')`;
    for (let death = 0; death < 3; death += 1) {
      const child = await startWorker();
      if (child.signalCode === null) await once(child, "exit");
    }
    await startWorker();
    await stage.waitFor(runId, ["failed"]);
    expect((await engine.readOutcome(runId)).error).toMatchObject({
      code: "worker_crashed",
      blockId: "deadly",
    });
    const entries = (await engine.listAttempts(runId, { limit: 100 })).data;
    expect(entries.map(({ blockId, status }) => `${blockId} ${status}`)).toEqual([
      "before completed",
      "deadly interrupted",
      "deadly interrupted",
      "deadly interrupted",
      "deadly failed",
    ]);
  }, 60_000);
});

describe("kill -9 of the worker that holds a wait", () => {
  it("loses neither the wait nor a wake that comes while no worker lives, however long that is", async () => {
    const gated = (params: Readonly<Record<string, unknown>>) =>
      stage.keep({
        blocks: [block("g", "gate", params), transform("after", "{{g.value}}")],
        connections: connect("g>after"),
      });
    const engine = stage.createEngine();
    const first = await startWorker();
    const opening = await stage.dispatch(await gated({ isHeld: true }));
    const parked = await stage.dispatch(await gated({}));
    await stage.waitForGates(opening, 1);
    await stage.waitFor(parked, ["waiting"]);
    await killProcess(first);
    await stage.database.sql`
      update stage_documents set document = jsonb_set(document, '{blocks,0,params,isHeld}', 'false')`;
    for (const runId of [opening, parked]) await stage.passGate(engine, runId, "g", "kept");
    await stage.database.sql`update openworkflow.flowkeep_wakes set created_at = now() - interval '30 days'`;
    await startWorker();
    for (const runId of [opening, parked]) {
      await stage.waitFor(runId, ["completed"]);
      expect((await engine.readOutcome(runId)).output?.outputs).toMatchObject({ after: { result: "kept" } });
    }
  }, 60_000);
});

describe("a worker in another process", () => {
  it("starts a run far sooner than it would by polling", async () => {
    await startWorker();
    const versionId = await stage.keep(chainOf(["a"], "work", {}));
    const medianDelay = async (count: number) => {
      const delays: number[] = [];
      for (let round = 0; round < count; round += 1) {
        const runId = await stage.dispatch(versionId);
        const run = await stage.waitFor(runId, ["completed"]);
        delays.push(Number(run.startedAt) - Number(run.createdAt));
      }
      return delays.sort((first, second) => first - second)[Math.floor(count / 2)] ?? Number.NaN;
    };
    const notified = await medianDelay(9);
    await stage.database.sql`alter table openworkflow.workflow_runs disable trigger flowkeep_wake_insert`;
    expect(notified).toBeLessThan((await medianDelay(3)) / 2);
  });

  it("aborts the step of a run that is canceled here", async () => {
    await startWorker();
    const engine = stage.createEngine();
    const runId = await stage.dispatch(await stage.keep(chainOf(["stuck"], "hang", {})));
    const hasEffect = (wanted: string) => async () =>
      (await stage.effects(runId)).some(({ kind }) => kind === wanted) ? true : null;
    await waitUntil(hasEffect("start"), 5_000, "the step");
    await engine.cancel(runId);
    await waitUntil(hasEffect("aborted"), 5_000, "the abort");
  });
});

describe("loss of database connections", () => {
  it("fails no run and repeats no step", async () => {
    const busy = await openEngineStage(testDatabase.url);
    const engine = busy.createEngine();
    await engine.start();
    const versionId = await stage.keep(fiveSteps("count", 40));
    const runIds = await Promise.all(Array.from({ length: 40 }, () => stage.dispatch(versionId)));
    for (let cut = 0; cut < 5; cut += 1) {
      const done = busy.counts.size;
      await waitUntil(
        async () => (busy.counts.size > Math.min(done + 10, 199) ? true : null),
        10_000,
        "progress",
      );
      await stage.database.sql`
        select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and application_name in ('engine stage', 'flowkeep worker session')`;
    }
    for (const runId of runIds)
      expect((await stage.waitFor(runId, ["completed", "failed"], 30_000)).state).toBe("completed");
    expect(busy.counts.size).toBe(200);
    expect([...busy.counts.values()].filter((count) => count > 1)).toEqual([]);
    await waitUntil(async () => (engine.isHealthy() ? true : null), 5_000, "the session");
    await engine.stop();
    await busy.close();
  }, 60_000);

  it("leaves workers awake for new runs", async () => {
    const busy = await openEngineStage(testDatabase.url);
    const engine = busy.createEngine();
    await engine.start();
    await stage.database.sql`
      select pg_terminate_backend(pid) from pg_stat_activity
      where datname = current_database() and application_name = 'flowkeep worker session'`;
    await waitUntil(async () => (engine.isHealthy() ? true : null), 5_000, "the session");
    const runId = await stage.dispatch(await stage.keep(chainOf(["a"], "count", { ms: 0 })));
    await stage.waitFor(runId, ["completed"]);
    await engine.stop();
    await busy.close();
  });
});

describe("a crash of PostgreSQL", () => {
  it("fails no run and repeats no step", async () => {
    const dataFolder = await mkdtemp(path.join(os.tmpdir(), "flowkeep-engine-"));
    const server = await startEmbeddedPostgres({ dataFolder, noSync: true, settings: { fsync: "off" } });
    await migrateDatabase(server.url);
    const own = await openEngineStage(server.url);
    const engine = own.createEngine();
    await engine.start();
    try {
      const versionId = await own.keep(fiveSteps("count", 40));
      const runIds = await Promise.all(Array.from({ length: 60 }, () => own.dispatch(versionId)));
      await waitUntil(async () => (own.counts.size > 100 ? true : null), 10_000, "the middle of the runs");
      const [backend] = await own.database.sql<{ pid: number }[]>`select pg_backend_pid() as pid`;
      // The server ends every connection and recovers when one of its processes dies like this.
      process.kill(backend?.pid ?? 0, "SIGKILL");
      for (const runId of runIds) {
        const end = async () => {
          const run = await own.find(runId).catch(() => null);
          return run?.finishedAt === null ? null : run;
        };
        expect((await waitUntil(end, 20_000, "the end of the run")).state).toBe("completed");
      }
      expect(own.counts.size).toBe(300);
      expect([...own.counts.values()].filter((count) => count > 1)).toEqual([]);
    } finally {
      await engine.stop();
      await own.close();
      await server.stop();
      await rm(dataFolder, { recursive: true, force: true });
    }
  }, 60_000);
});

describe("a lost wake-up", () => {
  it("is found by the sweeper", async () => {
    const engine = stage.createEngine();
    await engine.start();
    const runId = await stage.dispatch(await stage.keep({ blocks: [{ id: "g", type: "gate" }] }));
    await stage.waitFor(runId, ["waiting"]);
    expect(await nudgeOverlooked(stage.database.sql, "10 minutes")).toBe(0);
    await stage.database.sql`alter table openworkflow.flowkeep_wakes disable trigger user`;
    await stage.passGate(engine, runId, "g", 1);
    expect(await nudgeOverlooked(stage.database.sql, "10 minutes")).toBe(1);
    await stage.waitFor(runId, ["completed"]);
    await engine.stop();
  });
});
