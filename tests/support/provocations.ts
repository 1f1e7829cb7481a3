import { expect } from "vitest";
import type { ErrorCode } from "../../server/errors/error-table.js";
import { endedRun, send } from "./client.js";
import type { Input } from "./doors.js";
import {
  createSchedule,
  createWebhook,
  createWorkflow,
  type Estate,
  greeting,
  LEAP_DAY,
  madeUpLike,
  startRun,
  startWaitingRun,
} from "./operations-table.js";
import { mintKey, signUp } from "./sign-up.js";

/** What the database says while a fault is in; no word of it may reach a client. */
export const INTERNAL_TEXT = "internal_text_of_the_database";

const MIB = 1_048_576;

/** What is broken in the database, and how it is mended; both are SQL. */
export interface Fault {
  readonly breaks: string;
  readonly mends: string;
}

/** How a code is brought about; the same for both doors. */
export interface Provocation {
  /** As the specification fixes it. */
  readonly status: number;
  readonly procedure: string;
  readonly input: (estate: Estate) => Input | Promise<Input>;
  /** What the body says beside code, message and requestId. */
  readonly details?: Input | ((estate: Estate, input: Input) => Promise<Input>);
  /** What the message names. */
  readonly message?: RegExp;
  /** Bearer token, if not the estate's key; null sends none. */
  readonly credentials?: (estate: Estate) => Promise<string | null>;
  /** Holds during the call only. */
  readonly fault?: Fault;
}

const raising = (name: string, event: string): Fault => ({
  breaks: `
    create function ${name}() returns trigger language plpgsql as $$ begin raise '${INTERNAL_TEXT}'; end $$;
    create trigger ${name} before ${event} on openworkflow.workflow_runs for each row execute function ${name}();`,
  mends: `drop function ${name}() cascade;`,
});

const missing = (schema: string, table: string): Fault => ({
  breaks: `alter table ${schema}.${table} rename to ${INTERNAL_TEXT};`,
  mends: `alter table ${schema}.${INTERNAL_TEXT} rename to ${table};`,
});

/** The engine's insert raises. */
export const refusingDispatch = raising("refuse_dispatch", "insert");

const ofWorkflow = ({ workflowId }: Estate) => ({ id: workflowId });
const bigBlock = (id: string, bytes: number) => ({
  id,
  type: "transform",
  params: { template: "x".repeat(bytes) },
});

/** One row per code that takes no more than a request to the server of the estate. */
export const provocations: Partial<Record<ErrorCode, Provocation>> = {
  unauthorized: {
    status: 401,
    procedure: "workflows.list",
    input: () => ({}),
    credentials: async () => null,
  },
  no_active_organization: {
    status: 401,
    procedure: "workflows.list",
    input: () => ({}),
    credentials: async ({ client: { url } }) => {
      const { token } = await signUp(url);
      const body = { organizationId: null };
      expect(await send(url, token, "POST", "/api/auth/organization/set-active", body)).toMatchObject({
        status: 200,
      });
      return token;
    },
  },
  forbidden: {
    status: 403,
    procedure: "workflows.create",
    input: () => ({}),
    credentials: ({ client: { url, session } }) =>
      mintKey(url, session, { permissions: { workflows: ["read"] } }),
    message: /workflows:write/,
  },
  not_found: {
    status: 404,
    procedure: "workflows.get",
    input: ({ workflowId }) => ({ id: madeUpLike(workflowId) }),
  },
  workflow_not_found: {
    status: 404,
    procedure: "schedules.create",
    input: ({ workflowId }) => ({ workflowId: madeUpLike(workflowId), cron: LEAP_DAY }),
  },
  invalid_body: {
    status: 400,
    procedure: "workflows.create",
    input: () => ({ workflow: { blocks: [{ id: "greet" }] } }),
    details: {
      issues: [
        { path: ["workflow", "blocks", 0, "type"], code: "invalid_type", message: expect.any(String) },
      ],
    },
    message: /workflow\.blocks\.0\.type/,
  },
  invalid_cron: {
    status: 400,
    procedure: "schedules.preview",
    input: () => ({ cron: "99 99 * * *" }),
    message: /minute/,
  },
  conflict: {
    status: 409,
    procedure: "schedules.create",
    input: async ({ client, workflowId }) => ({
      id: await createSchedule(client, workflowId),
      workflowId,
      cron: LEAP_DAY,
    }),
    message: /sch_/,
  },
  expired: {
    status: 410,
    procedure: "approvals.approve",
    input: async ({ client }) => {
      const params = { prompt: "Go on?", timeoutHours: 0.00001 };
      const workflow = { blocks: [{ id: "ask", type: "human_approval", params }] };
      const runId = await startRun(client, await createWorkflow(client, workflow));
      await endedRun(client, runId);
      const { body } = await client.request("GET", `/api/approvals?runId=${runId}`);
      return { id: body.data[0].id };
    },
    message: /time to decide/,
  },
  version_mismatch: {
    status: 412,
    procedure: "workflows.replace",
    input: (estate) => ({ ...ofWorkflow(estate), workflow: greeting, expectedVersion: 1 }),
    details: { current: 2 },
  },
  payload_too_large: {
    status: 413,
    procedure: "workflows.create",
    input: () => ({ workflow: { blocks: [bigBlock("big", MIB)] } }),
    details: { limitBytes: MIB },
  },
  idempotency_key_reused: {
    status: 422,
    procedure: "workflows.run",
    input: async ({ client, workflowId }) => {
      const idempotencyKey = madeUpLike(workflowId);
      await startRun(client, workflowId, { n: 1 }, idempotencyKey);
      return { id: workflowId, input: { n: 2 }, idempotencyKey };
    },
    details: async ({ client, workflowId }, { idempotencyKey }) => ({
      runId: await startRun(client, workflowId, { n: 1 }, String(idempotencyKey)),
    }),
  },
  workflow_invalid: {
    status: 422,
    procedure: "workflows.run",
    input: async ({ client }) => ({
      id: await createWorkflow(client, { blocks: [{ id: "greet", type: "transform", params: {} }] }),
    }),
    details: {
      validation_errors: [
        expect.objectContaining({
          block_id: "greet",
          block_type: "transform",
          code: expect.any(String),
          error: expect.any(String),
        }),
      ],
    },
  },
  limit_exceeded: {
    status: 422,
    procedure: "workflows.edit",
    input: async ({ client }) => {
      const id = await createWorkflow(client, { blocks: [bigBlock("half", MIB / 2)] });
      const { id: block_id, ...block } = bigBlock("other_half", MIB / 2);
      return { id, ops: [{ operation_type: "add", block_id, ...block }] };
    },
    details: { limit: MIB },
    message: /1048576/,
  },
  delivery_failed: {
    status: 422,
    procedure: "webhooks.redeliver",
    input: async ({ client }) => {
      const id = await createWebhook(client, await createWorkflow(client, {}));
      await client.request("POST", `/hooks/${id}`, {});
      const { body } = await client.request("GET", `/api/webhooks/${id}/deliveries`);
      return { id, deliveryId: body.data[0].id };
    },
    message: /no enabled block/,
  },
  dispatch_failed: {
    status: 500,
    procedure: "workflows.run",
    input: ofWorkflow,
    fault: refusingDispatch,
  },
  cancel_failed: {
    status: 500,
    procedure: "runs.cancel",
    input: async (estate) => ({ runId: await startWaitingRun(estate) }),
    fault: raising("refuse_cancel", "update of status"),
  },
  logs_failed: {
    status: 500,
    procedure: "runs.logs",
    input: ({ runId }) => ({ runId }),
    fault: missing("openworkflow", "step_attempts"),
  },
  internal_error: {
    status: 500,
    procedure: "workflows.get",
    input: ofWorkflow,
    fault: missing("public", "workflow_versions"),
  },
};
