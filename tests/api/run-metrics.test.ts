import { Writable } from "node:stream";
import { pino } from "pino";
import { afterAll, beforeAll, expect, it } from "vitest";
import { newClient, type TestClient, waitFor } from "../support/client.js";
import { startTestServer, type TestServer } from "../support/server.js";
import {
  block,
  connect,
  createWorkflow,
  runDocument,
  startRun,
  transform,
  wait,
} from "../support/workflows.js";

let api: TestServer;
let worker: TestServer;
let client: TestClient;
const lines: Record<string, unknown>[] = [];

beforeAll(async () => {
  const sink = new Writable({
    write(chunk, _encoding, done) {
      lines.push(JSON.parse(String(chunk)));
      done();
    },
  });
  api = await startTestServer({ config: { role: "api" }, logger: pino({ level: "info" }, sink) });
  worker = await startTestServer({ config: { role: "worker" }, databaseUrl: api.databaseUrl });
  client = await newClient(api.url);
});
afterAll(async () => {
  await worker.close();
  await api.close();
});

/** The value of a sample by its name and labels; 0 when there is none. */
async function sample(server: TestServer, name: string, labels: Readonly<Record<string, string>>) {
  const text = await (await fetch(`${server.url}/metrics`)).text();
  const found = text
    .split("\n")
    .filter((line) => line.startsWith(`${name}{`))
    .find((line) => Object.entries(labels).every(([label, value]) => line.includes(`${label}="${value}"`)));
  return Number(found?.split(" ").at(-1) ?? 0);
}

async function total(name: string, labels: Readonly<Record<string, string>>) {
  const values = await Promise.all([api, worker].map((server) => sample(server, name, labels)));
  return values.reduce((sum, value) => sum + value, 0);
}

it("runs are counted once among all processes when they start and when they end, whatever ends them", async () => {
  const ended = "flowkeep_run_duration_seconds_count";
  await runDocument(client, { blocks: [transform("say", 1)] });
  await runDocument(client, { blocks: [block("call", "http", { url: "{{trigger.url}}" })] });
  const runId = await startRun(client, await createWorkflow(client, { blocks: [wait("pause", 1, "h")] }));
  await waitFor(
    () => client.request("GET", `/api/runs/${runId}`),
    ({ body }) => body.state === "waiting",
  );
  await client.request("POST", `/api/runs/${runId}/cancel`);
  for (const state of ["completed", "failed", "canceled"]) {
    await waitFor(
      () => total(ended, { trigger: "manual", state }),
      (count) => count === 1,
    );
  }
  expect(await total("flowkeep_runs_started_total", { trigger: "manual" })).toBe(3);
  expect(await sample(api, ended, { state: "canceled" })).toBe(1);
  expect(await sample(worker, ended, { state: "completed" })).toBe(1);
});

it("attempts are timed by type and outcome in the process that makes them", async () => {
  const name = "flowkeep_attempt_duration_seconds_count";
  const before = await sample(worker, name, { type: "transform", outcome: "completed" });
  await runDocument(client, {
    blocks: [transform("a", 1), transform("b", "{{a.result}}")],
    connections: connect("a>b"),
  });
  expect(await sample(worker, name, { type: "transform", outcome: "completed" })).toBe(before + 2);
  expect(await sample(worker, name, { type: "http", outcome: "failed" })).toBe(1);
  expect(await sample(api, name, { type: "transform" })).toBe(0);
});

it("metrics name no organization, workflow or run", async () => {
  const id = await createWorkflow(client, { blocks: [transform("a", 1)] });
  await startRun(client, id);
  for (const server of [api, worker]) {
    const text = await (await fetch(`${server.url}/metrics`)).text();
    expect(text).not.toContain(client.session.organizationId);
    expect(text).not.toMatch(/[0-9a-f]{8}-[0-9a-f]{4}-/);
  }
});

it("a line of the log tells a run's start and end without its data", async () => {
  const workflowId = await createWorkflow(client, { blocks: [wait("pause", 1, "h")] });
  const runId = await startRun(client, workflowId, { input: { password: "hunter2" } });
  await waitFor(
    () => client.request("GET", `/api/runs/${runId}`),
    ({ body }) => body.state === "waiting",
  );
  await client.request("POST", `/api/runs/${runId}/cancel`);
  const own = await waitFor(
    async () => lines.filter((line) => line.runId === runId),
    (found) => found.length === 2,
  );
  expect(own).toMatchObject([
    { level: 30, msg: "run dispatched", runId, workflowId, trigger: "manual", state: "pending" },
    { level: 30, msg: "run ended", runId, workflowId, state: "canceled", seconds: expect.any(Number) },
  ]);
  expect(JSON.stringify(lines)).not.toContain("hunter2");
});
