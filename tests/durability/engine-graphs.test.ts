import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Engine } from "../../server/engine/engine.js";
import { createTestDatabase, type TestDatabase } from "../support/database.js";
import { type EngineStage, openEngineStage, waitUntil } from "../support/engine-stage.js";

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

const block = (id: string, type: string, params: object = {}, rest: object = {}) => ({
  id,
  type,
  params: params as Record<string, never>,
  ...rest,
});
const value = (id: string, template: unknown, rest: object = {}) =>
  block(id, "transform", { template }, rest);
/** `a>b`, `a:handle>b`, `a>b?condition`. */
const edge = (text: string) => {
  const [path = "", condition] = text.split("?");
  const [from = "", target = ""] = path.split(">");
  const [source = "", sourceHandle] = from.split(":");
  return {
    source,
    target,
    ...(sourceHandle === undefined ? {} : { sourceHandle }),
    ...(condition === undefined ? {} : { condition }),
  };
};

async function runToEnd(
  blocks: ReturnType<typeof block>[],
  edges: string[],
  input: unknown = {},
  timeoutMs = 30_000,
) {
  const versionId = await stage.keep({ blocks, connections: edges.map(edge) });
  const runId = await stage.dispatch(engine, versionId, input);
  const run = await stage.waitFor(runId, ["completed", "failed", "canceled"], timeoutMs);
  return { runId, run, ...(await engine.readOutcome(runId)) };
}
const begin = async (blocks: ReturnType<typeof block>[], edges: string[], input: unknown = {}) =>
  stage.dispatch(engine, await stage.keep({ blocks, connections: edges.map(edge) }), input);

describe("conditions of connections", () => {
  it("are evaluated as expressions and choose the path", async () => {
    const blocks = [value("start", "{{trigger}}"), value("big", 1), value("small", 2), value("join", 3)];
    const edges = [
      "start>big?trigger.amount > 100",
      "start>small?trigger.amount <= 100",
      "big>join",
      "small>join",
    ];
    const outputs = async (amount: number) =>
      Object.keys((await runToEnd(blocks, edges, { amount })).output?.outputs ?? {}).sort();
    expect(await outputs(500)).toEqual(["big", "join", "start"]);
    expect(await outputs(5)).toEqual(["join", "small", "start"]);
  });

  it("are evaluated once: a later change of mind of the same expression changes nothing", async () => {
    const { output, runId } = await runToEnd(
      [
        value("start", 1),
        block("pause", "wait_duration", { duration: 200, unit: "ms" }),
        value("left", 1),
        value("right", 1),
        block("wait", "wait_duration", { duration: 200, unit: "ms" }),
        value("end", 1),
      ],
      [
        "start>pause",
        "pause>left?$random() < 0.5",
        "pause>right?$random() >= 0.5",
        "left>wait",
        "right>wait",
        "wait>end",
      ],
    );
    const [row] = await stage.database.sql<{ taken: number[] }[]>`
      select output->'blocks'->0->'taken' as taken from openworkflow.step_attempts
      where workflow_run_id = ${runId} and step_name = 'pause'`;
    const names = ["", "left", "right"];
    const taken = (row?.taken ?? []).map((index) => names[index]);
    expect(["left", "right"].filter((id) => id in (output?.outputs ?? {}))).toEqual(taken);
  });

  it("that cannot be evaluated fail the run and name the connection", async () => {
    const { run, error } = await runToEnd([value("a", "text"), value("b", 1)], ["a>b?a.result - 1"]);
    expect(run.state).toBe("failed");
    expect(error).toMatchObject({ code: "condition_failed", blockId: "a" });
    expect(error?.message).toContain("a → b");
  });
});

describe("a join", () => {
  it("of nested branches runs once, after every taken path", async () => {
    const { output, runId } = await runToEnd(
      [
        value("start", "{{trigger.n}}"),
        value("odd", "odd"),
        block("x", "work", { ms: 150, value: "x" }),
        block("y", "work", { value: "y" }),
        block("inner", "work", { value: "{{x.value}}{{y.value}}" }),
        value("even", "even"),
        block("outer", "work", { value: "{{inner.value}}-{{even.result}}" }),
      ],
      [
        "start>odd?trigger.n % 2 = 1",
        "start>even?trigger.n % 2 = 0",
        "odd>x",
        "odd>y",
        "x>inner",
        "y>inner",
        "inner>outer",
        "even>outer",
      ],
      { n: 3 },
    );
    expect(output?.outputs).toEqual({
      start: { result: 3 },
      odd: { result: "odd" },
      x: { value: "x" },
      y: { value: "y" },
      inner: { value: "xy" },
      outer: { value: "xy-" },
    });
    const starts = (await stage.effects(runId)).filter(({ kind }) => kind === "start");
    expect(starts.filter(({ blockId }) => blockId === "outer")).toHaveLength(1);
  });

  it("with any starts with the first path and does not wait for the others", async () => {
    const { output, run, runId } = await runToEnd(
      [
        block("fast", "wait_duration", { duration: 200, unit: "ms" }),
        block("slow", "wait_duration", { duration: 1, unit: "d" }),
        block("behind_slow", "work"),
        block("first", "work", { value: "{{slow}}" }, { join: "any" }),
        block("after", "work"),
      ],
      ["fast>first", "slow>behind_slow", "behind_slow>first", "first>after"],
    );
    expect(run.state).toBe("completed");
    expect(Object.keys(output?.outputs ?? {}).sort()).toEqual(["after", "fast", "first"]);
    expect(output?.outputs.first).toEqual({ value: null });
    expect((await stage.effects(runId)).map(({ blockId }) => blockId)).not.toContain("behind_slow");
  });

  it("with any keeps a run open for a branch that leads elsewhere too", async () => {
    const { output } = await runToEnd(
      [
        block("fast", "work"),
        block("slow", "wait_duration", { duration: 400, unit: "ms" }),
        block("first", "work", {}, { join: "any" }),
        block("elsewhere", "work"),
      ],
      ["fast>first", "slow>first", "slow>elsewhere"],
    );
    expect(Object.keys(output?.outputs ?? {}).sort()).toEqual(["elsewhere", "fast", "first", "slow"]);
  });

  it("with any is skipped when no path is taken", async () => {
    const { output } = await runToEnd(
      [value("a", 0), value("b", 0), value("join", 1, { join: "any" })],
      ["a>join?a.result = 1", "b>join?b.result = 1"],
    );
    expect(Object.keys(output?.outputs ?? {}).sort()).toEqual(["a", "b"]);
  });

  it("with any lets a run that parks again ignore a wake for what is moot", async () => {
    const runId = await begin(
      [block("fast", "work"), block("moot", "gate"), block("first", "gate", {}, { join: "any" })],
      ["fast>first", "moot>first"],
    );
    await waitUntil(
      async () =>
        (await stage.database.sql`select from stage_gates where run_id = ${runId}`).length === 2
          ? true
          : null,
      5_000,
      "both gates",
    );
    await stage.waitFor(runId, ["waiting"]);
    await stage.passGate(engine, runId, "moot", "late");
    await stage.passGate(engine, runId, "first", "done");
    const run = await stage.waitFor(runId, ["completed"]);
    expect(run.state).toBe("completed");
    const { output } = await engine.readOutcome(runId);
    expect(Object.keys(output?.outputs ?? {}).sort()).toEqual(["fast", "first"]);
    const [row] = await stage.database.sql<{ attempts: number }[]>`
      select attempts from openworkflow.workflow_runs where id = ${runId}`;
    expect(row?.attempts).toBeLessThan(8);
  });
});

describe("failures", () => {
  it("are tried again for the listed codes only", async () => {
    const shaky = (on: string[]) =>
      runToEnd(
        [block("shaky", "flaky", { succeedsOn: 2 }, { retry: { maxAttempts: 3, initialMs: 1, on } })],
        [],
      );
    expect((await shaky(["not_yet"])).output?.outputs).toEqual({ shaky: { attempt: 2 } });
    expect((await shaky(["other"])).error).toMatchObject({ code: "not_yet", attempt: 1 });
  });

  it("go to the error handle after the last try, with code and message", async () => {
    const { output } = await runToEnd(
      [
        block(
          "shaky",
          "flaky",
          { succeedsOn: 9 },
          { onError: "branch", retry: { maxAttempts: 2, initialMs: 1 } },
        ),
        value("fine", 1),
        value("rescue", "{{shaky.error.code}}: {{shaky.error.message}}"),
      ],
      ["shaky>fine", "shaky:error>rescue"],
    );
    expect(output?.outputs).toEqual({
      shaky: { error: { code: "not_yet", message: "Attempt 2 fails." } },
      rescue: { result: "not_yet: Attempt 2 fails." },
    });
  });
});

const loop = (items: unknown, params: object = {}, rest: object = {}) =>
  block("loop", "for_each", { items, ...params }, rest);

describe("for_each", () => {
  it("runs its body once per item, in parallel up to the limit, and gives every item's outputs", async () => {
    const { output, runId } = await runToEnd(
      [
        value("outer", "o"),
        loop("{{trigger.items}}", { parallelism: 3 }),
        block("work", "work", { ms: 60, value: "{{loop.index}}:{{loop.item}}:{{outer.result}}" }),
        value("second", ["{{work.value}}", "{{trigger.items[0]}}"]),
        value("after", "{{loop.results[2].work.value}}"),
      ],
      ["outer>loop", "loop:each>work", "work>second", "loop>after"],
      { items: ["a", "b", "c", "d", "e", "f", "g"] },
    );
    expect(output?.outputs).toEqual({
      outer: { result: "o" },
      loop: {
        results: ["a", "b", "c", "d", "e", "f", "g"].map((item, index) => ({
          work: { value: `${index}:${item}:o` },
          second: { result: [`${index}:${item}:o`, "a"] },
        })),
        errors: [],
        count: 7,
        succeeded: 7,
        failed: 0,
      },
      after: { result: "2:c:o" },
    });
    let open = 0;
    let most = 0;
    for (const { kind } of await stage.effects(runId)) {
      open += kind === "start" ? 1 : -1;
      most = Math.max(most, open);
    }
    expect(most).toBe(3);
  });

  it("of no items runs nothing and goes on", async () => {
    const { output } = await runToEnd(
      [loop([]), block("never", "work"), value("after", "{{loop.count}}")],
      ["loop:each>never", "loop:done>after"],
    );
    expect(output?.outputs).toEqual({
      loop: { results: [], errors: [], count: 0, succeeded: 0, failed: 0 },
      after: { result: 0 },
    });
  });

  const failing = (onItemError: string, count: number) =>
    runToEnd(
      [loop("{{trigger.items}}", { onItemError }), block("work", "flaky", { succeedsOn: "{{loop.item}}" })],
      ["loop:each>work"],
      { items: Array.from({ length: count }, (_item, index) => (index === 57 ? 2 : 1)) },
    );

  it("skips one failing item of 200 when asked to", async () => {
    const { output } = await failing("skip", 200);
    const outcome = output?.outputs.loop as { results: unknown[] };
    expect(outcome).toMatchObject({
      count: 200,
      succeeded: 199,
      failed: 1,
      errors: [{ index: 57, code: "not_yet", message: "Attempt 1 fails.", blockId: "work" }],
    });
    expect(
      outcome.results.map((result, index) => (result === null ? index : -1)).filter((i) => i >= 0),
    ).toEqual([57]);
    expect(outcome.results[199]).toEqual({ work: { attempt: 1 } });
  });

  it("fails with the cause of the first failing item of 200, and starts no new ones", async () => {
    const { run, error, runId } = await failing("fail", 200);
    expect(run.state).toBe("failed");
    expect(error).toEqual({
      code: "not_yet",
      message: "Item 57 failed in block work: Attempt 1 fails.",
      blockId: "loop",
      attempt: 1,
    });
    expect((await stage.effects(runId)).length).toBeLessThan(70);
  });

  it("continues beyond the step limit of the engine in further parts", async () => {
    const { output, runId } = await runToEnd(
      [loop("{{trigger.items}}", { parallelism: 20 }), block("work", "count", { ms: 0 }), value("last", 1)],
      ["loop:each>work", "loop>last"],
      { items: Array.from({ length: 2_000 }, (_item, index) => index) },
      120_000,
    );
    expect(output?.outputs.loop).toMatchObject({ count: 2_000, succeeded: 2_000 });
    const [row] = await stage.database.sql<{ parts: number }[]>`
      select count(*)::int as parts from openworkflow.flowkeep_children where root_id = ${runId} and is_part`;
    expect(row?.parts).toBe(3);
  }, 150_000);

  it("keeps its parallelism over small parts of long bodies", async () => {
    const { runId, output } = await runToEnd(
      [
        loop("{{trigger.items}}", { parallelism: 3 }),
        // 20 tries of three blocks: more than 100 steps, so that six items fill a part.
        ...["a", "b", "c"].map((id) => block(id, "work", { ms: 20 }, { retry: { maxAttempts: 20 } })),
        ...Array.from({ length: 17 }, (_each, index) =>
          block(`x${index}`, "work", {}, { retry: { maxAttempts: 20 } }),
        ),
      ],
      ["loop:each>a", "a>b", "b>c", ...Array.from({ length: 17 }, (_each, index) => `c>x${index}`)],
      { items: [1, 2, 3, 4, 5, 6, 7] },
    );
    expect(output?.outputs.loop).toMatchObject({ count: 7, succeeded: 7 });
    const [row] = await stage.database.sql<{ parts: number }[]>`
      select count(*)::int as parts from openworkflow.flowkeep_children where root_id = ${runId} and is_part`;
    expect(row?.parts).toBe(7);
    let open = 0;
    let most = 0;
    for (const { kind, blockId } of await stage.effects(runId)) {
      if (!["a", "b", "c"].includes(blockId)) continue;
      open += kind === "start" ? 1 : -1;
      most = Math.max(most, open);
    }
    expect(most).toBe(3);
  }, 60_000);

  it("holds branches, joins, waits and loops in its body", async () => {
    const { output } = await runToEnd(
      [
        loop([1, 2, 3], { parallelism: 2 }),
        block("pause", "wait_duration", { duration: 50, unit: "ms" }),
        value("odd", "odd {{loop.item}}"),
        value("even", "even {{loop.item}}"),
        value("join", "{{odd.result}}{{even.result}}"),
        block("inner", "for_each", { items: ["{{loop.item}}", "x"] }),
        value("leaf", "{{loop.index}}.{{inner.index}} {{inner.item}} {{join.result}}"),
        value("tail", "{{inner.results}}"),
      ],
      [
        "loop:each>pause",
        "pause>odd?loop.item % 2 = 1",
        "pause>even?loop.item % 2 = 0",
        "odd>join",
        "even>join",
        "join>inner",
        "inner:each>leaf",
        "inner>tail",
      ],
    );
    const outcome = output?.outputs.loop as { results: { tail: unknown; odd?: unknown }[] };
    expect(outcome.results.map(({ tail }) => tail)).toEqual([
      { result: [{ leaf: { result: "0.0 1 odd 1" } }, { leaf: { result: "0.1 x odd 1" } }] },
      { result: [{ leaf: { result: "1.0 2 even 2" } }, { leaf: { result: "1.1 x even 2" } }] },
      { result: [{ leaf: { result: "2.0 3 odd 3" } }, { leaf: { result: "2.1 x odd 3" } }] },
    ]);
    expect(outcome.results.map((result) => "odd" in result)).toEqual([true, false, true]);
  });

  it("decides per item where its body starts", async () => {
    const { output } = await runToEnd(
      [loop([1, 2]), value("one", "{{loop.item}}"), value("two", "{{loop.item}}")],
      ["loop:each>one?loop.item = 1", "loop:each>two?loop.item = 2"],
    );
    expect(output?.outputs.loop).toMatchObject({
      results: [{ one: { result: 1 } }, { two: { result: 2 } }],
    });
  });

  it("refuses more items than allowed", async () => {
    const { error } = await runToEnd([loop([1, 2, 3], { maxItems: 2 }), value("x", 1)], ["loop:each>x"]);
    expect(error).toMatchObject({ code: "limit_exceeded", blockId: "loop" });
    expect(error?.message).toContain("3 items");
  });

  it("can be caught, and tried again from the start", async () => {
    const { output } = await runToEnd(
      [
        loop([1], {}, { onError: "continue", retry: { maxAttempts: 2, initialMs: 1 } }),
        block("bad", "broken"),
        value("after", "{{loop.error.code}}"),
      ],
      ["loop:each>bad", "loop>after"],
    );
    expect(output?.outputs.after).toEqual({ result: "broken" });
  });

  it("shows its run as running while items are worked on, and as waiting while all of them wait", async () => {
    const runId = await begin(
      [
        loop([1, 2], { parallelism: 2 }),
        block("work", "work", { ms: 600 }),
        block("gate", "gate"),
        block("last", "work", { ms: 600 }),
      ],
      ["loop:each>work", "work>gate", "gate>last"],
    );
    await waitUntil(async () => ((await stage.effects(runId)).length > 0 ? true : null), 5_000, "an item");
    await waitUntil(
      async () => {
        const [row] = await stage.database.sql`
          select from openworkflow.workflow_runs where id = ${runId} and worker_id is null`;
        return row === undefined ? null : true;
      },
      5_000,
      "the run to park",
    );
    expect((await stage.find(runId)).state).toBe("running");
    await stage.waitFor(runId, ["waiting"]);
    await stage.passGate(engine, runId, "gate", 1);
    await stage.waitFor(runId, ["running"]);
    await stage.waitFor(runId, ["completed"]);
  });

  it("ends with its run: canceling aborts the items that run and starts no others", async () => {
    const runId = await begin(
      [loop([1, 2, 3], { parallelism: 2 }), block("stuck", "hang")],
      ["loop:each>stuck"],
    );
    const count = async (wanted: string) =>
      (await stage.effects(runId)).filter(({ kind }) => kind === wanted).length;
    await waitUntil(async () => ((await count("start")) === 2 ? true : null), 5_000, "two items");
    await engine.cancel(runId);
    await waitUntil(async () => ((await count("aborted")) === 2 ? true : null), 5_000, "their abort");
    const parts = await stage.database.sql<{ status: string }[]>`
      select run.status from openworkflow.flowkeep_children link
      join openworkflow.workflow_runs run on run.id = link.child_id where link.root_id = ${runId}`;
    expect(parts.map(({ status }) => status)).toEqual(["canceled"]);
    expect(
      await stage.database.sql`select from openworkflow.flowkeep_loops where run_id = ${runId}`,
    ).toHaveLength(0);
  });
});
