import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Engine } from "../../server/engine/engine.js";
import { createTestDatabase, type TestDatabase } from "../support/database.js";
import { type EngineStage, openEngineStage, waitUntil } from "../support/engine-stage.js";

const WORKER_FILE = fileURLToPath(new URL("../support/engine-worker.ts", import.meta.url));

let testDatabase: TestDatabase;
let stage: EngineStage;
let engine: Engine;

beforeAll(async () => {
  testDatabase = await createTestDatabase();
  stage = await openEngineStage(testDatabase.url);
  engine = stage.createEngine();
  await engine.start();
});
afterAll(async () => {
  await engine.stop();
  await stage.close();
  await testDatabase.drop();
});

const gateDocument = (params: object = {}, more: object = {}) => ({
  blocks: [
    { id: "g", type: "gate", params: params as Record<string, never>, ...more },
    { id: "after", type: "transform", params: { template: "{{g.value}}" } },
  ],
  connections: [{ source: "g", target: "after" }],
});
const begin = async (document: Parameters<EngineStage["keep"]>[0]) =>
  stage.dispatch(engine, await stage.keep(document));
const gateOpened = (runId: string) =>
  waitUntil(
    async () => {
      const [row] = await stage.database.sql`select wake_key from stage_gates where run_id = ${runId}`;
      return row === undefined ? null : true;
    },
    5_000,
    "the gate",
  );
const outputs = async (runId: string, on = engine) => {
  await stage.waitFor(runId, ["completed"]);
  return (await on.readOutcome(runId)).output?.outputs;
};

describe("a wait for something outside the run", () => {
  it("goes on when it is woken after it has parked", async () => {
    const runId = await begin(gateDocument());
    await stage.waitFor(runId, ["waiting"]);
    await stage.passGate(engine, runId, "g", { n: 1 });
    expect(await outputs(runId)).toEqual({ g: { value: { n: 1 } }, after: { result: { n: 1 } } });
  });

  it("goes on when it is woken before it begins", async () => {
    const runId = await begin(gateDocument({ openMs: 300 }));
    await gateOpened(runId);
    await stage.passGate(engine, runId, "g", "early");
    expect(await outputs(runId)).toMatchObject({ g: { value: "early" } });
    const names = (await engine.listAttempts(runId, { limit: 100 })).data.map(({ name }) => name);
    expect(names).toContain("g");
  });

  it("never misses a wake that races with parking", async () => {
    const versionId = await stage.keep(gateDocument());
    const runIds = await Promise.all(Array.from({ length: 150 }, () => stage.dispatch(engine, versionId)));
    await Promise.all(
      runIds.map(async (runId, index) => {
        await gateOpened(runId);
        await stage.passGate(engine, runId, "g", index);
      }),
    );
    // The sweeper would take 10 s.
    for (const runId of runIds) await stage.waitFor(runId, ["completed"], 8_000);
  }, 60_000);

  it("ends at its time when nothing happens, and takes the exit that says so", async () => {
    const runId = await begin({
      blocks: [
        { id: "g", type: "gate", params: { ms: 300 } },
        { id: "passed", type: "work" },
        { id: "late", type: "work" },
      ],
      connections: [
        { source: "g", target: "passed", sourceHandle: "passed" },
        { source: "g", target: "late", sourceHandle: "timed_out" },
      ],
    });
    expect(Object.keys((await outputs(runId)) ?? {}).sort()).toEqual(["g", "late"]);
  });

  it("does not park when there is nothing left to wait for", async () => {
    const runId = await begin(gateDocument({ ms: 0 }));
    expect(await outputs(runId)).toMatchObject({ g: { value: "timeout" } });
    const steps = await stage.database.sql`
      select step_name from openworkflow.step_attempts where workflow_run_id = ${runId} order by started_at`;
    expect(steps.map(({ stepName }) => stepName)).toEqual(["g@open", "g", "after"]);
  });

  it("begins anew with a wait of its own when the block is tried again", async () => {
    const runId = await begin(gateDocument({}, { retry: { maxAttempts: 2, initialMs: 1 } }));
    await stage.waitFor(runId, ["waiting"]);
    await stage.passGate(engine, runId, "g", "fail");
    await waitUntil(
      async () => {
        const rows = await stage.database.sql`select from stage_gates where run_id = ${runId}`;
        return rows.length === 2 ? true : null;
      },
      5_000,
      "the second gate",
    );
    await stage.passGate(engine, runId, "g", "now");
    expect(await outputs(runId)).toMatchObject({ g: { value: "now" } });
  });

  it("goes on while a step of another branch still runs", async () => {
    const runId = await begin({
      blocks: [
        { id: "slow", type: "work", params: { ms: 2_500 } },
        { id: "g", type: "gate" },
        { id: "behind_gate", type: "work" },
        { id: "pause", type: "wait_duration", params: { duration: 500, unit: "ms" } },
        { id: "behind_pause", type: "work" },
      ],
      connections: [
        { source: "g", target: "behind_gate" },
        { source: "pause", target: "behind_pause" },
      ],
    });
    await gateOpened(runId);
    await stage.passGate(engine, runId, "g", 1);
    await stage.waitFor(runId, ["completed"]);
    const effects = await stage.effects(runId);
    const at = (blockId: string, kind: string) =>
      Number(effects.find((effect) => effect.blockId === blockId && effect.kind === kind)?.at);
    const startedAt = at("slow", "start");
    expect(at("behind_gate", "start") - startedAt).toBeLessThan(1_200);
    expect(at("behind_pause", "start") - startedAt).toBeGreaterThanOrEqual(450);
    expect(at("behind_pause", "start") - startedAt).toBeLessThan(1_500);
    expect(at("slow", "end") - startedAt).toBeGreaterThanOrEqual(2_450);
  });

  it("takes three seconds for two waits of three seconds side by side", async () => {
    const wait = (id: string) => ({ id, type: "wait_duration", params: { duration: 3, unit: "s" } });
    const runId = await begin({
      blocks: [wait("a"), wait("b"), { id: "join", type: "work" }],
      connections: [
        { source: "a", target: "join" },
        { source: "b", target: "join" },
      ],
    });
    const run = await stage.waitFor(runId, ["completed"]);
    const tookMs = Number(run.finishedAt) - Number(run.startedAt);
    expect(tookMs).toBeGreaterThanOrEqual(2_990);
    expect(tookMs).toBeLessThan(4_200);
  });

  it("is woken only by a transaction that commits", async () => {
    const runId = await begin(gateDocument());
    await stage.waitFor(runId, ["waiting"]);
    await expect(
      stage.database.transaction(async (tx) => {
        await engine.wake(tx, [`${runId}:g@wait`]);
        throw new Error("rolled back");
      }),
    ).rejects.toThrow("rolled back");
    expect((await stage.find(runId)).state).toBe("waiting");
    await stage.passGate(engine, runId, "g", 1);
    await stage.waitFor(runId, ["completed"]);
  });
});

describe("kill -9 of the worker that holds a wait", () => {
  async function startWorkerProcess(): Promise<ChildProcess> {
    const child = spawn(process.execPath, ["--import", "tsx", WORKER_FILE, testDatabase.url], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    await once(child.stdout, "data");
    return child;
  }

  it("loses neither the wait nor a wake that comes while no worker lives", async () => {
    await engine.stop();
    const children: ChildProcess[] = [];
    try {
      const first = await startWorkerProcess();
      children.push(first);
      const opening = await begin(gateDocument({ openMs: 20_000 }));
      const parked = await begin(gateDocument());
      await gateOpened(opening);
      await stage.waitFor(parked, ["waiting"]);
      first.kill("SIGKILL");
      await once(first, "exit");
      await stage.database.sql`
        update stage_documents set document = jsonb_set(document, '{blocks,0,params,openMs}', '0')`;
      for (const runId of [opening, parked]) await stage.passGate(engine, runId, "g", "kept");
      children.push(await startWorkerProcess());
      for (const runId of [opening, parked]) {
        expect(await outputs(runId)).toMatchObject({ after: { result: "kept" } });
      }
    } finally {
      for (const child of children) child.kill("SIGKILL");
      await engine.start();
    }
  }, 60_000);
});
