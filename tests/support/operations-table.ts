import { randomUUID } from "node:crypto";
import { type Answer, endedRun, newClient, type TestClient, waitFor } from "./client.js";
import type { Input } from "./doors.js";

/** An organization with one resource of each kind. */
export interface Estate {
  readonly client: TestClient;
  /** Has two versions and can run. */
  readonly workflowId: string;
  /** A run of it waits for an hour. */
  readonly waitingWorkflowId: string;
  /** Completed. */
  readonly runId: string;
  /** Matches no minute in which tests run. */
  readonly scheduleId: string;
  /** Takes deliveries of anybody. */
  readonly webhookId: string;
  /** Accepted. */
  readonly deliveryId: string;
  /** Pending. */
  readonly approvalId: string;
  /** The run that waits for it. */
  readonly askingRunId: string;
}

/** What the contract says of one procedure. */
export interface OperationRow {
  /** Valid input from what the organization owns; what the operation uses up is made anew by every call. */
  readonly input: (estate: Estate) => Input | Promise<Input>;
  /** Input that its schema refuses, beside the fields of `input`; null where every input is fine. */
  readonly invalid: Input | null;
  /**
   * The fields that name a resource of the organization, with the code that one of nobody answers; `empty`: a filter
   * that then finds nothing.
   */
  readonly ids: Readonly<Record<string, "not_found" | "workflow_not_found" | "empty">>;
  /** Fields that look like an id but name nothing that an organization owns. */
  readonly otherIds?: readonly string[];
  /** Status of success over REST. */
  readonly status: 200 | 201 | 202 | 204;
  /** Over REST the answer has the `ETag` of the version. */
  readonly hasEtag?: true;
  /** Over REST the answer has the `Location` of what was made. */
  readonly hasLocation?: true;
}

/** 29 February: a schedule that tests never see fire. */
export const LEAP_DAY = "0 0 29 2 *";

const transform = (id: string, template: unknown) => ({ id, type: "transform", params: { template } });

/** A document that runs: its trigger and one block. */
export const greeting = {
  metadata: { name: "Greeting", tags: ["demo"] },
  blocks: [{ id: "start", type: "trigger_webhook" }, transform("greet", "Hello {{trigger.name}}")],
  connections: [{ source: "start", target: "greet" }],
};

const patience = { blocks: [{ id: "pause", type: "wait_duration", params: { duration: 1, unit: "h" } }] };

const question = { blocks: [{ id: "ask", type: "human_approval", params: { prompt: "Go on?" } }] };

/** Signs somebody up whose organization then owns one of each. */
export async function makeEstate(url: string): Promise<Estate> {
  const client = await newClient(url);
  const workflowId = await createWorkflow(client, greeting);
  await made(client.request("PUT", `/api/workflows/${workflowId}`, { workflow: greeting }));
  const waitingWorkflowId = await createWorkflow(client, patience);
  const runId = await startRun(client, workflowId, { name: "Ada" });
  await endedRun(client, runId);
  const scheduleId = await createSchedule(client, workflowId);
  const { approvalId, askingRunId } = await startApproval(client);
  const webhookId = await createWebhook(client, workflowId);
  const deliveryId = await deliver(client, webhookId);
  return {
    client,
    workflowId,
    waitingWorkflowId,
    runId,
    scheduleId,
    approvalId,
    askingRunId,
    webhookId,
    deliveryId,
  };
}

/** Creates a workflow and answers with its id. */
export async function createWorkflow(client: TestClient, workflow: unknown): Promise<string> {
  return (await made(client.request("POST", "/api/workflows", { workflow }))).id;
}

/** Starts a run and answers with its id; with a key that was used before, the id of the first run. */
export async function startRun(
  client: TestClient,
  workflowId: string,
  input: unknown = {},
  idempotencyKey?: string,
): Promise<string> {
  const body = { input, idempotencyKey };
  return (await made(client.request("POST", `/api/workflows/${workflowId}/run`, body))).runId;
}

/** Starts a run that waits for an hour and answers with its id once it does. */
export async function startWaitingRun({ client, waitingWorkflowId }: Estate): Promise<string> {
  const runId = await startRun(client, waitingWorkflowId);
  await waitingRun(client, runId);
  return runId;
}

/** Starts a run that asks for an approval without end, and answers with both once it waits. */
export async function startApproval(
  client: TestClient,
): Promise<{ readonly approvalId: string; readonly askingRunId: string }> {
  const askingRunId = await startRun(client, await createWorkflow(client, question));
  await waitingRun(client, askingRunId);
  const { data } = await made(client.request("GET", `/api/approvals?runId=${askingRunId}`));
  return { approvalId: data[0].id, askingRunId };
}

async function waitingRun(client: TestClient, runId: string): Promise<void> {
  await waitFor(
    () => client.request("GET", `/api/runs/${runId}`),
    ({ body }) => body.state === "waiting",
  );
}

/** Creates a schedule and answers with its id. */
export async function createSchedule(
  client: TestClient,
  workflowId: string,
  cron = LEAP_DAY,
): Promise<string> {
  return (await made(client.request("POST", "/api/schedules", { workflowId, cron }))).id;
}

/** Creates a webhook and answers with its id. */
export async function createWebhook(
  client: TestClient,
  workflowId: string,
  verification = "none",
): Promise<string> {
  return (await made(client.request("POST", "/api/webhooks", { workflowId, verification }))).id;
}

/** Delivers to a webhook that takes deliveries of anybody, and answers with the id of the delivery. */
export async function deliver(client: TestClient, webhookId: string): Promise<string> {
  return (await made(client.request("POST", `/hooks/${webhookId}`, { name: "Ada" }))).deliveryId;
}

/** Sets a secret and answers with its name. */
export async function setSecret(
  client: TestClient,
  name: string,
  value = "a long enough token",
): Promise<string> {
  return (await made(client.request("PUT", `/api/secrets/${name}`, { value }))).name;
}

async function made(answering: Promise<Answer>): Promise<Answer["body"]> {
  const { status, body } = await answering;
  if (status >= 300) throw new Error(`Setting up answered ${status}: ${JSON.stringify(body)}`);
  return body;
}

/** An id of the same shape that names nothing. */
export function madeUpLike(id: string): string {
  if (id.startsWith("whk_")) return `whk_${randomUUID().replaceAll("-", "")}`;
  return id.startsWith("sch_") ? `sch_${randomUUID().replaceAll("-", "").slice(0, 24)}` : randomUUID();
}

const ofWorkflow = ({ workflowId }: Estate) => ({ id: workflowId });
const ofRun = ({ runId }: Estate) => ({ runId });

/** One row per procedure of the router; the suites fail for a procedure without one. */
export const operationsTable: Readonly<Record<string, OperationRow>> = {
  "workflows.create": {
    input: () => ({ workflow: greeting, metadata: { description: "Says hello." } }),
    invalid: { workflow: { blocks: [{ id: "1", type: "transform" }] } },
    ids: {},
    status: 201,
    hasEtag: true,
    hasLocation: true,
  },
  "workflows.list": {
    input: () => ({ tag: "demo", limit: 10 }),
    invalid: { limit: 0 },
    ids: {},
    status: 200,
  },
  "workflows.get": {
    input: ofWorkflow,
    invalid: null,
    ids: { id: "not_found" },
    status: 200,
    hasEtag: true,
  },
  "workflows.replace": {
    input: async ({ client }) => ({
      id: await createWorkflow(client, patience),
      workflow: greeting,
      expectedVersion: 1,
    }),
    invalid: { workflow: "none" },
    ids: { id: "not_found" },
    status: 200,
    hasEtag: true,
  },
  "workflows.edit": {
    input: async ({ client }) => ({
      id: await createWorkflow(client, greeting),
      ops: [
        { operation_type: "add", block_id: "shout", type: "transform", params: { template: "Ada!" } },
        { operation_type: "remove", block_id: "nobody" },
      ],
    }),
    invalid: { ops: { add: "shout" } },
    ids: { id: "not_found" },
    status: 200,
    hasEtag: true,
  },
  "workflows.remove": {
    input: async ({ client }) => ({ id: await createWorkflow(client, greeting) }),
    invalid: null,
    ids: { id: "not_found" },
    status: 204,
  },
  "workflows.versions": {
    input: (estate) => ({ ...ofWorkflow(estate), limit: 1 }),
    invalid: { limit: 101 },
    ids: { id: "not_found" },
    status: 200,
  },
  "workflows.version": {
    input: (estate) => ({ ...ofWorkflow(estate), version: 1 }),
    invalid: null,
    ids: { id: "not_found" },
    status: 200,
  },
  "workflows.diagram": {
    input: (estate) => ({ ...ofWorkflow(estate), version: 1 }),
    invalid: { format: "png" },
    ids: { id: "not_found" },
    status: 200,
  },
  "workflows.restore": {
    input: async ({ client }) => ({ id: await createWorkflow(client, greeting), version: 1 }),
    invalid: { expectedVersion: "1" },
    ids: { id: "not_found" },
    status: 200,
    hasEtag: true,
  },
  "workflows.run": {
    input: (estate) => ({ ...ofWorkflow(estate), input: { name: "Ada" }, idempotencyKey: randomUUID() }),
    invalid: { idempotencyKey: 5 },
    ids: { id: "not_found" },
    status: 202,
    hasLocation: true,
  },
  "connectors.list": {
    input: () => ({ detail: "full" }),
    invalid: { detail: "some" },
    ids: {},
    status: 200,
  },
  "connectors.get": { input: () => ({ type: "transform" }), invalid: null, ids: {}, status: 200 },
  "runs.get": { input: ofRun, invalid: null, ids: { runId: "not_found" }, status: 200 },
  "runs.list": {
    input: ({ workflowId }) => ({ workflowId, limit: 1 }),
    invalid: { state: "done" },
    ids: { workflowId: "empty" },
    status: 200,
  },
  "runs.logs": {
    input: (estate) => ({ ...ofRun(estate), limit: 1 }),
    invalid: { limit: 1.5 },
    ids: { runId: "not_found" },
    status: 200,
  },
  "runs.diagram": { input: ofRun, invalid: { format: "png" }, ids: { runId: "not_found" }, status: 200 },
  "runs.cancel": {
    input: async (estate) => ({ runId: await startWaitingRun(estate) }),
    invalid: null,
    ids: { runId: "not_found" },
    status: 204,
  },
  "schedules.create": {
    input: ({ workflowId }) => ({ workflowId, cron: LEAP_DAY, timezone: "Europe/Berlin", payload: { n: 1 } }),
    invalid: { enabled: "false" },
    ids: { workflowId: "workflow_not_found" },
    otherIds: ["id"],
    status: 201,
    hasEtag: true,
    hasLocation: true,
  },
  "schedules.list": {
    input: ({ workflowId }) => ({ workflowId }),
    invalid: { limit: -1 },
    ids: { workflowId: "empty" },
    status: 200,
  },
  "schedules.get": {
    input: ({ scheduleId }) => ({ id: scheduleId }),
    invalid: null,
    ids: { id: "not_found" },
    status: 200,
    hasEtag: true,
  },
  "schedules.update": {
    input: async ({ client, workflowId, waitingWorkflowId }) => ({
      id: await createSchedule(client, waitingWorkflowId),
      workflowId,
      expectedVersion: 1,
      timezone: "Europe/Berlin",
      note: "Moved.",
    }),
    invalid: { maxRuns: "3" },
    ids: { id: "not_found", workflowId: "workflow_not_found" },
    status: 200,
    hasEtag: true,
  },
  "schedules.trigger": {
    input: ({ scheduleId }) => ({
      id: scheduleId,
      payload: { name: "Ada" },
      idempotencyKey: randomUUID(),
    }),
    invalid: { payload: [1] },
    ids: { id: "not_found" },
    status: 202,
    hasLocation: true,
  },
  "schedules.backfill": {
    input: async ({ client, workflowId }) => ({
      id: await createSchedule(client, workflowId),
      from: "2024-01-01T00:00:00Z",
      to: "2025-01-01T00:00:00Z",
    }),
    invalid: { overlap: "skip" },
    ids: { id: "not_found" },
    status: 202,
  },
  "schedules.occurrences": {
    input: ({ scheduleId }) => ({ id: scheduleId, outcome: "fired", limit: 10 }),
    invalid: { outcome: "done" },
    ids: { id: "not_found" },
    status: 200,
  },
  "schedules.remove": {
    input: async ({ client, workflowId }) => ({ id: await createSchedule(client, workflowId) }),
    invalid: null,
    ids: { id: "not_found" },
    status: 204,
  },
  "schedules.preview": {
    input: () => ({ cron: "@daily", count: 2, from: "2026-11-22T09:00:00Z" }),
    invalid: { count: "2" },
    ids: {},
    otherIds: ["id"],
    status: 200,
  },
  "secrets.set": {
    input: () => ({ name: "API_TOKEN", value: "a long enough token" }),
    invalid: { value: 5 },
    ids: {},
    status: 200,
  },
  "secrets.list": { input: () => ({ limit: 10 }), invalid: { limit: 0 }, ids: {}, status: 200 },
  "secrets.remove": {
    input: async ({ client }) => ({ name: await setSecret(client, `TOKEN_${randomUUID().slice(0, 8)}`) }),
    invalid: null,
    ids: {},
    status: 204,
  },
  "admin.tick": { input: () => ({}), invalid: null, ids: {}, status: 200 },
  "signals.send": {
    input: () => ({ name: "order.paid", correlationKey: randomUUID(), payload: { n: 1 }, ttlSeconds: 60 }),
    invalid: { ttlSeconds: "60" },
    ids: {},
    status: 202,
  },
  "approvals.list": {
    input: ({ askingRunId }) => ({ runId: askingRunId, state: "pending" }),
    invalid: { state: "open" },
    ids: { runId: "empty" },
    status: 200,
  },
  "approvals.get": {
    input: ({ approvalId }) => ({ id: approvalId }),
    invalid: null,
    ids: { id: "not_found" },
    status: 200,
  },
  "approvals.approve": {
    input: async ({ client }) => ({ id: (await startApproval(client)).approvalId, note: "Fine." }),
    invalid: { note: 5 },
    ids: { id: "not_found" },
    status: 200,
  },
  "approvals.reject": {
    input: async ({ client }) => ({ id: (await startApproval(client)).approvalId }),
    invalid: { note: ["No."] },
    ids: { id: "not_found" },
    status: 200,
  },
  "approvals.createLink": {
    input: ({ approvalId }) => ({ id: approvalId, name: "Grace Hopper", expiresInHours: 1 }),
    invalid: { expiresInHours: 0 },
    ids: { id: "not_found" },
    status: 201,
  },
  "webhooks.create": {
    input: ({ workflowId }) => ({
      workflowId,
      verification: { type: "hmac", header: "x-signature" },
      secret: "a secret of the sender",
      inputMapping: { name: "{{request.body.name}}" },
      filter: "request.body.name != null",
    }),
    invalid: { allowWait: "true" },
    ids: { workflowId: "workflow_not_found" },
    status: 201,
    hasEtag: true,
    hasLocation: true,
  },
  "webhooks.list": {
    input: ({ workflowId }) => ({ workflowId }),
    invalid: { limit: 0 },
    ids: { workflowId: "empty" },
    status: 200,
  },
  "webhooks.get": {
    input: ({ webhookId }) => ({ id: webhookId }),
    invalid: null,
    ids: { id: "not_found" },
    status: 200,
    hasEtag: true,
  },
  "webhooks.update": {
    input: async ({ client, workflowId, waitingWorkflowId }) => ({
      id: await createWebhook(client, waitingWorkflowId),
      workflowId,
      name: "Orders",
      expectedVersion: 1,
    }),
    invalid: { rateLimitPerMinute: "600" },
    ids: { id: "not_found", workflowId: "workflow_not_found" },
    status: 200,
    hasEtag: true,
  },
  "webhooks.remove": {
    input: async ({ client, workflowId }) => ({ id: await createWebhook(client, workflowId) }),
    invalid: null,
    ids: { id: "not_found" },
    status: 204,
  },
  "webhooks.rotateSecret": {
    input: async ({ client, workflowId }) => ({
      id: await createWebhook(client, workflowId, "github"),
      secret: "a secret of the sender",
    }),
    invalid: { overlapSeconds: -1 },
    ids: { id: "not_found" },
    status: 200,
    hasEtag: true,
  },
  "webhooks.deliveries": {
    input: ({ webhookId }) => ({ id: webhookId, verdict: "accepted", limit: 1 }),
    invalid: { verdict: "done" },
    ids: { id: "not_found" },
    status: 200,
  },
  "webhooks.delivery": {
    input: ({ webhookId, deliveryId }) => ({ id: webhookId, deliveryId }),
    invalid: null,
    ids: { id: "not_found", deliveryId: "not_found" },
    status: 200,
  },
  "webhooks.redeliver": {
    input: ({ webhookId, deliveryId }) => ({ id: webhookId, deliveryId }),
    invalid: { idempotencyKey: 5 },
    ids: { id: "not_found", deliveryId: "not_found" },
    status: 202,
    hasLocation: true,
  },
  "errors.list": { input: () => ({}), invalid: null, ids: {}, status: 200 },
};

/** The row of a procedure. @throws Error when it has none. */
export function rowOf(procedurePath: string): OperationRow {
  const row = operationsTable[procedurePath];
  if (row === undefined) throw new Error(`Give ${procedurePath} a row in the operations table.`);
  return row;
}
