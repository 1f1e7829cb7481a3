import { describe, expect, it } from "vitest";
import { useEngineStage } from "../support/engine-hooks.js";
import { block, connect, transform } from "../support/workflows.js";

const { stage, engine, begin, runToEnd, logs } = useEngineStage();

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
        connections: connect("start>first", "first>second"),
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
    const runId = await begin({
      blocks: [
        block("a", "work"),
        block("b", "work", { isHeld: true }),
        block("c", "work", { isHeld: true }),
        block("d", "work"),
      ],
      connections: connect("a>b>d", "a>c>d"),
    });
    await stage.waitForEffects(runId, (effects) => effects.length === 4);
    for (const id of ["b", "c"]) stage.release(runId, id);
    expect((await stage.waitFor(runId, ["completed"])).state).toBe("completed");
    const ends = (await stage.effects(runId)).map(({ blockId, kind }) => `${blockId} ${kind}`);
    expect(ends.slice(0, 2)).toEqual(["a start", "a end"]);
    expect(ends.slice(2, 4).sort()).toEqual(["b start", "c start"]);
    expect(ends.slice(4, 6).sort()).toEqual(["b end", "c end"]);
    expect(ends.slice(6)).toEqual(["d start", "d end"]);
  });

  it("skips a disabled block and what depends on it alone, and joins over the paths that are left", async () => {
    const { output } = await runToEnd({
      blocks: [
        block("a", "work"),
        block("off", "work", {}, { enabled: false }),
        block("behind", "work"),
        block("join", "work"),
      ],
      connections: connect("a>off", "off>behind", "a>join", "behind>join"),
    });
    expect(Object.keys(output?.outputs ?? {}).sort()).toEqual(["a", "join"]);
  });

  it("starts every block without incoming connections", async () => {
    const { output } = await runToEnd({
      blocks: [block("a", "work"), block("b", "work"), transform("c", 1)],
    });
    expect(Object.keys(output?.outputs ?? {}).sort()).toEqual(["a", "b", "c"]);
  });

  it("keeps each block of a folded chain as an entry of its own, in order, on every page size", async () => {
    const { runId, output } = await runToEnd({
      blocks: [
        block("start", "trigger_webhook"),
        transform("one", 1),
        transform("two", ["{{one.result}}", 2]),
        block("three", "work", { value: "{{two.result[1]}}" }),
        transform("four", "{{two.result}}"),
      ],
      connections: connect("start>one", "one>two", "two>three", "three>four", "two>four"),
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
