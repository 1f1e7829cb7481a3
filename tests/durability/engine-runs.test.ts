import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { Engine } from "../../server/engine/engine.js";
import { EngineRefusedError } from "../../server/engine/engine.js";
import { createTestDatabase, type TestDatabase } from "../support/database.js";
import { type Effect, type EngineStage, openEngineStage, waitUntil } from "../support/engine-stage.js";

const block = (id: string, type: string, params: Record<string, never> | object = {}, rest: object = {}) => ({
  id,
  type,
  params: params as Record<string, never>,
  ...rest,
});
const edges = (...pairs: string[]) =>
  pairs.map((pair) => {
    const [source = "", target = ""] = pair.split(">");
    return { source, target };
  });

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

async function runToEnd(document: Parameters<EngineStage["keep"]>[0], input?: unknown) {
  const runId = await stage.dispatch(engine, await stage.keep(document), input);
  const run = await stage.waitFor(runId, ["completed", "failed", "canceled"]);
  return { runId, run, ...(await engine.readOutcome(runId)) };
}

const logs = async (runId: string) => (await engine.listAttempts(runId, { limit: 100 })).data;
const at = (effects: Effect[], blockId: string, kind: string) =>
  effects.find((effect) => effect.blockId === blockId && effect.kind === kind)?.at.getTime() ?? Number.NaN;

describe("walking a document", () => {
  it("gives the run's input as the output of a trigger, an empty object when there is none", async () => {
    const document = { blocks: [block("start", "trigger_webhook")] };
    expect((await runToEnd(document, { a: [1] })).output).toEqual({ outputs: { start: { a: [1] } } });
    expect((await runToEnd(document)).output).toEqual({ outputs: { start: {} } });
  });

  it("passes values by id, name, trigger and variable", async () => {
    const { output } = await runToEnd(
      {
        blocks: [
          block("start", "trigger_webhook"),
          block(
            "first",
            "transform",
            { template: { n: "{{trigger.n}}", v: "{{vars.v}}" } },
            { name: "The first" },
          ),
          block("second", "work", { value: "{{The first.result.n}} and {{first.result.v}}" }),
        ],
        connections: edges("start>first", "first>second"),
        variables: { v: "var" },
      },
      { n: 7 },
    );
    expect(output?.outputs).toMatchObject({
      first: { result: { n: 7, v: "var" } },
      second: { value: "7 and var" },
    });
  });

  it("runs the branches of a diamond at the same time and joins them once", async () => {
    const { runId, run } = await runToEnd({
      blocks: [
        block("a", "work"),
        block("b", "work", { ms: 400 }),
        block("c", "work", { ms: 400 }),
        block("d", "work"),
      ],
      connections: edges("a>b", "a>c", "b>d", "c>d"),
    });
    expect(run.state).toBe("completed");
    const effects = await stage.effects(runId);
    expect(at(effects, "b", "start")).toBeLessThan(at(effects, "c", "end"));
    expect(at(effects, "c", "start")).toBeLessThan(at(effects, "b", "end"));
    expect(at(effects, "d", "start")).toBeGreaterThanOrEqual(
      Math.max(at(effects, "b", "end"), at(effects, "c", "end")),
    );
    expect(effects.filter(({ blockId, kind }) => blockId === "d" && kind === "start")).toHaveLength(1);
  });

  it("skips a disabled block and what depends on it alone, and joins over the paths that are left", async () => {
    const { output } = await runToEnd({
      blocks: [
        block("a", "work"),
        block("off", "work", {}, { enabled: false }),
        block("behind", "work"),
        block("join", "work"),
      ],
      connections: edges("a>off", "off>behind", "a>join", "behind>join"),
    });
    expect(Object.keys(output?.outputs ?? {}).sort()).toEqual(["a", "join"]);
  });

  it("starts every block without incoming connections", async () => {
    const { output } = await runToEnd({
      blocks: [block("a", "work"), block("b", "work"), block("c", "transform", { template: 1 })],
    });
    expect(Object.keys(output?.outputs ?? {}).sort()).toEqual(["a", "b", "c"]);
  });

  it("keeps each block of a folded chain as an entry of its own, in order, on every page size", async () => {
    const { runId, output } = await runToEnd({
      blocks: [
        block("start", "trigger_webhook"),
        block("one", "transform", { template: 1 }),
        block("two", "transform", { template: ["{{one.result}}", 2] }),
        block("three", "work", { value: "{{two.result[1]}}" }),
        block("four", "transform", { template: "{{two.result}}" }),
      ],
      connections: edges("start>one", "one>two", "two>three", "three>four", "two>four"),
    });
    expect(output?.outputs.four).toEqual({ result: [1, 2] });
    const entries = await logs(runId);
    expect(entries.map(({ blockId }) => blockId)).toEqual(["start", "one", "two", "three", "four"]);
    expect(entries.map(({ status, kind, attempt }) => [status, kind, attempt])).toEqual(
      entries.map(() => ["completed", "block", 1]),
    );
    expect(entries[2]?.output).toEqual({ result: [1, 2] });
    const paged: string[] = [];
    let after: string | undefined;
    do {
      const page = await engine.listAttempts(runId, { limit: 1, after });
      paged.push(...page.data.map(({ id }) => id));
      after = page.pagination.next ?? undefined;
    } while (after !== undefined);
    expect(paged).toEqual(entries.map(({ id }) => id));
    const [{ steps } = { steps: 0 }] = await stage.database.sql<{ steps: number }[]>`
      select count(*)::int as steps from openworkflow.step_attempts where workflow_run_id = ${runId}`;
    expect(steps).toBe(3);
  });
});

describe("failures", () => {
  it("retries with back-off and records every attempt", async () => {
    const { runId, output } = await runToEnd({
      blocks: [
        block("shaky", "flaky", { succeedsOn: 3 }, { retry: { maxAttempts: 5, initialMs: 30, factor: 2 } }),
      ],
    });
    expect(output?.outputs.shaky).toEqual({ attempt: 3 });
    const entries = await logs(runId);
    expect(entries.map(({ name, status }) => [name, status])).toEqual([
      ["shaky", "failed"],
      ["shaky@backoff", "completed"],
      ["shaky~2", "failed"],
      ["shaky~2@backoff", "completed"],
      ["shaky~3", "completed"],
    ]);
    expect(entries[0]).toMatchObject({
      blockId: "shaky",
      attempt: 1,
      error: { code: "not_yet", message: "Attempt 1 fails." },
    });
    expect((await stage.effects(runId)).map(({ attempt }) => attempt)).toEqual([1, 2, 3]);
  });

  it("waits at least as long as the far side asked for", async () => {
    const { runId } = await runToEnd({
      blocks: [
        block(
          "shaky",
          "flaky",
          { succeedsOn: 2, retryAfterMs: 500 },
          { retry: { maxAttempts: 2, initialMs: 1 } },
        ),
      ],
    });
    const [first, second] = await stage.effects(runId);
    expect(Number(second?.at) - Number(first?.at)).toBeGreaterThanOrEqual(490);
  });

  it("fails the run with code, block and attempt, and without a stack", async () => {
    const { run, error, output } = await runToEnd({
      blocks: [
        block("shaky", "flaky", { succeedsOn: 9 }, { retry: { maxAttempts: 2, initialMs: 1 } }),
        block("later", "work"),
      ],
      connections: edges("shaky>later"),
    });
    expect(run.state).toBe("failed");
    expect(run.startedAt).not.toBeNull();
    expect(run.finishedAt?.getTime()).toBeGreaterThanOrEqual(run.startedAt?.getTime() ?? Number.NaN);
    expect(output).toBeNull();
    expect(error).toEqual({ code: "not_yet", message: "Attempt 2 fails.", blockId: "shaky", attempt: 2 });
  });

  it("lets a running branch end before the run fails", async () => {
    const { runId, error } = await runToEnd({
      blocks: [block("bad", "broken"), block("slow", "work", { ms: 300 }), block("after", "work")],
      connections: edges("slow>after"),
    });
    expect(error?.blockId).toBe("bad");
    expect((await stage.effects(runId)).map(({ blockId, kind }) => `${blockId} ${kind}`)).toEqual([
      "slow start",
      "slow end",
      "after start",
      "after end",
    ]);
  });

  it("does not wait for a parked branch before it fails", async () => {
    const { run, error } = await runToEnd({
      blocks: [block("bad", "broken"), block("wait", "wait_duration", { duration: 1, unit: "d" })],
    });
    expect([run.state, error?.code]).toEqual(["failed", "broken"]);
  });

  it("names the field of a parameter that does not fit and does not retry it", async () => {
    const { runId, error } = await runToEnd({
      blocks: [block("a", "work", { ms: "{{trigger.missing}}" }, { retry: { maxAttempts: 5 } })],
    });
    expect(error).toMatchObject({ code: "invalid_params", blockId: "a", attempt: 1 });
    expect(error?.message).toMatch(/^Parameter ms: /);
    expect(await logs(runId)).toHaveLength(1);
  });

  it("stops an attempt at its timeout", async () => {
    const { error } = await runToEnd({ blocks: [block("stuck", "hang", {}, { timeoutMs: 50 })] });
    expect(error).toMatchObject({ code: "timeout", blockId: "stuck" });
  });

  it("continues behind a folded chain whose end failed", async () => {
    const { runId, error } = await runToEnd({
      blocks: [
        block("a", "transform", { template: 1 }),
        block("b", "broken"),
        block("c", "transform", { template: 2 }),
      ],
      connections: edges("a>b", "a>c"),
    });
    expect(error).toMatchObject({ code: "broken", blockId: "b" });
    expect((await logs(runId)).map(({ blockId, status }) => `${blockId} ${status}`)).toEqual([
      "a completed",
      "b failed",
      "c completed",
    ]);
  });

  it("fails a block of an unknown type with the remedy", async () => {
    const { error } = await runToEnd({ blocks: [block("odd", "no_such_type")] });
    expect(error).toMatchObject({ code: "connector_missing", blockId: "odd" });
  });
});

describe("waiting", () => {
  it("parks without holding a slot and resumes on time", async () => {
    const single = stage.createEngine({ concurrency: 1 });
    await engine.stop();
    await single.start();
    try {
      const wait = await stage.keep({
        blocks: [block("wait", "wait_duration", { duration: 700, unit: "ms" }), block("after", "work")],
        connections: edges("wait>after"),
      });
      const quick = await stage.keep({ blocks: [block("a", "work")] });
      const waiting = await stage.dispatch(single, wait);
      await stage.waitFor(waiting, ["waiting"]);
      await stage.waitFor(await stage.dispatch(single, quick), ["completed"]);
      expect((await stage.find(waiting)).state).toBe("waiting");
      expect((await logs(waiting)).map(({ name, kind, status }) => [name, kind, status])).toEqual([
        ["wait@wait", "wait", "waiting"],
      ]);
      await stage.waitFor(waiting, ["completed"]);
      const entries = await logs(waiting);
      expect(entries.map(({ name }) => name)).toEqual(["wait@wait", "wait", "after"]);
      const [parked, resumed] = entries;
      const lateMs = Number(resumed?.startedAt) - Number(parked?.startedAt) - 700;
      expect(lateMs).toBeGreaterThanOrEqual(-2);
      expect(lateMs).toBeLessThan(700);
      expect((await engine.readOutcome(waiting)).output?.outputs.wait).toEqual({
        resumedAt: expect.any(String),
      });
    } finally {
      await single.stop();
      await engine.start();
    }
  });

  it("lets two waits pass side by side", async () => {
    const { run } = await runToEnd({
      blocks: [
        block("a", "wait_duration", { duration: 600, unit: "ms" }),
        block("b", "wait_duration", { duration: 600, unit: "ms" }),
        block("join", "work"),
      ],
      connections: edges("a>join", "b>join"),
    });
    expect(Number(run.finishedAt) - Number(run.startedAt)).toBeLessThan(1_100);
  });
});

describe("cancel", () => {
  it("aborts the running step, records nothing of it, and may be repeated", async () => {
    const runId = await stage.dispatch(
      engine,
      await stage.keep({
        blocks: [block("stuck", "hang"), block("later", "work")],
        connections: edges("stuck>later"),
      }),
    );
    await waitUntil(async () => ((await stage.effects(runId)).length > 0 ? true : null), 5_000, "the step");
    await engine.cancel(runId);
    expect((await stage.find(runId)).state).toBe("canceled");
    await waitUntil(
      async () => ((await stage.effects(runId)).some(({ kind }) => kind === "aborted") ? true : null),
      5_000,
      "the abort",
    );
    await engine.cancel(runId);
    expect(await logs(runId)).toMatchObject([
      { blockId: "stuck", status: "canceled", output: null, error: null },
    ]);
    expect(await engine.readOutcome(runId)).toEqual({ output: null, error: null });
  });

  it("cancels a run that waits", async () => {
    const runId = await stage.dispatch(
      engine,
      await stage.keep({ blocks: [block("wait", "wait_duration", { duration: 1, unit: "d" })] }),
    );
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
      blocks: [block("a", "work"), block("b", "transform", { template: 1 }), block("c", "work")],
      connections: edges("a>b", "b>c"),
    });
    const runIds = await Promise.all(Array.from({ length: 200 }, () => stage.dispatch(engine, versionId)));
    for (const runId of runIds) await stage.waitFor(runId, ["completed"], 30_000);
    for (const kind of ["start", "end"])
      expect(await countDoubles(runIds, kind)).toEqual({ doubles: 0, total: 400 });
  }, 60_000);

  it("never runs a step twice when two engines share a database", async () => {
    const other = stage.createEngine();
    await other.start();
    try {
      const versionId = await stage.keep({
        blocks: [
          block("a", "work"),
          block("b", "work"),
          block("w", "wait_duration", { duration: 50, unit: "ms" }),
          block("c", "work"),
        ],
        connections: edges("a>b", "b>w", "w>c"),
      });
      const runIds = await Promise.all(Array.from({ length: 60 }, () => stage.dispatch(engine, versionId)));
      for (const runId of runIds) await stage.waitFor(runId, ["completed"], 30_000);
      expect(await countDoubles(runIds, "start")).toEqual({ doubles: 0, total: 180 });
    } finally {
      await other.stop();
    }
  }, 60_000);

  it("gives unfinished runs back when it stops, and another engine goes on at once", async () => {
    const versionId = await stage.keep({
      blocks: [block("a", "work", { ms: 200 }), block("b", "work", { ms: 200 }), block("c", "work")],
      connections: edges("a>b", "b>c"),
    });
    const runId = await stage.dispatch(engine, versionId);
    await waitUntil(
      async () => ((await stage.effects(runId)).length > 0 ? true : null),
      5_000,
      "the first step",
    );
    await engine.stop();
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
    const runId = await stage.dispatch(
      hasty,
      await stage.keep({ blocks: [block("stuck", "hang", {}, { timeoutMs: 600 })] }),
    );
    await waitUntil(async () => ((await stage.effects(runId)).length > 0 ? true : null), 5_000, "the step");
    await hasty.stop();
    expect(await logs(runId)).toMatchObject([{ blockId: "stuck", status: "interrupted" }]);
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
