import { describe, expect, it } from "vitest";
import { graph, useEngineStage } from "../support/engine-hooks.js";
import { waitUntil } from "../support/engine-stage.js";
import { block, transform, wait } from "../support/workflows.js";

const { stage, engine, begin, runToEnd } = useEngineStage();

describe("conditions of connections", () => {
  it("are evaluated as expressions and choose the path", async () => {
    const blocks = [
      transform("start", "{{trigger}}"),
      transform("big", 1),
      transform("small", 2),
      transform("join", 3),
    ];
    const edges = [
      "start>big?trigger.amount > 100",
      "start>small?trigger.amount <= 100",
      "big>join",
      "small>join",
    ];
    const outputs = async (amount: number) =>
      Object.keys((await runToEnd(graph(blocks, edges), { amount })).output?.outputs ?? {}).sort();
    expect(await outputs(500)).toEqual(["big", "join", "start"]);
    expect(await outputs(5)).toEqual(["join", "small", "start"]);
  });

  it("are evaluated once: a later change of mind of the same expression changes nothing", async () => {
    const { output, runId } = await runToEnd(
      graph(
        [
          transform("start", 1),
          wait("pause", 200),
          transform("left", 1),
          transform("right", 1),
          wait("wait", 200),
          transform("end", 1),
        ],
        [
          "start>pause",
          "pause>left?$random() < 0.5",
          "pause>right?$random() >= 0.5",
          "left>wait",
          "right>wait",
          "wait>end",
        ],
      ),
    );
    const [row] = await stage.database.sql<{ taken: number[] }[]>`
      select output->'blocks'->0->'taken' as taken from openworkflow.step_attempts
      where workflow_run_id = ${runId} and step_name = 'pause'`;
    const names = ["", "left", "right"];
    const taken = (row?.taken ?? []).map((index) => names[index]);
    expect(["left", "right"].filter((id) => id in (output?.outputs ?? {}))).toEqual(taken);
  });

  it("that cannot be evaluated fail the run and name the connection", async () => {
    const { run, error } = await runToEnd(
      graph([transform("a", "text"), transform("b", 1)], ["a>b?a.result - 1"]),
    );
    expect(run.state).toBe("failed");
    expect(error).toMatchObject({ code: "condition_failed", blockId: "a" });
    expect(error?.message).toContain("a → b");
  });
});

describe("a join", () => {
  it("of nested branches runs once, after every taken path", async () => {
    const { output, runId } = await runToEnd(
      graph(
        [
          transform("start", "{{trigger.n}}"),
          transform("odd", "odd"),
          block("x", "work", { ms: 150, value: "x" }),
          block("y", "work", { value: "y" }),
          block("inner", "work", { value: "{{x.value}}{{y.value}}" }),
          transform("even", "even"),
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
      ),
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
      graph(
        [
          wait("fast", 200),
          wait("slow", 1, "d"),
          block("behind_slow", "work"),
          block("first", "work", { value: "{{slow}}" }, { join: "any" }),
          block("after", "work"),
        ],
        ["fast>first", "slow>behind_slow", "behind_slow>first", "first>after"],
      ),
    );
    expect(run.state).toBe("completed");
    expect(Object.keys(output?.outputs ?? {}).sort()).toEqual(["after", "fast", "first"]);
    expect(output?.outputs.first).toEqual({ value: null });
    expect((await stage.effects(runId)).map(({ blockId }) => blockId)).not.toContain("behind_slow");
  });

  it("with any keeps a run open for a branch that leads elsewhere too", async () => {
    const { output } = await runToEnd(
      graph(
        [
          block("fast", "work"),
          wait("slow", 400),
          block("first", "work", {}, { join: "any" }),
          block("elsewhere", "work"),
        ],
        ["fast>first", "slow>first", "slow>elsewhere"],
      ),
    );
    expect(Object.keys(output?.outputs ?? {}).sort()).toEqual(["elsewhere", "fast", "first", "slow"]);
  });

  it("with any keeps what is behind blocks that shared a step, however often the run parks", async () => {
    const runId = await begin(
      graph(
        [
          block("start", "trigger_webhook"),
          transform("shared", "{{trigger.n}}"),
          block("a", "gate"),
          block("b", "gate"),
          block("first", "work", { value: "{{shared.result}}" }, { join: "any" }),
          block("parked", "gate"),
          block("end", "work", { value: "{{shared.result}}" }),
        ],
        ["start>shared", "shared>a", "shared>b", "a>first", "b>first", "first>parked", "parked>end"],
      ),
      { n: 7 },
    );
    await stage.waitForGates(runId, 2);
    await stage.passGate(engine, runId, "a", "won");
    await stage.waitForGates(runId, 3);
    await stage.waitFor(runId, ["waiting"]);
    await stage.passGate(engine, runId, "parked", "on");
    expect((await stage.waitFor(runId, ["completed"])).state).toBe("completed");
    expect((await engine.readOutcome(runId)).output?.outputs).toEqual({
      start: { n: 7 },
      shared: { result: 7 },
      a: { value: "won" },
      first: { value: 7 },
      parked: { value: "on" },
      end: { value: 7 },
    });
  });

  it("with any is skipped when no path is taken", async () => {
    const { output } = await runToEnd(
      graph(
        [transform("a", 0), transform("b", 0), transform("join", 1, { join: "any" })],
        ["a>join?a.result = 1", "b>join?b.result = 1"],
      ),
    );
    expect(Object.keys(output?.outputs ?? {}).sort()).toEqual(["a", "b"]);
  });

  it("with any lets a run that parks again ignore a wake for what is moot", async () => {
    const runId = await begin(
      graph(
        [block("fast", "work"), block("moot", "gate"), block("first", "gate", {}, { join: "any" })],
        ["fast>first", "moot>first"],
      ),
    );
    await stage.waitForGates(runId, 2);
    await stage.waitFor(runId, ["waiting"]);
    await stage.passGate(engine, runId, "moot", "late");
    await waitUntil(
      async () => {
        const [rested] = await stage.database.sql`
          select from openworkflow.workflow_runs
          where id = ${runId} and attempts > 1 and worker_id is null and available_at > now() + interval '1 hour'`;
        return rested === undefined ? null : true;
      },
      5_000,
      "the run to park again",
    );
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
