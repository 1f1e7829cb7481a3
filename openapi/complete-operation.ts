import { z } from "zod";
import type { oas31 } from "zod-openapi";
import { type HeaderName, type parameters, securitySchemes } from "./document-components.js";
import { errorCodesOf, errorResponses } from "./error-responses.js";
import { isStream, type Operation } from "./operations.js";

type Responses = Record<string, oas31.ResponseObject>;

const successDescriptions = {
  200: "Done.",
  201: "Created.",
  202: "Accepted and durable.",
  204: "Done; the answer has no body.",
} as const;

/**
 * Adds to a generated operation what trpc-to-openapi cannot know: the success status with its headers and example,
 * header parameters, security, and its own error responses. Shared responses are put into `shared`.
 */
export function completeOperation(
  generated: oas31.OperationObject,
  operation: Operation,
  shared: Responses,
): oas31.OperationObject {
  const { meta } = operation;
  const requestBody = describeBody(generated.requestBody, meta.examples?.body);
  const { requestBody: _body, parameters: own = [], responses: _responses, ...rest } = generated;
  const all = [
    ...own.map((parameter) => describeParameter(parameter, operation)),
    ...headerParameters(operation),
  ];
  return {
    ...rest,
    security:
      meta.permission === undefined ? [] : Object.keys(securitySchemes).map((name) => ({ [name]: [] })),
    ...(all.length > 0 ? { parameters: all } : {}),
    ...(requestBody === null ? {} : { requestBody }),
    responses: { ...successResponse(generated, operation), ...errorReferences(operation, shared) },
  };
}

type Parameter = oas31.ParameterObject | oas31.ReferenceObject;

/** The generator unwraps optional fields and loses what was said of them. */
function describeParameter(parameter: Parameter, { inputShape }: Operation): Parameter {
  if (!("name" in parameter)) return parameter;
  const schema = inputShape[parameter.name];
  const description = schema === undefined ? undefined : z.globalRegistry.get(schema)?.description;
  return description === undefined ? parameter : { ...parameter, description };
}

function describeBody(
  generated: oas31.OperationObject["requestBody"],
  example: unknown,
): oas31.RequestBodyObject | null {
  if (generated === undefined || !("content" in generated)) return null;
  const schema = generated.content["application/json"]?.schema;
  if (schema === undefined) return null;
  const required = "required" in schema && schema.required !== undefined && schema.required.length > 0;
  return {
    required,
    content: { "application/json": { schema, ...(example === undefined ? {} : { example }) } },
  };
}

function headerParameters(operation: Operation): oas31.ReferenceObject[] {
  const { meta } = operation;
  const names: (keyof typeof parameters)[] = [
    ...(meta.rest?.readsIfMatch === true ? (["IfMatch"] as const) : []),
    ...(meta.rest?.readsIdempotencyKey === true ? (["IdempotencyKey"] as const) : []),
    ...(isStream(operation) ? (["LastEventId"] as const) : []),
  ];
  return names.map((name) => ({ $ref: `#/components/parameters/${name}` }));
}

function successResponse(generated: oas31.OperationObject, operation: Operation): Responses {
  const { meta } = operation;
  const status = meta.rest?.status ?? 200;
  const headers = headerReferences([
    "x-request-id",
    ...(meta.rest?.location === undefined ? [] : (["Location"] as const)),
    ...(meta.rest?.hasEtag === true ? (["ETag"] as const) : []),
    ...(meta.permission === undefined
      ? []
      : (["RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"] as const)),
  ]);
  const response: oas31.ResponseObject = { description: successDescriptions[status], headers };
  if (status === 204) return { [status]: response };
  const example = meta.examples?.output;
  const schema = generatedSchema(generated);
  const media = { schema, ...(example === undefined ? {} : { example }) };
  if (isStream(operation)) {
    const over = { description: "Nothing follows the event that Last-Event-ID names.", headers };
    return { [status]: { ...response, content: { "text/event-stream": media } }, 204: over };
  }
  const plain = Object.values(meta.rest?.formats ?? {}).map((type) => [type, { schema: { type: "string" } }]);
  const content = { "application/json": media, ...Object.fromEntries(plain) };
  return { [status]: { ...response, content } };
}

function generatedSchema(generated: oas31.OperationObject): oas31.SchemaObject | oas31.ReferenceObject {
  const success: oas31.ResponseObject | oas31.ReferenceObject | undefined = generated.responses?.["200"];
  const content = success !== undefined && "content" in success ? success.content : undefined;
  return content?.["application/json"]?.schema ?? {};
}

function headerReferences(names: readonly HeaderName[]): oas31.HeadersObject {
  return Object.fromEntries(names.map((name) => [name, { $ref: `#/components/headers/${name}` }]));
}

function errorReferences(operation: Operation, shared: Responses): Record<string, oas31.ReferenceObject> {
  const references: Record<string, oas31.ReferenceObject> = {};
  for (const { status, name, response } of errorResponses(errorCodesOf(operation))) {
    shared[name] = response;
    references[status] = { $ref: `#/components/responses/${name}` };
  }
  return references;
}
