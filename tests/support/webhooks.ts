import { expect } from "vitest";
import { type Answer, type TestClient, waitFor } from "./client.js";
import { connect, createWorkflow, transform, trigger } from "./workflows.js";

/** A workflow that can be started from anywhere. */
export const greeting = {
  blocks: [trigger, transform("greet", "Hello {{trigger.name}}")],
  connections: connect("start>greet"),
};

/** Creates a webhook, of a workflow of its own unless one is named, and gives it as it was answered. */
export async function createWebhook(client: TestClient, body: Readonly<Record<string, unknown>> = {}) {
  const workflowId = body.workflowId ?? (await createWorkflow(client, greeting));
  const answer = await client.request("POST", "/api/webhooks", { verification: "none", workflowId, ...body });
  expect([answer.status, answer.body.error]).toEqual([201, undefined]);
  return answer.body;
}

/** What a sender puts into one request: texts and bytes are sent as they are, anything else as JSON. */
export interface Sending {
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly query?: string;
}

/** Delivers to a public address without any credentials; as JSON unless a header says otherwise or it is bytes. */
export async function deliver(
  url: string,
  { body, headers = {}, query = "" }: Sending = {},
): Promise<Answer> {
  const isRaw = body instanceof Uint8Array || body === undefined;
  const response = await fetch(url + query, {
    method: "POST",
    headers: { ...(isRaw ? {} : { "content-type": "application/json" }), ...headers },
    body: isRaw ? (body ?? null) : typeof body === "string" ? body : JSON.stringify(body),
  });
  const text = await response.text();
  return { status: response.status, headers: response.headers, body: text === "" ? null : JSON.parse(text) };
}

/** The deliveries of a webhook, newest first. */
export async function deliveriesOf(client: TestClient, id: string, query = "") {
  const answer = await client.request("GET", `/api/webhooks/${id}/deliveries?limit=100${query}`);
  expect(answer.status).toBe(200);
  return answer.body.data;
}

/** The runs that webhooks of the organization have started, newest first. */
export async function webhookRuns(client: TestClient) {
  const { body } = await client.request("GET", "/api/runs?trigger=webhook&limit=100");
  return body.data;
}

/** The input of a run. */
export async function inputOf(client: TestClient, runId: string) {
  const { body } = await waitFor(
    () => client.request("GET", `/api/runs/${runId}`),
    ({ status }) => status === 200,
  );
  return body.input;
}
