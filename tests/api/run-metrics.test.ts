import { pino } from "pino";
import { expect, it } from "vitest";
import { waitFor } from "../support/client.js";
import type { TestServer } from "../support/server.js";
import { useClient, useTestServer } from "../support/server-hooks.js";
import {
  block,
  connect,
  createWorkflow,
  runDocument,
  startRun,
  startWaiting,
  transform,
  wait,
} from "../support/workflows.js";

const lines: Record<string, unknown>[] = [];
const logger = pino({ level: "info" }, { write: (line: string) => void lines.push(JSON.parse(line)) });
const api = useTestServer({ config: { role: "api" }, logger });
const worker = useTestServer(() => ({ config: { role: "worker" }, databaseUrl: api.databaseUrl }));
const client = useClient(api);

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
  const runId = await startWaiting(client, await createWorkflow(client, { blocks: [wait("pause", 1, "h")] }));
  await client.request("POST", `/api/runs/${runId}/cancel`);
  for (const state of ["completed", "failed", "canceled"]) {
    await waitFor(
      () => total(ended, { trigger: "manual", state }),
      (count) => count === 1,
    );
  }
  await waitFor(
    () => total("flowkeep_runs_started_total", { trigger: "manual" }),
    (count) => count === 3,
  );
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
  const runId = await startWaiting(client, workflowId, { password: "hunter2" });
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
