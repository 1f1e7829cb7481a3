import { afterEach, describe, expect, it } from "vitest";
import { EngineRefusedError } from "../../server/engine/engine.js";
import { useEngineStage } from "../support/engine-hooks.js";
import { block, connect, transform, wait } from "../support/workflows.js";

const { stage, engine, begin, runToEnd, logs } = useEngineStage();

describe("cancel", () => {
  it("aborts the running step, records nothing of it, and may be repeated", async () => {
    const runId = await begin({
      blocks: [block("stuck", "hang"), block("later", "work")],
      connections: connect("stuck>later"),
    });
    await stage.waitForEffects(runId, (effects) => effects.length > 0);
    await engine.cancel(runId);
    expect((await stage.find(runId)).state).toBe("canceled");
    await stage.waitForEffects(runId, (effects) => effects.some(({ kind }) => kind === "aborted"));
    await engine.cancel(runId);
    expect(await logs(runId)).toMatchObject([
      { blockId: "stuck", status: "canceled", output: null, error: null },
    ]);
    expect(await engine.readOutcome(runId)).toEqual({ output: null, error: null });
  });

  it("cancels a run that waits", async () => {
    const runId = await begin({ blocks: [wait("long", 1, "d")] });
    await stage.waitFor(runId, ["waiting"]);
    await engine.cancel(runId);
    expect((await stage.find(runId)).state).toBe("canceled");
  });

  it("is refused for a run that has ended", async () => {
    const { runId } = await runToEnd({ blocks: [block("a", "work")] });
    await expect(engine.cancel(runId)).rejects.toBeInstanceOf(EngineRefusedError);
  });
});

describe("attempts", () => {
  it("refuses a cursor of another list", async () => {
    const { runId } = await runToEnd({ blocks: [block("a", "work")] });
    await expect(engine.listAttempts(runId, { limit: 10, after: "nonsense" })).rejects.toMatchObject({
      errorCode: "invalid_body",
    });
  });

  it("has none for a run that does not exist", async () => {
    const page = await engine.listAttempts("11111111-1111-4111-8111-111111111111", { limit: 10 });
    expect(page).toEqual({ data: [], pagination: { next: null, prev: null } });
  });
});

describe("many runs", () => {
  afterEach(async () => {
    await engine.start();
  });

  it("completes 200 runs that are dispatched at once", async () => {
    const versionId = await stage.keep({
      blocks: [block("a", "work"), transform("b", 1), block("c", "work")],
      connections: connect("a>b>c"),
    });
    const runIds = await Promise.all(Array.from({ length: 200 }, () => stage.dispatch(versionId)));
    for (const runId of runIds) await stage.waitFor(runId, ["completed"], 30_000);
    for (const kind of ["start", "end"])
      expect(await countDoubles(runIds, kind)).toEqual({ doubles: 0, total: 400 });
  }, 60_000);

  it("never runs a step twice when two engines share a database", async () => {
    const other = stage.createEngine();
    await other.start();
    try {
      const versionId = await stage.keep({
        blocks: [block("a", "work"), block("b", "work"), wait("w", 50), block("c", "work")],
        connections: connect("a>b>w>c"),
      });
      const runIds = await Promise.all(Array.from({ length: 60 }, () => stage.dispatch(versionId)));
      for (const runId of runIds) await stage.waitFor(runId, ["completed"], 30_000);
      expect(await countDoubles(runIds, "start")).toEqual({ doubles: 0, total: 180 });
    } finally {
      await other.stop();
    }
  }, 60_000);

  it("gives unfinished runs back when it stops, and another engine goes on at once", async () => {
    const runId = await begin({
      // The step outlasts the look for due runs that the engine ends before it drains.
      blocks: [block("a", "work", { isHeld: true, ms: 500 }), block("b", "work"), block("c", "work")],
      connections: connect("a>b>c"),
    });
    await stage.waitForEffects(runId, (effects) => effects.length > 0);
    const stopped = engine.stop();
    stage.release(runId, "a");
    await stopped;
    const effects = await stage.effects(runId);
    expect(effects.map(({ blockId, kind }) => `${blockId} ${kind}`)).toEqual(["a start", "a end"]);
    await engine.start();
    await stage.waitFor(runId, ["completed"], 5_000);
    expect(await countDoubles([runId], "start")).toEqual({ doubles: 0, total: 3 });
  });

  it("aborts a step that outlasts the grace time and runs it again elsewhere", async () => {
    await engine.stop();
    const hasty = stage.createEngine({ shutdownGraceMs: 100 });
    await hasty.start();
    const versionId = await stage.keep({ blocks: [block("stuck", "hang")] });
    const runId = await stage.dispatch(versionId);
    await stage.waitForEffects(runId, (effects) => effects.length > 0);
    await hasty.stop();
    expect(await logs(runId)).toMatchObject([{ blockId: "stuck", status: "interrupted" }]);
    await stage.database.sql`
      update stage_documents set document = jsonb_set(document, '{blocks,0,timeoutMs}', '600')
      where version_id = ${versionId}`;
    await engine.start();
    await stage.waitFor(runId, ["failed"], 5_000);
    expect((await engine.readOutcome(runId)).error).toMatchObject({
      code: "timeout",
      blockId: "stuck",
      attempt: 1,
    });
    expect((await logs(runId)).map(({ name, status }) => [name, status])).toEqual([
      ["stuck", "interrupted"],
      ["stuck", "failed"],
    ]);
  });
});

/** How many (run, block, attempt) have more than one effect of the kind. */
async function countDoubles(runIds: string[], kind: string) {
  const [row] = await stage.database.sql<{ doubles: number; total: number }[]>`
    select count(*) filter (where times > 1)::int as doubles, count(*)::int as total from (
      select count(*) as times from stage_effects where run_id = any(${runIds}) and kind = ${kind}
      group by run_id, block_id, attempt
    ) as counted`;
  return row;
}
