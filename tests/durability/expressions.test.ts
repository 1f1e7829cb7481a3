import { spawn } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createExpressions, type Expressions } from "../../server/expressions/expressions.js";
import { killProcess } from "../support/processes.js";

/** Evaluates what never ends in a process of its own. */
const program = `
import { createExpressions } from ${JSON.stringify(path.resolve("server/expressions/expressions.ts"))};
const scope = { trigger: { text: "a".repeat(40) + "b" }, vars: {}, outputs: {}, nameToId: {} };
void createExpressions({ timeoutMs: 600_000 }).evaluate("organization", "$contains(trigger.text, /(a+)+$/)", scope);
`;

/** Processor time of a process in clock ticks; null once it is gone. */
function ticksOf(pid: string): number | null {
  try {
    const fields = fs.readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
    return fields[0] === "Z" ? null : Number(fields[11]) + Number(fields[12]);
  } catch {
    return null;
  }
}

async function until(isSo: () => boolean): Promise<void> {
  for (let round = 0; round < 300 && !isSo(); round += 1) await new Promise((done) => setTimeout(done, 50));
  expect(isSo()).toBe(true);
}

/** Ids of the processes that a process has started. */
function childrenOf(pid: number | undefined): string[] {
  return fs.readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean);
}

describe.runIf(os.platform() === "linux")("the process of expressions", () => {
  const scope = { trigger: { n: 5 }, vars: {}, outputs: {}, nameToId: {} };
  let expressions: Expressions;
  let others: readonly string[] = [];
  const evaluate = () => expressions.evaluate("organization", "trigger.n + 1", scope);
  const evaluators = () => childrenOf(process.pid).filter((pid) => !others.includes(pid));
  const kill = (pid: string | undefined, signal: NodeJS.Signals) => process.kill(Number(pid), signal);

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
    expect(await evaluate()).toBe(6);
    const [first] = evaluators();
    kill(first, "SIGSTOP");
    const failure = evaluate().catch((error: unknown) => error);
    kill(first, "SIGKILL");
    await until(() => evaluators().some((pid) => pid !== first));
    kill(
      evaluators().find((pid) => pid !== first),
      "SIGKILL",
    );
    expect(await failure).toMatchObject({ code: "expression_failed", isRetryable: true });
    expect(await evaluate()).toBe(6);
  });
});

describe.runIf(os.platform() === "linux")("an evaluation that never ends", () => {
  it("ends soon after the server was killed", async () => {
    const server = spawn(process.execPath, ["--import", "tsx", "--input-type=module", "--eval", program], {
      stdio: "ignore",
    });
    let evaluator = "";
    try {
      await until(() => {
        const busy = childrenOf(server.pid).find((pid) => (ticksOf(pid) ?? 0) > 150);
        evaluator = busy ?? "";
        return busy !== undefined;
      });
    } finally {
      await killProcess(server);
    }
    await until(() => ticksOf(evaluator) === null);
  }, 60_000);
});
