import { expect } from "vitest";
import { type Answer, endedRun, newClient, runInState, type TestClient } from "./client.js";

/** A block or connection as a client sends it. */
export type Json = Readonly<Record<string, unknown>>;

/** What a test sets of a document; the rest gets its empty value. */
export interface Parts {
  readonly blocks?: readonly Json[];
  readonly connections?: readonly Json[];
  readonly variables?: Json;
  readonly metadata?: Json;
}

/** An id in the shape of those of workflows and runs that nothing has. */
export const UNKNOWN_ID = "0198c5f2-7b1e-4a39-9d0e-3f5f6a1c2b4d";

/** A block with these parameters; `more` sets any other field. */
export function block(id: string, type: string, params: Json = {}, more: Json = {}): Json {
  return { id, type, params, ...more };
}

export const trigger = block("start", "trigger_webhook");

export function transform(id: string, template: unknown, more: Json = {}): Json {
  return block(id, "transform", { template }, more);
}

export function wait(id: string, duration: number, unit = "ms"): Json {
  return block(id, "wait_duration", { duration, unit });
}

/** Connections along each path of ids, `a>b>c`. */
export function connect(...paths: readonly string[]): Json[] {
  return paths.flatMap((path) => {
    const ids = path.split(">");
    return ids.slice(1).map((target, index) => ({ source: ids[index], target }));
  });
}

/** Creates a workflow and gives its id. */
export async function createWorkflow(client: TestClient, workflow: Parts = {}): Promise<string> {
  const { status, body } = await client.request("POST", "/api/workflows", { workflow });
  expect(body).toMatchObject({ version: 1 });
  expect(status).toBe(201);
  return body.id;
}

/** Sends a batch of operations. */
export function edit(
  client: TestClient,
  id: string,
  ops: readonly unknown[],
  more: Json = {},
): Promise<Answer> {
  return client.request("POST", `/api/workflows/${id}/operations`, { ops, ...more });
}

/** Starts a run and gives its id. */
export async function startRun(client: TestClient, workflowId: string, body: Json = {}): Promise<string> {
  const answer = await client.request("POST", `/api/workflows/${workflowId}/run`, body);
  expect(answer.body).toEqual({ runId: expect.any(String) });
  expect(answer.status).toBe(202);
  return answer.body.runId;
}

/** Starts a run and gives its id once it waits. */
export async function startWaiting(
  client: TestClient,
  workflowId: string,
  input: unknown = {},
): Promise<string> {
  const runId = await startRun(client, workflowId, { input });
  await runInState(client, runId, "waiting");
  return runId;
}

/** Creates a workflow, runs it and gives the run once it has ended. */
export async function runDocument(client: TestClient, workflow: Parts, input?: unknown) {
  const workflowId = await createWorkflow(client, workflow);
  return endedRun(client, await startRun(client, workflowId, input === undefined ? {} : { input }));
}

/** Every step attempt of a run. */
export async function logsOf(client: TestClient, runId: string) {
  const { body, status } = await client.request("GET", `/api/runs/${runId}/logs?limit=100`);
  expect(status).toBe(200);
  expect(body.pagination).toEqual({ next: null, prev: null });
  return body.data;
}

/**
 * Reads a list forwards by `next` and back by `prev`, checks that both ways have the same pages without gap or
 * duplicate, and gives all rows.
 */
export async function walkPages(client: TestClient, path: string, limit: number, key = "id") {
  const read = async (cursor: string) => {
    const { status, body } = await client.request(
      "GET",
      `${path}${path.includes("?") ? "&" : "?"}limit=${limit}${cursor}`,
    );
    expect(status).toBe(200);
    return body;
  };
  let page = await read("");
  expect(page.pagination.prev).toBeNull();
  const forwards = [page.data];
  while (page.pagination.next !== null) {
    page = await read(`&after=${page.pagination.next}`);
    forwards.push(page.data);
  }
  const backwards = [page.data];
  while (page.pagination.prev !== null) {
    page = await read(`&before=${page.pagination.prev}`);
    backwards.unshift(page.data);
  }
  expect(backwards).toEqual(forwards);
  expect(forwards.slice(0, -1).every(({ length }) => length === limit)).toBe(true);
  const rows = forwards.flat();
  expect(new Set(rows.map((row) => row[key])).size).toBe(rows.length);
  return rows;
}

/** Ids under which the client has no workflow: never given, of a wrong shape, another organization's and removed. */
export async function absentWorkflows(client: TestClient): Promise<string[]> {
  const foreign = await createWorkflow(await newClient(client.url), { blocks: [trigger] });
  const removed = await createWorkflow(client, { blocks: [trigger] });
  await client.request("DELETE", `/api/workflows/${removed}`);
  return [UNKNOWN_ID, "nonsense", foreign, removed];
}
