import { spawn } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { describe, expect, it } from "vitest";
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

describe.runIf(os.platform() === "linux")("an evaluation that never ends", () => {
  it("ends soon after the server was killed", async () => {
    const server = spawn(process.execPath, ["--import", "tsx", "--input-type=module", "--eval", program], {
      stdio: "ignore",
    });
    const children = () =>
      fs.readFileSync(`/proc/${server.pid}/task/${server.pid}/children`, "utf8").split(" ").filter(Boolean);
    let evaluator = "";
    try {
      await until(() => {
        const busy = children().find((pid) => (ticksOf(pid) ?? 0) > 150);
        evaluator = busy ?? "";
        return busy !== undefined;
      });
    } finally {
      await killProcess(server);
    }
    await until(() => ticksOf(evaluator) === null);
  }, 60_000);
});
