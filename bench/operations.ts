import type { Request } from "autocannon";
import type { TestClient } from "../tests/support/client.js";

/** A request that is measured, and what it is measured against. */
export interface MeasuredOperation {
  readonly name: string;
  /** The least that any server would have to do for it: one indexed read or one durable insert. */
  readonly floor: "read" | "write";
  /** Status of success. */
  readonly status: number;
  /** Makes what one connection needs and gives the requests that it sends in turn. */
  prepare(client: TestClient): Promise<Request[]>;
}

/** A request of the bare server. */
export interface FloorOperation {
  readonly request: Request;
  /** Status of success. */
  readonly status: number;
}

const block = (id: string, type: string, params: object = {}) => ({ id, type, params });

/** A trigger and three transforms, one after the other. */
export const measuredDocument = {
  metadata: { name: "Greeting" },
  blocks: [
    block("start", "trigger_webhook"),
    block("greet", "transform", { template: "Hello {{trigger.name}}" }),
    block("shout", "transform", { template: "{{greet.result}}!" }),
    block("answer", "transform", { template: { text: "{{shout.result}}" } }),
  ],
  connections: [
    { source: "start", target: "greet" },
    { source: "greet", target: "shout" },
    { source: "shout", target: "answer" },
  ],
};

/** Ten operations that add five blocks and connect them, and ten that take them away again and change the others. */
const [growing, shrinking] = [
  [1, 2, 3, 4, 5].flatMap((number) => [
    {
      operation_type: "add",
      block_id: `more_${number}`,
      type: "transform",
      params: { template: "{{answer.result.text}}" },
    },
    { operation_type: "connect", block_id: "answer", target_block_id: `more_${number}` },
  ]),
  [1, 2, 3, 4, 5].flatMap((number) => [
    { operation_type: "update", block_id: `more_${number}`, params: { template: number } },
    { operation_type: "remove", block_id: `more_${number}` },
  ]),
];

/** The operations of the table, each with an API key. */
export const measuredOperations: readonly MeasuredOperation[] = [
  {
    name: "GET /api/workflows/{id}",
    floor: "read",
    status: 200,
    prepare: async (client) => [get(client, `/api/workflows/${await createWorkflow(client)}`)],
  },
  {
    name: "POST /api/workflows",
    floor: "write",
    status: 201,
    prepare: async (client) => [post(client, "/api/workflows", { workflow: measuredDocument })],
  },
  {
    name: "POST …/operations, 10 of them",
    floor: "write",
    status: 200,
    prepare: async (client) => {
      const path = `/api/workflows/${await createWorkflow(client)}/operations`;
      return [post(client, path, { ops: growing }), post(client, path, { ops: shrinking })];
    },
  },
  {
    name: "POST …/run",
    floor: "write",
    status: 202,
    prepare: async (client) => [runRequest(client, await createWorkflow(client))],
  },
];

/** The least that any server would have to do: read a document by its id, or keep one for good. */
export const floorOperations = (documentId: string): Record<MeasuredOperation["floor"], FloorOperation> => ({
  read: {
    status: 200,
    request: { method: "GET", path: `/documents/${documentId}`, headers: {} },
  },
  write: {
    status: 201,
    request: {
      method: "POST",
      path: "/documents",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(measuredDocument),
    },
  },
});

/** Dispatches a run of a workflow. */
export const runRequest = (client: TestClient, workflowId: string): Request =>
  post(client, `/api/workflows/${workflowId}/run`, { input: { name: "Ada" } });

/** Asks for nothing but an authenticated principal: what it costs, authentication costs. */
export const principalRequest = (client: TestClient): Request => get(client, "/api/connectors");

/** Creates the measured workflow and gives its id. */
export async function createWorkflow(client: TestClient): Promise<string> {
  const { status, body } = await client.request("POST", "/api/workflows", { workflow: measuredDocument });
  if (status !== 201) throw new Error(`Creating a workflow answered ${status}: ${JSON.stringify(body)}`);
  return body.id;
}

function get({ key }: TestClient, path: string): Request {
  return { method: "GET", path, headers: { authorization: `Bearer ${key}` } };
}

function post({ key }: TestClient, path: string, body: unknown): Request {
  const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
  return { method: "POST", path, headers, body: JSON.stringify(body) };
}
