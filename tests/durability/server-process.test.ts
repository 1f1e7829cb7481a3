import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { endedRun, newClient, send, type TestClient, waitFor } from "../support/client.js";
import {
  collectOutput,
  type SpawnedServer,
  spawnServer,
  startSpawnedServer,
} from "../support/spawned-server.js";

let folder: string;
let servers: SpawnedServer[];

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "flowkeep-process-"));
  servers = [];
});

afterEach(async () => {
  for (const server of servers) {
    if (server.process.exitCode === null && server.process.signalCode === null) await server.end("SIGTERM");
  }
  await rm(folder, { recursive: true, force: true });
});

async function start(environment: Record<string, string> = {}): Promise<SpawnedServer> {
  const server = await startSpawnedServer({
    DATA_DIR: path.join(folder, "data"),
    CONNECTORS: "./tests/support/recording-connector.mjs",
    ...environment,
  });
  servers.push(server);
  return server;
}

/** The same principal at another server. */
const at = (client: TestClient, { url }: SpawnedServer): TestClient => ({
  ...client,
  url,
  request: (...request) => send(url, client.key, ...request),
});

async function createChain(client: TestClient, file: string, length: number, ms: number): Promise<string> {
  const blocks = Array.from({ length }, (_, index) => ({
    id: `s${index + 1}`,
    type: "record_line",
    params: { file, line: `s${index + 1}`, ms },
  }));
  const connections = blocks.slice(1).map(({ id }, index) => ({ source: `s${index + 1}`, target: id }));
  const created = await client.request("POST", "/api/workflows", { workflow: { blocks, connections } });
  expect(created.status).toBe(201);
  return created.body.id;
}

async function linesOf(file: string): Promise<string[]> {
  const text = await readFile(file, "utf8").catch(() => "");
  return text.split("\n").filter((line) => line !== "");
}

describe("a server that is killed with -9", { timeout: 120_000 }, () => {
  it("completes after the restart every run it acknowledged but had not started", async () => {
    const first = await start({ ROLE: "api" });
    const client = await newClient(first.url);
    const file = path.join(folder, "lines");
    const id = await createChain(client, file, 1, 0);
    const answers = await Promise.all(
      Array.from({ length: 10 }, () => client.request("POST", `/api/workflows/${id}/run`, {})),
    );
    await first.end("SIGKILL");
    expect(answers.map(({ status }) => status)).toEqual(Array(10).fill(202));

    const second = at(client, await start());
    for (const { body } of answers) expect((await endedRun(second, body.runId)).state).toBe("completed");
    expect(await linesOf(file)).toHaveLength(10);
  });

  it("goes on with a run of five steps after the last finished one, without repeating any of them", async () => {
    const first = await start();
    const client = await newClient(first.url);
    const file = path.join(folder, "lines");
    const id = await createChain(client, file, 5, 300);
    const { body } = await client.request("POST", `/api/workflows/${id}/run`, {});
    const logs = async () => (await client.request("GET", `/api/runs/${body.runId}/logs`)).body.data;
    const finished = (entries: { blockId: string; status: string }[]) =>
      entries.filter(({ status }) => status === "completed").map(({ blockId }) => blockId);
    const before = finished(await waitFor(logs, (entries) => finished(entries).length >= 2));
    await first.end("SIGKILL");

    const second = at(client, await start());
    const run = await endedRun(second, body.runId);
    expect(run.state).toBe("completed");
    expect(Object.keys(run.output.outputs).sort()).toEqual(["s1", "s2", "s3", "s4", "s5"]);
    const lines = await linesOf(file);
    for (const blockId of before) expect(lines.filter((line) => line === blockId)).toHaveLength(1);
    expect(lines.length).toBeLessThanOrEqual(6);
    expect(new Set(lines).size).toBe(5);
  });

  it("loses no acknowledged write", async () => {
    const first = await start();
    const client = await newClient(first.url);
    const acknowledged: string[] = [];
    const writers = Array.from({ length: 4 }, async () => {
      for (let count = 0; count < 500; count += 1) {
        const answer = await client.request("POST", "/api/workflows", {}).catch(() => null);
        if (answer === null) return;
        acknowledged.push(answer.body.id);
      }
    });
    await waitFor(
      async () => acknowledged.length,
      (count) => count >= 60,
    );
    await first.end("SIGKILL");
    await Promise.all(writers);

    const second = at(client, await start());
    const read = await Promise.all(acknowledged.map((id) => second.request("GET", `/api/workflows/${id}`)));
    expect(read.every(({ status }) => status === 200)).toBe(true);
  });
});

describe("a server that gets SIGTERM", { timeout: 60_000 }, () => {
  it("lets the running step finish, hands the run on and ends with code 0", async () => {
    const first = await start();
    const client = await newClient(first.url);
    const file = path.join(folder, "lines");
    const id = await createChain(client, file, 2, 1_000);
    const { body } = await client.request("POST", `/api/workflows/${id}/run`, {});
    await waitFor(
      () => linesOf(file),
      (lines) => lines.length > 0,
    );
    expect(await first.end("SIGTERM")).toBe(0);

    const run = await endedRun(at(client, await start()), body.runId);
    expect(run.state).toBe("completed");
    expect(await linesOf(file)).toEqual(["s1", "s2"]);
  });
});

describe("a server that cannot start", { timeout: 60_000 }, () => {
  async function refusal(environment: Record<string, string>): Promise<string> {
    const child = spawnServer({ PORT: "0", DATA_DIR: path.join(folder, "data"), ...environment });
    const output = collectOutput(child);
    const [code] = await once(child, "close");
    expect(code).toBe(1);
    return output();
  }

  it("says in one sentence that another server has the data folder", async () => {
    await start();
    const said = await refusal({});
    expect(said.trim().split("\n")).toHaveLength(1);
    expect(said).toContain("in use");
    expect(said).toContain(folder);
  });

  it("says in one sentence that the port is taken", async () => {
    const holder = createServer().listen(0, "127.0.0.1");
    await once(holder, "listening");
    const { port } = holder.address() as AddressInfo;
    const said = await refusal({ PORT: String(port) });
    holder.close();
    expect(said.trim().split("\n")).toHaveLength(1);
    expect(said).toContain("The port is taken");
  });

  it.each([
    ["PORT", "abc"],
    ["ROLE", "boss"],
    ["DATABASE_URL", "mysql://x"],
    ["LOG_LEVEL", "loud"],
    ["CONNECTORS", "./missing.js"],
  ])("says in one sentence that %s=%s is not usable", async (name, value) => {
    const said = await refusal({ [name]: value });
    expect(said.trim().split("\n")).toHaveLength(1);
    expect(said).toContain(name === "CONNECTORS" ? "missing.js" : name);
  });
});

describe("the README", { timeout: 60_000 }, () => {
  it("has a loop in curl that ends with the greeting", async () => {
    const readme = await readFile("README.md", "utf8");
    const script = /```sh\n(URL=[\s\S]*?)```/.exec(readme)?.[1];
    const { url } = await start();
    const shell = spawn("bash", ["-euo", "pipefail", "-c", String(script)], {
      env: { ...process.env, URL: url },
    });
    const output = collectOutput(shell);
    const [code] = await once(shell, "close");
    expect(output().trim().split("\n").at(-1)).toBe("Hello Ada");
    expect(code).toBe(0);
  });

  it("has a quickstart that ends well", async () => {
    const { url } = await start();
    const child = spawn(process.execPath, ["--import", "tsx", "examples/quickstart.ts", url]);
    const output = collectOutput(child);
    const [code] = await once(child, "close");
    expect(output()).toContain('"result":"Hello Ada"');
    expect(code).toBe(0);
  });
});
