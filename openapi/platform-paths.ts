import type { oas31 } from "zod-openapi";

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

/** The routes for operators and tools: they are no procedures. */
export const platformPaths: oas31.PathsObject = {
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
  "/openapi.json": get({
    operationId: "getOpenApiDocument",
    summary: "This document",
    description: "OpenAPI 3.1.",
    responses: { "200": answer("The document.", { type: "object" }, { openapi: "3.1.0" }) },
  }),
};
