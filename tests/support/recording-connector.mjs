import { appendFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";

/** A block with a side effect that can be counted: one line per execution in the file that it is given. */
const recording = {
  kind: "compute",
  type: "record_line",
  name: "Record a line",
  description: "Appends a line to a file, then takes its time.",
  category: "test",
  effect: "unsafe",
  retry: { maxAttempts: 1 },
  timeoutMs: 10_000,
  params: z.object({ file: z.string(), line: z.string(), ms: z.number() }),
  outputs: z.object({ line: z.string() }),
  examples: [],
  async run({ file, line, ms }) {
    await appendFile(file, `${line}\n`);
    await sleep(ms);
    return { line };
  },
};

export default recording;
