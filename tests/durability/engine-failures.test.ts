import { describe, expect, it } from "vitest";
import { graph, useEngineStage } from "../support/engine-hooks.js";
import { block, connect, transform, wait } from "../support/workflows.js";

const { stage, runToEnd, logs } = useEngineStage();

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
      connections: connect("shaky>later"),
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
      connections: connect("slow>after"),
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
      blocks: [block("bad", "broken"), wait("wait", 1, "d")],
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
      blocks: [transform("a", 1), block("b", "broken"), transform("c", 2)],
      connections: connect("a>b", "a>c"),
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

  it("are tried again for the listed codes only", async () => {
    const shaky = (on: string[]) =>
      runToEnd({
        blocks: [block("shaky", "flaky", { succeedsOn: 2 }, { retry: { maxAttempts: 3, initialMs: 1, on } })],
      });
    expect((await shaky(["not_yet"])).output?.outputs).toEqual({ shaky: { attempt: 2 } });
    expect((await shaky(["other"])).error).toMatchObject({ code: "not_yet", attempt: 1 });
  });

  it("go to the error handle after the last try, with code and message", async () => {
    const { output } = await runToEnd(
      graph(
        [
          block(
            "shaky",
            "flaky",
            { succeedsOn: 9 },
            { onError: "branch", retry: { maxAttempts: 2, initialMs: 1 } },
          ),
          transform("fine", 1),
          transform("rescue", "{{shaky.error.code}}: {{shaky.error.message}}"),
        ],
        ["shaky>fine", "shaky:error>rescue"],
      ),
    );
    expect(output?.outputs).toEqual({
      shaky: { error: { code: "not_yet", message: "Attempt 2 fails." } },
      rescue: { result: "not_yet: Attempt 2 fails." },
    });
  });
});
