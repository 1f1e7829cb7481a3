import { pino } from "pino";
import { readConfig } from "../../server/config.js";
import { createRuntime } from "../../server/services.js";

/**
 * A whole Flowkeep with the role of a worker on the database of its first argument; it begins to work with the first
 * line of standard input, so that loading can go on beside another worker.
 */
async function work(databaseUrl: string): Promise<void> {
  const runtime = await createRuntime({
    config: { ...readConfig({ ROLE: "worker" }), httpAllowPrivate: true },
    databaseUrl,
    authSecret: "0f9c1b7e5a3d42868d1f7c2b9e4a6d035b8c",
    baseUrl: "http://127.0.0.1",
    logger: pino({ level: process.env.LOG_LEVEL ?? "silent" }),
    now: () => new Date(),
  });
  process.stdin.once("data", () => void runtime.start());
  process.stdin.once("end", () => process.exit(0));
  process.stdout.write("ready\n");
}

void work(process.argv[2] ?? "");
