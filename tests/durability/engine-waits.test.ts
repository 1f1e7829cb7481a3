import { beforeAll, describe, expect, it } from "vitest";
import { readUntilDue } from "../../server/engine/worker/due-runs.js";
import { useEngineStage } from "../support/engine-hooks.js";
import { block, connect, type Parts, transform, wait } from "../support/workflows.js";

const { stage, engine, begin, runToEnd, logs } = useEngineStage();

// No sweep finds a wake of this age: what goes on was woken.
beforeAll(async () => {
  await stage.database.sql`
    alter table openworkflow.flowkeep_wakes alter column created_at set default now() - interval '2 days'`;
});

type Json = Readonly<Record<string, unknown>>;

const gateDocument = (params: Json = {}, more: Json = {}): Parts => ({
  blocks: [block("g", "gate", params, more), transform("after", "{{g.value}}")],
  connections: connect("g>after"),
});
const outputs = async (runId: string) => {
  await stage.waitFor(runId, ["completed"]);
  return (await engine.readOutcome(runId)).output?.outputs;
};
/** How long all waits of a run were open at the same time, in milliseconds. */
const overlapMs = async (runId: string) => {
  const waits = (await logs(runId)).filter(({ kind }) => kind === "wait");
  const begins = waits.map(({ startedAt }) => Number(startedAt));
  const ends = waits.map(({ finishedAt }) => Number(finishedAt));
  return Math.min(...ends) - Math.max(...begins);
};

describe("a wait for something outside the run", () => {
  it("goes on when it is woken after it has parked", async () => {
    const runId = await begin(gateDocument());
    await stage.waitFor(runId, ["waiting"]);
    await stage.passGate(engine, runId, "g", { n: 1 });
    expect(await outputs(runId)).toEqual({ g: { value: { n: 1 } }, after: { result: { n: 1 } } });
  });

  it("goes on when it is woken before it begins", async () => {
    const runId = await begin(gateDocument({ isHeld: true }));
    await stage.waitForGates(runId, 1);
    await stage.passGate(engine, runId, "g", "early");
    stage.release(runId, "g");
    expect(await outputs(runId)).toMatchObject({ g: { value: "early" } });
    expect((await logs(runId)).map(({ name }) => name)).toContain("g");
  });

  it("never misses a wake that races with parking", async () => {
    const versionId = await stage.keep(gateDocument());
    const runIds = await Promise.all(Array.from({ length: 150 }, () => stage.dispatch(versionId)));
    for (const closed = new Set(runIds); closed.size > 0; ) {
      const opened = await stage.database.sql<{ runId: string }[]>`
        select run_id from stage_gates where run_id = any(${[...closed]})`;
      await Promise.all(
        opened.map(async ({ runId }) => {
          closed.delete(runId);
          await stage.passGate(engine, runId, "g", 1);
        }),
      );
    }
    for (const runId of runIds) await stage.waitFor(runId, ["completed"]);
  }, 60_000);

  it("ends at its time when nothing happens, and takes the exit that says so", async () => {
    const runId = await begin({
      blocks: [block("g", "gate", { ms: 300 }), block("passed", "work"), block("late", "work")],
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
    await stage.waitForGates(runId, 2);
    await stage.passGate(engine, runId, "g", "now");
    expect(await outputs(runId)).toMatchObject({ g: { value: "now" } });
  });

  it("goes on while a step of another branch still runs", async () => {
    const runId = await begin({
      blocks: [
        block("slow", "work", { isHeld: true }),
        block("g", "gate"),
        block("behind_gate", "work"),
        wait("pause", 500),
        block("behind_pause", "work"),
      ],
      connections: connect("g>behind_gate", "pause>behind_pause"),
    });
    await stage.waitForGates(runId, 1);
    await stage.passGate(engine, runId, "g", 1);
    const effects = await stage.waitForEffects(runId, (found) =>
      ["behind_gate", "behind_pause"].every((id) =>
        found.some(({ blockId, kind }) => blockId === id && kind === "end"),
      ),
    );
    expect(effects.filter(({ blockId }) => blockId === "slow").map(({ kind }) => kind)).toEqual(["start"]);
    const { startedAt } = await stage.find(runId);
    const resumed = effects.find(({ blockId }) => blockId === "behind_pause");
    expect(Number(resumed?.at) - Number(startedAt)).toBeGreaterThanOrEqual(498);
    stage.release(runId, "slow");
    await stage.waitFor(runId, ["completed"]);
  });

  it("takes three seconds for two waits of three seconds side by side", async () => {
    const { run, runId } = await runToEnd({
      blocks: [wait("a", 3, "s"), wait("b", 3, "s"), block("join", "work")],
      connections: connect("a>join", "b>join"),
    });
    expect(run.state).toBe("completed");
    expect(Number(run.finishedAt) - Number(run.startedAt)).toBeGreaterThanOrEqual(2_990);
    expect(await overlapMs(runId)).toBeGreaterThan(0);
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

describe("waiting", () => {
  it("parks without holding a slot and resumes on time", async () => {
    const single = stage.createEngine({ concurrency: 1 });
    await engine.stop();
    await single.start();
    try {
      const parked = await begin({
        blocks: [wait("wait", 1, "d"), block("after", "work")],
        connections: connect("wait>after"),
      });
      await stage.waitFor(parked, ["waiting"]);
      await runToEnd({ blocks: [block("a", "work")] });
      expect((await stage.find(parked)).state).toBe("waiting");
      expect((await logs(parked)).map(({ name, kind, status }) => [name, kind, status])).toEqual([
        ["wait@wait", "wait", "waiting"],
      ]);
      const { runId, run, output } = await runToEnd({
        blocks: [wait("wait", 700), block("after", "work")],
        connections: connect("wait>after"),
      });
      expect(output?.outputs.wait).toEqual({ resumedAt: expect.any(String) });
      const entries = await logs(runId);
      expect(entries.map(({ name }) => name)).toEqual(["wait@wait", "wait", "after"]);
      expect(Number(entries[1]?.startedAt) - Number(run.startedAt)).toBeGreaterThanOrEqual(698);
      await engine.cancel(parked);
    } finally {
      await single.stop();
      await engine.start();
    }
  });

  it("lets two waits pass side by side", async () => {
    const { run, runId } = await runToEnd({
      blocks: [wait("a", 600), wait("b", 600), block("join", "work")],
      connections: connect("a>join", "b>join"),
    });
    expect(run.state).toBe("completed");
    expect(await overlapMs(runId)).toBeGreaterThan(0);
  });
});

describe("the next look for due runs", () => {
  it("is at the end of the next wait, or at a deadline before it", async () => {
    const { sql } = stage.database;
    const runId = await begin({ blocks: [wait("long", 1, "d")] });
    await stage.waitFor(runId, ["waiting"]);
    const expectLookAt = async (instant: Date | undefined) => {
      const before = Date.now();
      const untilMs = Number(await readUntilDue(sql));
      expect(Number(instant)).toBeGreaterThanOrEqual(before + untilMs - 2);
      expect(Number(instant)).toBeLessThanOrEqual(Date.now() + untilMs + 2);
    };
    const [due] = await sql<{ at: Date }[]>`
      select (context->>'timeoutAt')::timestamptz as at from openworkflow.step_attempts
      where workflow_run_id = ${runId}`;
    await expectLookAt(due?.at);
    const [deadline] = await sql<{ at: Date }[]>`
      update openworkflow.workflow_runs set deadline_at = now() + interval '1 hour' where id = ${runId}
      returning deadline_at as at`;
    await expectLookAt(deadline?.at);
    await engine.cancel(runId);
  });
});
