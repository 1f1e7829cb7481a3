import { spawn } from "node:child_process";
import os from "node:os";
import path from "node:path";
import { describe, it } from "vitest";
import { waitFor } from "../support/client.js";
import { childrenOf, killProcess, ticksOf } from "../support/processes.js";

/** Evaluates what never ends in a process of its own. */
const program = `
import { createExpressions } from ${JSON.stringify(path.resolve("server/expressions/expressions.ts"))};
const scope = { trigger: { text: "a".repeat(40) + "b" }, vars: {}, outputs: {}, nameToId: {} };
void createExpressions({ timeoutMs: 600_000 }).evaluate("organization", "$contains(trigger.text, /(a+)+$/)", scope);
`;

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
