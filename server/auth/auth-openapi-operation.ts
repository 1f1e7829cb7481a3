import type { oas31 } from "zod-openapi";
import { shape, text } from "./auth-openapi-schemas.js";

/** Answers by status, each a code with what it means and what to do. */
export type Failures = Readonly<Record<number, Readonly<Record<string, string>>>>;

/** A JSON body with an example. */
export interface DescribedBody {
  readonly schema: oas31.SchemaObject;
  readonly example: unknown;
}

/** What the document says about one auth route. */
export interface AuthOperation {
  readonly operationId: string;
  readonly summary: string;
  readonly description: string;
  readonly security: oas31.SecurityRequirementObject[];
  readonly parameters?: oas31.ParameterObject[];
  readonly body?: DescribedBody;
  readonly answer: DescribedBody;
  readonly failures: Failures;
}

/** An OpenAPI operation with the tag, the headers and the error shape `{code, message}` of every auth route. */
export function describeOperation(operation: AuthOperation): oas31.OperationObject {
  const { body, answer, failures, ...rest } = operation;
  const entries = Object.entries(failures).map(([status, codes]) => [status, describeFailure(status, codes)]);
  const responses: oas31.ResponsesObject = {
    "200": { description: "Done.", headers: requestId, content: { "application/json": answer } },
    ...Object.fromEntries(entries),
  };
  const described = { ...rest, tags: ["auth"], responses };
  if (body === undefined) return described;
  return { ...described, requestBody: { required: true, content: { "application/json": { ...body } } } };
}

/** Puts failures together; those of one status stand side by side. */
export function allOf(...parts: readonly Failures[]): Failures {
  const merged: Record<number, Record<string, string>> = {};
  for (const [status, codes] of parts.flatMap((part) => Object.entries(part))) {
    merged[Number(status)] = { ...merged[Number(status)], ...codes };
  }
  return merged;
}

const requestId = { "x-request-id": { $ref: "#/components/headers/x-request-id" } };
const retryAfter = { "Retry-After": { $ref: "#/components/headers/Retry-After" } };
const errorBody = shape({ code: text("Stable code."), message: text("One sentence for people.") });

function describeFailure(status: string, codes: Readonly<Record<string, string>>): oas31.ResponseObject {
  const rows = Object.entries(codes);
  const examples = rows.map(([code, message]) => [code, { summary: message, value: { code, message } }]);
  return {
    description: rows.map(([code, meaning]) => `\`${code}\`: ${meaning}`).join("\n\n"),
    headers: status === "429" ? { ...requestId, ...retryAfter } : requestId,
    content: { "application/json": { schema: errorBody, examples: Object.fromEntries(examples) } },
  };
}
