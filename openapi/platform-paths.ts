import type { oas31 } from "zod-openapi";
import { decisions } from "../server/approvals/approval-rules.js";
import { type ErrorCode, errorRow } from "../server/errors/error-table.js";

/** Node's HTTP parser answers these before any route is asked. */
const unreadable: oas31.ResponseObject = {
  description: "The HTTP request itself could not be read, for example because its headers are too large.",
};

const check: oas31.SchemaObject = {
  type: "string",
  enum: ["ok", "failed", "off"],
  description: "off: this process has no such part.",
};

const readiness: oas31.SchemaObject = {
  type: "object",
  required: ["status", "checks"],
  properties: {
    status: { type: "string", enum: ["ready", "not_ready"] },
    checks: {
      type: "object",
      required: ["database", "migrations", "worker"],
      properties: { database: check, migrations: check, worker: check },
    },
  },
};

function answer(
  description: string,
  schema: oas31.SchemaObject,
  example: unknown,
  type = "application/json",
) {
  return {
    description,
    headers: { "x-request-id": { $ref: "#/components/headers/x-request-id" } },
    content: { [type]: { schema, example } },
  } satisfies oas31.ResponseObject;
}

/** Documents a route that takes nothing and needs no credentials. */
function get(
  operation: Required<Pick<oas31.OperationObject, "operationId" | "summary" | "description" | "responses">>,
) {
  const { responses, ...rest } = operation;
  return {
    get: { ...rest, tags: ["platform"], security: [], responses: { ...responses, "4XX": unreadable } },
  };
}

const approvalToken: oas31.ParameterObject = {
  name: "token",
  in: "path",
  required: true,
  description: "The token of the link.",
  schema: { type: "string" },
};

const page = (description: string) =>
  answer(
    description,
    { type: "string" },
    "<!doctype html><title>Your decision is needed</title>",
    "text/html",
  );

const closedLink = {
  "404": page("The link is not known."),
  "409": page("The link was used, or the approval is decided otherwise."),
  "410": page("The link or the time for the decision has expired."),
  "429": page("Too many requests from this address."),
};

/** The page of a one-time link; its token is all that it needs. */
const approvalPage: oas31.PathItemObject = {
  parameters: [approvalToken],
  get: {
    operationId: "showApprovalLink",
    summary: "The page of a one-time link",
    description: "Shows what is asked with a form. Opening it decides nothing.",
    tags: ["approvals"],
    security: [],
    responses: { "200": page("The question."), ...closedLink, "4XX": unreadable },
  },
  post: {
    operationId: "decideByLink",
    summary: "Decide with a one-time link",
    description: "What the form of the page sends. Sending it again is fine.",
    tags: ["approvals"],
    security: [],
    requestBody: {
      required: true,
      content: {
        "application/x-www-form-urlencoded": {
          schema: {
            type: "object",
            required: ["decision"],
            properties: {
              decision: { type: "string", enum: [...decisions] },
              note: { type: "string", maxLength: 2_000 },
            },
          },
          example: { decision: "approved", note: "Checked." },
        },
      },
    },
    responses: {
      "200": page("The decision is kept."),
      "400": page("No decision was chosen, or the note is too long."),
      ...closedLink,
      "4XX": unreadable,
    },
  },
};

const runStarted: oas31.SchemaObject = {
  type: "object",
  required: ["runId", "deliveryId"],
  properties: {
    runId: { type: "string", format: "uuid" },
    deliveryId: { type: "string", format: "uuid" },
    duplicate: { type: "boolean", description: "Its key had a run already: runId is that run." },
    filtered: { type: "boolean", description: "The delivery is not for the workflow; there is no run." },
    state: { type: "string", enum: ["completed", "failed", "canceled"], description: "After ?wait=." },
    output: { description: "Of a run that was waited for and completed." },
    error: { description: "Of a run that was waited for and failed." },
    challenge: { type: "string", description: "What Slack wants back when it is given the address." },
  },
};
const { required: _required, ...deliveryAnswer } = runStarted;

const refusedDelivery = (code: ErrorCode) =>
  answer(
    errorRow(code).message,
    {
      type: "object",
      required: ["error", "message"],
      properties: { error: { type: "string", enum: [code] }, message: { type: "string" } },
    },
    { error: code, message: errorRow(code).message },
  );

/** Where others deliver; the signature is all that it needs. */
const hookPath: oas31.PathItemObject = {
  parameters: [
    {
      name: "hookId",
      in: "path",
      required: true,
      description: "The id of the webhook.",
      schema: { type: "string" },
    },
  ],
  post: {
    operationId: "deliverToWebhook",
    summary: "Deliver to a webhook",
    description:
      "Takes a delivery of any content type up to 1 MiB that is verified as the webhook says. When the answer is 202 the run is durable; the same delivery sent again starts no second one.",
    tags: ["webhooks"],
    security: [],
    parameters: [
      {
        name: "wait",
        in: "query",
        required: false,
        description:
          "How long to wait for the end of the run, such as 30s or 500ms, at most 60s, where the webhook allows it.",
        schema: { type: "string" },
      },
    ],
    requestBody: {
      required: false,
      content: {
        "application/json": { schema: {}, example: { type: "order.paid", data: { id: "ord_42" } } },
      },
    },
    responses: {
      "200": answer(
        "A duplicate, a filtered delivery, a challenge, or a run that ended within the wait.",
        deliveryAnswer,
        {
          runId: "0198c5f2-7b1e-4a39-9d0e-3f5f6a1c2b4e",
          deliveryId: "0198c5f2-7b1e-4a39-9d0e-3f5f6a1c2b50",
          duplicate: true,
        },
      ),
      "202": answer("A run was started.", runStarted, {
        runId: "0198c5f2-7b1e-4a39-9d0e-3f5f6a1c2b4e",
        deliveryId: "0198c5f2-7b1e-4a39-9d0e-3f5f6a1c2b50",
      }),
      "400": refusedDelivery("invalid_body"),
      "401": refusedDelivery("unauthorized"),
      "404": refusedDelivery("not_found"),
      "413": refusedDelivery("payload_too_large"),
      "422": refusedDelivery("delivery_failed"),
      "429": refusedDelivery("rate_limited"),
      "500": refusedDelivery("dispatch_failed"),
      "503": refusedDelivery("unavailable"),
      "4XX": unreadable,
    },
  },
};

/** The routes for operators and tools: they are no procedures. */
export const platformPaths: oas31.PathsObject = {
  "/hooks/{hookId}": hookPath,
  "/health": get({
    operationId: "getHealth",
    summary: "Is the process alive",
    description: "Always 200; asks neither the database nor the engine.",
    responses: {
      "200": answer(
        "Alive.",
        {
          type: "object",
          required: ["status", "version"],
          properties: { status: { type: "string", enum: ["ok"] }, version: { type: "string" } },
        },
        { status: "ok", version: "dev" },
      ),
    },
  }),
  "/ready": get({
    operationId: "getReadiness",
    summary: "Can the process take requests",
    description: "Checks the database, its migrations and the worker of this process.",
    responses: {
      "200": answer("Ready.", readiness, {
        status: "ready",
        checks: { database: "ok", migrations: "ok", worker: "off" },
      }),
      "503": answer("Not ready.", readiness, {
        status: "not_ready",
        checks: { database: "failed", migrations: "failed", worker: "ok" },
      }),
    },
  }),
  "/metrics": get({
    operationId: "getMetrics",
    summary: "Metrics for Prometheus",
    description: "The Prometheus text format.",
    responses: {
      "200": answer("Metrics.", { type: "string" }, "http_request_duration_seconds_count 1", "text/plain"),
    },
  }),
  "/approve/{token}": approvalPage,
  "/openapi.json": get({
    operationId: "getOpenApiDocument",
    summary: "This document",
    description: "OpenAPI 3.1.",
    responses: { "200": answer("The document.", { type: "object" }, { openapi: "3.1.0" }) },
  }),
};
