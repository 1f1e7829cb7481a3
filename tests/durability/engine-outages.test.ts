import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createTestDatabase, type TestDatabase } from "../support/database.js";
import { type EngineStage, openEngineStage, waitUntil } from "../support/engine-stage.js";
import { type DatabaseProxy, openProxy } from "../support/proxy.js";

let testDatabase: TestDatabase;
let proxy: DatabaseProxy;
/** Works through the proxy, `observer` beside it. */
let stage: EngineStage;
let observer: EngineStage;

beforeEach(async () => {
  testDatabase = await createTestDatabase();
  proxy = await openProxy(testDatabase.url);
  stage = await openEngineStage(proxy.url);
  observer = await openEngineStage(testDatabase.url, "engine observer");
});
afterEach(async () => {
  await stage.close();
  await observer.close();
  await proxy.cut();
  await testDatabase.drop();
});

const gates = {
  blocks: [
    { id: "first", type: "gate" },
    { id: "second", type: "gate" },
  ],
  connections: [{ source: "first", target: "second" }],
};

const loop = {
  blocks: [
    { id: "loop", type: "for_each", params: { items: [1, 2] } },
    { id: "each", type: "count", params: { ms: 0 } },
  ],
  connections: [{ source: "loop", target: "each", sourceHandle: "each" }],
};
const waits: [string, string, typeof gates | typeof loop][] = [
  ["for people or programs", "stage_gates", gates],
  ["for the items of a loop", "openworkflow.flowkeep_loops", loop],
];

describe("a connection that is lost before the answer arrives", () => {
  it("leaves one wait, and a run that waits for the next rests", async () => {
    const engine = stage.createEngine();
    await engine.start();
    proxy.loseAnswerTo('"kind":"signal-wait"');
    const runId = await observer.dispatch(await observer.keep(gates));
    await observer.waitFor(runId, ["waiting"]);
    await observer.passGate(engine, runId, "first", 1);
    const list = async () => (await engine.listAttempts(runId, { limit: 10 })).data;
    const hasSecond = async () => (await list()).some(({ name }) => name === "second@wait") || null;
    await waitUntil(hasSecond, 5_000, "the second wait");
    await observer.waitFor(runId, ["waiting"]);
    const data = await list();
    expect(data.map(({ name, status }) => `${name} ${status}`)).toEqual([
      "first@wait completed",
      "first completed",
      "second@wait waiting",
    ]);
    await observer.passGate(engine, runId, "second", 2);
    await observer.waitFor(runId, ["completed"]);
    const [row] = await observer.database.sql<{ claims: number }[]>`
      select attempts as claims from openworkflow.workflow_runs where id = ${runId}`;
    expect(row?.claims).toBeLessThanOrEqual(4);
    await engine.stop();
  });
});

describe("a connection that is lost while a block begins to wait", () => {
  it.each(waits)("%s fails nothing", async (_what, table, document) => {
    const engine = stage.createEngine();
    await engine.start();
    const { sql } = observer.database;
    let runId = "";
    const isHeld = async () => {
      const held = await sql`
        select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and application_name = 'engine stage' and wait_event_type = 'Lock'`;
      return held.length > 0 ? true : null;
    };
    await observer.database.transaction(async (tx) => {
      await tx.sql.unsafe(`lock table ${table} in access exclusive mode`);
      runId = await observer.dispatch(await observer.keep(document));
      await waitUntil(isHeld, 5_000, "the statement");
    });
    await observer.waitFor(runId, [document === loop ? "completed" : "waiting", "failed"]);
    expect((await engine.readOutcome(runId)).error).toBeNull();
    await engine.stop();
  });
});

describe("a statement that the database refuses while a block begins to wait", () => {
  it.each(waits)("%s fails the block without a word of the statement", async (_what, table, document) => {
    const engine = stage.createEngine();
    await engine.start();
    await observer.database.sql.unsafe(`alter table ${table} rename to hidden`);
    const runId = await observer.dispatch(await observer.keep(document));
    await observer.waitFor(runId, ["failed"]);
    expect((await engine.readOutcome(runId)).error).toMatchObject({
      code: "block_failed",
      message: "The server could not do what this block waits for; its log tells why.",
    });
    await engine.stop();
  });
});
