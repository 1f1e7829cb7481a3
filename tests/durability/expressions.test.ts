import { spawn } from "node:child_process";
import os from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createExpressions, type Expressions } from "../../server/expressions/expressions.js";
import { waitFor } from "../support/client.js";
import { childrenOf, killProcess, ticksOf } from "../support/processes.js";

/** Evaluates what never ends in a process of its own. */
const program = `
import { createExpressions } from ${JSON.stringify(path.resolve("server/expressions/expressions.ts"))};
const scope = { trigger: { text: "a".repeat(40) + "b" }, vars: {}, outputs: {}, nameToId: {} };
void createExpressions({ timeoutMs: 600_000 }).evaluate("organization", "$contains(trigger.text, /(a+)+$/)", scope);
`;

describe.runIf(os.platform() === "linux")("the process of expressions", () => {
  const scope = { trigger: { n: 5 }, vars: {}, outputs: {}, nameToId: {} };
  let expressions: Expressions;
  let others: readonly number[] = [];
  const evaluate = () => expressions.evaluate("organization", "trigger.n + 1", scope);
  const evaluators = () => childrenOf(process.pid).filter((pid) => !others.includes(pid));
  const kill = (pid: number | undefined, signal: NodeJS.Signals) => process.kill(Number(pid), signal);

  beforeEach(() => {
    others = childrenOf(process.pid);
    expressions = createExpressions({ timeoutMs: 30_000, maxProcesses: 1 });
  });
  afterEach(async () => {
    vi.useRealTimers();
    await expressions.close();
  });

  it("may end for being idle just when an expression comes", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    expect(await evaluate()).toBe(6);
    const [first] = evaluators();
    vi.advanceTimersByTime(30_000);
    expect(await evaluate()).toBe(6);
    expect(evaluators()).not.toContain(first);
  });

  it("may be killed from outside: the expression is evaluated by the next one", async () => {
    expect(await evaluate()).toBe(6);
    const [first] = evaluators();
    kill(first, "SIGSTOP");
    const value = evaluate();
    kill(first, "SIGKILL");
    expect(await value).toBe(6);
    expect(evaluators()).not.toContain(first);
  });

  it("may be killed twice: the expression fails, and another attempt can help", async () => {
    const endless = { ...scope, trigger: { text: "a".repeat(60) } };
    const failure = expressions
      .evaluate("organization", "$contains(trigger.text, /(a+)+$b/)", endless)
      .catch((error: unknown) => error);
    const next = (before: number | undefined) =>
      waitFor(
        async () => evaluators().find((pid) => pid !== before),
        (pid) => pid !== undefined,
      );
    const first = await next(undefined);
    kill(first, "SIGKILL");
    kill(await next(first), "SIGKILL");
    expect(await failure).toMatchObject({ code: "expression_failed", isRetryable: true });
    expect(await evaluate()).toBe(6);
  });
});

describe.runIf(os.platform() === "linux")("an evaluation that never ends", () => {
  it("ends soon after the server was killed", async () => {
    const server = spawn(process.execPath, ["--import", "tsx", "--input-type=module", "--eval", program], {
      stdio: "ignore",
    });
    let evaluator = 0;
    try {
      await waitFor(
        async () => {
          evaluator = childrenOf(Number(server.pid)).find((pid) => (ticksOf(pid) ?? 0) > 150) ?? 0;
          return evaluator;
        },
        (pid) => pid !== 0,
      );
    } finally {
      await killProcess(server);
    }
    await waitFor(
      async () => ticksOf(evaluator),
      (ticks) => ticks === null,
    );
  }, 60_000);
});
