import type { oas31 } from "zod-openapi";
import { type ErrorCode, errorRow, type errorTable } from "../server/errors/error-table.js";
import type { Operation } from "./operations.js";

/** Every name that a row of the table gives to a further field of the body. */
type DetailName = {
  [Code in ErrorCode]: (typeof errorTable)[Code] extends { readonly details: infer Details }
    ? keyof Details
    : never;
}[ErrorCode];

interface Detail {
  readonly schema: oas31.SchemaObject;
  readonly example: unknown;
}

const integer = (example: number): Detail => ({ schema: { type: "integer" }, example });

const issueSchema: oas31.SchemaObject = {
  type: "object",
  required: ["path", "code", "message"],
  properties: {
    path: { type: "array", items: { type: ["string", "integer"] } },
    code: { type: "string" },
    message: { type: "string" },
  },
};

const details: Record<DetailName, Detail> = {
  issues: {
    schema: { type: "array", items: issueSchema },
    example: [
      {
        path: ["workflow"],
        code: "invalid_type",
        message: "Invalid input: expected object, received undefined",
      },
    ],
  },
  validation_errors: {
    schema: {
      type: "array",
      items: {
        type: "object",
        required: ["block_id", "block_type", "code", "error"],
        properties: {
          block_id: { type: ["string", "null"] },
          block_type: { type: ["string", "null"] },
          code: { type: "string" },
          field: { type: "string" },
          value: {},
          error: { type: "string" },
        },
      },
    },
    example: [
      {
        block_id: "fetch",
        block_type: "http",
        code: "missing_param",
        field: "url",
        error: "url is required by http and not set; set it by an update.",
      },
    ],
  },
  current: integer(8),
  retryAfterMs: integer(1200),
  limitBytes: integer(1_048_576),
  limit: { schema: { type: "number" }, example: 500 },
  runId: { schema: { type: "string" }, example: "0198c5f2-7b1e-4a39-9d0e-3f5f6a1c2b4e" },
  signalId: { schema: { type: "string" }, example: "0198c5f2-7b1e-4a39-9d0e-3f5f6a1c2b50" },
};

/** Codes that an operation can answer: its own and those of its kind. */
export function errorCodesOf(operation: Operation): ErrorCode[] {
  const { meta, readsBody, pathParameters } = operation;
  const isProtected = meta.permission !== undefined;
  const codes: ErrorCode[] = [
    ...(isProtected
      ? (["unauthorized", "no_active_organization", "rate_limited", "forbidden"] as const)
      : []),
    "invalid_body",
    ...(readsBody ? (["payload_too_large"] as const) : []),
    ...(pathParameters.length > 0 ? (["not_found"] as const) : []),
    ...(meta.rest?.readsIfMatch === true ? (["invalid_if_match", "version_mismatch"] as const) : []),
    ...(meta.errors ?? []),
    "internal_error",
    "unavailable",
  ];
  return [...new Set(codes)];
}

/** A response component: its name in the document and what it describes. */
export interface ErrorResponse {
  readonly status: string;
  readonly name: string;
  readonly response: oas31.ResponseObject;
}

/** One response per status of the codes; equal sets of codes give equal names, so they can be shared. */
export function errorResponses(codes: readonly ErrorCode[]): ErrorResponse[] {
  const statuses = [...new Set(codes.map((code) => errorRow(code).status))].sort(
    (left, right) => left - right,
  );
  return statuses.map((status) => {
    const group = codes.filter((code) => errorRow(code).status === status).sort();
    return {
      status: String(status),
      name: group.map(pascalCase).join("Or"),
      response: describeResponse(status, group),
    };
  });
}

function pascalCase(code: string): string {
  return code.replace(/(?:^|_)(\w)/g, (_, letter: string) => letter.toUpperCase());
}

function describeResponse(status: number, codes: readonly ErrorCode[]): oas31.ResponseObject {
  const rows = codes.map((code) => ({ code, ...errorRow(code) }));
  return {
    description: rows.map(({ code, message, remedy }) => `\`${code}\`: ${message} ${remedy}`).join("\n\n"),
    headers: errorHeaders(status),
    content: {
      "application/json": {
        schema: errorSchema(status, codes),
        examples: Object.fromEntries(
          rows.map(({ code, message }) => [code, { summary: message, value: errorExample(status, code) }]),
        ),
      },
    },
  };
}

function errorHeaders(status: number): oas31.HeadersObject {
  const names = ["x-request-id", ...(status === 429 ? ["Retry-After"] : [])];
  return Object.fromEntries(names.map((name) => [name, { $ref: `#/components/headers/${name}` }]));
}

function errorSchema(status: number, codes: readonly ErrorCode[]): oas31.SchemaObject {
  const properties: Record<string, oas31.SchemaObject> = {
    error: { type: "string", enum: [...codes], description: "Stable code." },
    message: { type: "string", description: "One sentence for people." },
  };
  for (const [name, description] of detailsOf(codes))
    properties[name] = { ...details[name].schema, description };
  if (status >= 500) properties.requestId = { type: "string", description: "Repeats x-request-id." };
  return { type: "object", required: ["error", "message"], properties };
}

function errorExample(status: number, code: ErrorCode): Record<string, unknown> {
  const example: Record<string, unknown> = { error: code, message: errorRow(code).message };
  for (const [name] of detailsOf([code])) example[name] = details[name].example;
  if (status >= 500) example.requestId = "7c1f0e0a-5a43-4f53-8a39-0f5b0c8d2f11";
  return example;
}

function detailsOf(codes: readonly ErrorCode[]): [DetailName, string][] {
  return codes.flatMap((code) => Object.entries(errorRow(code).details ?? {}) as [DetailName, string][]);
}
