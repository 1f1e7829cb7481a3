import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createTestDatabase, type TestDatabase } from "../support/database.js";
import { type EngineStage, openEngineStage, waitUntil } from "../support/engine-stage.js";
import { block, connect, wait } from "../support/workflows.js";

let testDatabase: TestDatabase;
let stage: EngineStage;

beforeEach(async () => {
  testDatabase = await createTestDatabase();
  stage = await openEngineStage(testDatabase.url);
});
afterEach(async () => {
  await stage.close();
  await testDatabase.drop();
});

describe("runs that are due", () => {
  it("take turns by the time since when they are, whether they have begun or not", async () => {
    const { sql } = stage.database;
    const first = stage.createEngine();
    await first.start();
    const begun = await stage.dispatch(
      await stage.keep({
        blocks: [wait("pause", 300), block("resumed", "work")],
        connections: connect("pause>resumed"),
      }),
    );
    await stage.waitFor(begun, ["waiting"]);
    await first.stop();
    const isDue = async () => {
      const due = await sql`
        select from openworkflow.workflow_runs where id = ${begun} and worker_id is null and available_at <= now()`;
      return due.length > 0 ? true : null;
    };
    await waitUntil(isDue, 5_000, "the pause to end");

    const engine = stage.createEngine({ concurrency: 1 });
    const fresh = await stage.keep({ blocks: [block("fresh", "work")] });
    const backlog: string[] = [];
    for (let count = 0; count < 5; count += 1) backlog.push(await stage.dispatch(fresh));
    await engine.start();
    for (const runId of [begun, ...backlog]) await stage.waitFor(runId, ["completed"]);
    const starts = (await stage.effects()).filter(({ kind }) => kind === "start");
    expect(starts.map(({ runId }) => runId)).toEqual([begun, ...backlog]);
    await engine.stop();
  });
});

describe("claims that are held", () => {
  it("start no run until the hold ends, and then at once", async () => {
    const { sql } = stage.database;
    const engine = stage.createEngine();
    await engine.start();
    engine.holdClaims(60_000);
    const runId = await stage.dispatch(await stage.keep({ blocks: [block("a", "work")] }));
    const isLongDue = async () => {
      const due = await sql`
        select from openworkflow.workflow_runs where id = ${runId} and available_at < now() - interval '1 second'`;
      return due.length > 0 ? true : null;
    };
    await waitUntil(isLongDue, 5_000, "a second to pass");
    expect((await stage.find(runId)).state).toBe("pending");
    engine.holdClaims(0);
    await stage.waitFor(runId, ["completed"]);
    await engine.stop();
  });
});

describe("a database that refuses what passes by itself", () => {
  it.each([
    ["a full disk", "53100"],
    ["a statement timeout", "57014"],
    ["a lock timeout", "55P03"],
  ])("such as %s fails no run, whatever it interrupts", async (_what, code) => {
    const { sql } = stage.database;
    // A sequence keeps its count when the statement is rolled back.
    await sql.unsafe(`
      create sequence refusals;
      create function refuse() returns trigger language plpgsql as $$
      begin
        if nextval('refusals') % 2 = 1 then
          raise exception 'not now' using errcode = '${code}';
        end if;
        return new;
      end $$;
      create trigger refuse_steps before insert or update on openworkflow.step_attempts
        for each row execute function refuse();
      create trigger refuse_ends before update of status on openworkflow.workflow_runs
        for each row execute function refuse();`);
    const engine = stage.createEngine();
    await engine.start();
    const runId = await stage.dispatch(
      await stage.keep({
        blocks: [block("a", "work"), block("b", "work")],
        connections: connect("a>b"),
      }),
    );
    const run = await stage.waitFor(runId, ["completed", "failed"]);
    expect([run.state, (await engine.readOutcome(runId)).error]).toEqual(["completed", null]);
    expect((await stage.effects(runId)).map(({ blockId, kind }) => `${blockId} ${kind}`)).toEqual([
      "a start",
      "a end",
      "b start",
      "b end",
    ]);
    await engine.stop();
  });
});
