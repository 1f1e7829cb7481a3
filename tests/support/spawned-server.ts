import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
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

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new Error("The probe has no port.");
  return address.port;
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
  const port = await freePort();
  const child = spawnServer({ PORT: String(port), ...environment });
  const output = collectOutput(child);
  const url = `http://127.0.0.1:${port}`;
  await waitFor(
    async () => {
      if (child.exitCode !== null) throw new Error(`The server ended: ${output()}`);
      return fetch(`${url}/ready`).then(
        ({ status }) => status,
        () => 0,
      );
    },
    (status) => status === 200,
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
