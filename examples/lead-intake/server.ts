import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";

/** A Flowkeep server of the example's own. */
export interface ExampleServer {
  readonly url: string;
  close(): Promise<void>;
}

/** Starts a server with an empty database in a temporary folder; it is gone after `close`. */
export async function startServer(settings: Readonly<Record<string, string>>): Promise<ExampleServer> {
  const folder = await mkdtemp(path.join(tmpdir(), "flowkeep-example-"));
  const port = await freePort();
  // Settings of the shell's are not the example's.
  const { PATH, HOME } = process.env;
  const child = spawn(process.execPath, ["--import", "tsx", "server/main.ts"], {
    env: {
      PATH,
      HOME,
      PORT: String(port),
      DATA_DIR: path.join(folder, "data"),
      LOG_LEVEL: "warn",
      ...settings,
    },
    stdio: ["ignore", "ignore", "inherit"],
  });
  const ended = once(child, "exit");
  const url = `http://127.0.0.1:${port}`;
  while (!(await isReady(url))) {
    if (child.exitCode !== null) throw new Error("The server did not start.");
    await delay(100);
  }
  return {
    url,
    async close() {
      child.kill("SIGTERM");
      await ended;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

function isReady(url: string): Promise<boolean> {
  return fetch(`${url}/ready`).then(
    ({ ok }) => ok,
    () => false,
  );
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const address = probe.address();
  probe.close();
  if (address === null || typeof address === "string") throw new Error("The probe has no port.");
  return address.port;
}
