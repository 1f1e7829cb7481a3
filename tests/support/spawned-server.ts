import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { waitFor } from "./client.js";

/** Flowkeep in a process of its own, as `npm start` runs it. */
export interface SpawnedServer {
  readonly url: string;
  readonly process: ChildProcess;
  /** Everything it has written so far. */
  output(): string;
  /** Sends the signal and gives the exit code, or the signal's name when that ended it. */
  end(signal: "SIGTERM" | "SIGKILL"): Promise<number | string>;
}

/** Starts the process without waiting for anything. */
export function spawnServer(environment: Readonly<Record<string, string>>): ChildProcess {
  const { PATH, HOME } = process.env;
  return spawn(process.execPath, ["--import", "tsx", "server/main.ts"], {
    env: { PATH, HOME, AUTH_RATE_LIMIT_PER_MINUTE: "100000", LOG_LEVEL: "warn", ...environment },
    stdio: ["ignore", "pipe", "pipe"],
  });
}

/** Collects what a process writes. */
export function collectOutput(child: ChildProcess): () => string {
  let text = "";
  child.stdout?.on("data", (chunk: Buffer) => {
    text += chunk.toString();
  });
  child.stderr?.on("data", (chunk: Buffer) => {
    text += chunk.toString();
  });
  return () => text;
}

/** Starts a server and waits until it is ready. */
export async function startSpawnedServer(
  environment: Readonly<Record<string, string>>,
): Promise<SpawnedServer> {
  const child = spawnServer({ PORT: "0", ...environment });
  const output = collectOutput(child);
  const readPort = async () => {
    if (child.exitCode !== null) throw new Error(`The server ended: ${output()}`);
    return /ready at http:\/\/localhost:(\d+) /.exec(output())?.[1] ?? null;
  };
  const port = await waitFor(readPort, (found) => found !== null, 60_000);
  const url = `http://127.0.0.1:${port}`;
  await waitFor(
    () => fetch(`${url}/ready`),
    ({ status }) => status === 200,
    60_000,
  );
  return {
    url,
    process: child,
    output,
    async end(signal) {
      const ended = once(child, "exit");
      child.kill(signal);
      const [code, endedBy] = await ended;
      return code ?? endedBy;
    },
  };
}
