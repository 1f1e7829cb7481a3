import { describe, expect, it } from "vitest";
import { graph, useEngineStage } from "../support/engine-hooks.js";
import { type Effect, waitUntil } from "../support/engine-stage.js";
import { block, transform, wait } from "../support/workflows.js";

type Json = Readonly<Record<string, unknown>>;

const { stage, engine, begin, runToEnd, logs } = useEngineStage();

const loop = (items: unknown, params: Json = {}, more: Json = {}) =>
  block("loop", "for_each", { items, ...params }, more);
const countOf = (effects: readonly Effect[], wanted: string) =>
  effects.filter(({ kind }) => kind === wanted).length;

/** Most of these blocks that ran at the same time. */
async function mostAtOnce(runId: string, blockIds: readonly string[]): Promise<number> {
  let open = 0;
  let most = 0;
  for (const { kind, blockId } of await stage.effects(runId)) {
    if (!blockIds.includes(blockId)) continue;
    open += kind === "start" ? 1 : -1;
    most = Math.max(most, open);
  }
  return most;
}

describe("for_each", () => {
  it("runs its body once per item, in parallel up to the limit, and gives every item's outputs", async () => {
    const runId = await begin(
      graph(
        [
          transform("outer", "o"),
          loop("{{trigger.items}}", { parallelism: 3 }),
          block("work", "work", {
            isHeld: true,
            ms: 60,
            value: "{{loop.index}}:{{loop.item}}:{{outer.result}}",
          }),
          transform("second", ["{{work.value}}", "{{trigger.items[0]}}"]),
          transform("after", "{{loop.results[2].work.value}}"),
        ],
        ["outer>loop", "loop:each>work", "work>second", "loop>after"],
      ),
      { items: ["a", "b", "c", "d", "e", "f", "g"] },
    );
    await stage.waitForEffects(runId, (effects) => countOf(effects, "start") === 3);
    stage.release(runId, "work");
    await stage.waitFor(runId, ["completed"]);
    const { output } = await engine.readOutcome(runId);
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
    expect(await mostAtOnce(runId, ["work"])).toBe(3);
  });

  it("of no items runs nothing and goes on", async () => {
    const { output } = await runToEnd(
      graph(
        [loop([]), block("never", "work"), transform("after", "{{loop.count}}")],
        ["loop:each>never", "loop:done>after"],
      ),
    );
    expect(output?.outputs).toEqual({
      loop: { results: [], errors: [], count: 0, succeeded: 0, failed: 0 },
      after: { result: 0 },
    });
  });

  /** 200 items, of which one fails. */
  const failing = (onItemError: string, isHeld: (index: number) => boolean = () => false) => {
    const work = { succeedsOn: "{{loop.item.succeedsOn}}", isHeld: "{{loop.item.isHeld}}" };
    const items = Array.from({ length: 200 }, (_item, index) => ({
      succeedsOn: index === 57 ? 2 : 1,
      isHeld: isHeld(index),
    }));
    return begin(
      graph([loop("{{trigger.items}}", { onItemError }), block("work", "flaky", work)], ["loop:each>work"]),
      { items },
    );
  };

  it("skips one failing item of 200 when asked to", async () => {
    const runId = await failing("skip");
    await stage.waitFor(runId, ["completed"], 30_000);
    const { output } = await engine.readOutcome(runId);
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
    const runId = await failing("fail", (index) => index > 57);
    await waitUntil(
      async () => ((await logs(runId)).some(({ status }) => status === "failed") ? true : null),
      15_000,
      "the item that fails",
    );
    stage.release(runId, "work");
    await stage.waitFor(runId, ["failed"]);
    expect((await engine.readOutcome(runId)).error).toEqual({
      code: "not_yet",
      message: "Item 57 failed in block work: Attempt 1 fails.",
      blockId: "loop",
      attempt: 1,
    });
    expect((await stage.effects(runId)).length).toBeLessThan(70);
  });

  it("continues beyond the step limit of the engine in further parts", async () => {
    const { output, runId } = await runToEnd(
      graph(
        [
          loop("{{trigger.items}}", { parallelism: 20 }),
          block("work", "count", { ms: 0 }),
          transform("last", 1),
        ],
        ["loop:each>work", "loop>last"],
      ),
      { items: Array.from({ length: 2_000 }, (_item, index) => index) },
      120_000,
    );
    expect(output?.outputs.loop).toMatchObject({ count: 2_000, succeeded: 2_000 });
    const [row] = await stage.database.sql<{ parts: number }[]>`
      select count(*)::int as parts from openworkflow.flowkeep_children where root_id = ${runId} and is_part`;
    expect(row?.parts).toBe(3);
  }, 150_000);

  it("keeps its parallelism over small parts of long bodies", async () => {
    const runId = await begin(
      graph(
        [
          loop("{{trigger.items}}", { parallelism: 3 }),
          // 20 tries of three blocks: more than 100 steps, so that six items fill a part.
          ...["a", "b", "c"].map((id) =>
            block(id, "work", { ms: 20, isHeld: id === "a" }, { retry: { maxAttempts: 20 } }),
          ),
          ...Array.from({ length: 17 }, (_each, index) =>
            block(`x${index}`, "work", {}, { retry: { maxAttempts: 20 } }),
          ),
        ],
        ["loop:each>a", "a>b", "b>c", ...Array.from({ length: 17 }, (_each, index) => `c>x${index}`)],
      ),
      { items: [1, 2, 3, 4, 5, 6, 7] },
    );
    await stage.waitForEffects(runId, (effects) => countOf(effects, "start") === 3);
    stage.release(runId, "a");
    await stage.waitFor(runId, ["completed"], 30_000);
    const { output } = await engine.readOutcome(runId);
    expect(output?.outputs.loop).toMatchObject({ count: 7, succeeded: 7 });
    const [row] = await stage.database.sql<{ parts: number }[]>`
      select count(*)::int as parts from openworkflow.flowkeep_children where root_id = ${runId} and is_part`;
    expect(row?.parts).toBe(7);
    expect(await mostAtOnce(runId, ["a", "b", "c"])).toBe(3);
  }, 60_000);

  it("holds branches, joins, waits and loops in its body", async () => {
    const { output } = await runToEnd(
      graph(
        [
          loop([1, 2, 3], { parallelism: 2 }),
          wait("pause", 50),
          transform("odd", "odd {{loop.item}}"),
          transform("even", "even {{loop.item}}"),
          transform("join", "{{odd.result}}{{even.result}}"),
          block("inner", "for_each", { items: ["{{loop.item}}", "x"] }),
          transform("leaf", "{{loop.index}}.{{inner.index}} {{inner.item}} {{join.result}}"),
          transform("tail", "{{inner.results}}"),
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
      ),
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
      graph(
        [loop([1, 2]), transform("one", "{{loop.item}}"), transform("two", "{{loop.item}}")],
        ["loop:each>one?loop.item = 1", "loop:each>two?loop.item = 2"],
      ),
    );
    expect(output?.outputs.loop).toMatchObject({
      results: [{ one: { result: 1 } }, { two: { result: 2 } }],
    });
  });

  it("refuses more items than allowed", async () => {
    const { error } = await runToEnd(
      graph([loop([1, 2, 3], { maxItems: 2 }), transform("x", 1)], ["loop:each>x"]),
    );
    expect(error).toMatchObject({ code: "limit_exceeded", blockId: "loop" });
    expect(error?.message).toMatch(/3 items, .* or raise maxItems, which goes up to 10000\.$/);
  });

  it("can be caught, and tried again from the start", async () => {
    const { output } = await runToEnd(
      graph(
        [
          loop([1], {}, { onError: "continue", retry: { maxAttempts: 2, initialMs: 1 } }),
          block("bad", "broken"),
          transform("after", "{{loop.error.code}}"),
        ],
        ["loop:each>bad", "loop>after"],
      ),
    );
    expect(output?.outputs.after).toEqual({ result: "broken" });
  });

  it("shows its run as running while items are worked on, and as waiting while all of them wait", async () => {
    const runId = await begin(
      graph(
        [
          loop([1, 2], { parallelism: 2 }),
          block("work", "work", { isHeld: true }),
          block("gate", "gate"),
          block("last", "work", { isHeld: true }),
        ],
        ["loop:each>work", "work>gate", "gate>last"],
      ),
    );
    await stage.waitForEffects(runId, (effects) => effects.length === 2);
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
    stage.release(runId, "work");
    await stage.waitFor(runId, ["waiting"]);
    await stage.passGate(engine, runId, "gate", 1);
    await stage.waitFor(runId, ["running"]);
    stage.release(runId, "last");
    await stage.waitFor(runId, ["completed"]);
  });

  it("ends with its run: canceling aborts the items that run and starts no others", async () => {
    const runId = await begin(
      graph([loop([1, 2, 3], { parallelism: 2 }), block("stuck", "hang")], ["loop:each>stuck"]),
    );
    await stage.waitForEffects(runId, (effects) => countOf(effects, "start") === 2);
    await engine.cancel(runId);
    await stage.waitForEffects(runId, (effects) => countOf(effects, "aborted") === 2);
    const parts = await stage.database.sql<{ status: string }[]>`
      select run.status from openworkflow.flowkeep_children link
      join openworkflow.workflow_runs run on run.id = link.child_id where link.root_id = ${runId}`;
    expect(parts.map(({ status }) => status)).toEqual(["canceled"]);
    expect(
      await stage.database.sql`select from openworkflow.flowkeep_loops where run_id = ${runId}`,
    ).toHaveLength(0);
  });
});
