import type { AnyTRPCProcedure, AnyTRPCRouter } from "@trpc/server";
import type { RequestHandler } from "express";
import { generateOpenApiDocument, type OpenApiRouter } from "trpc-to-openapi";
import { z } from "zod";
import type { oas31 } from "zod-openapi";
import { authPaths } from "../server/auth/auth-openapi.js";
import { EditOperation } from "../server/workflows/edit-operation.js";
import { completeOperation } from "./complete-operation.js";
import { headers, parameters, securitySchemes, tagDescriptions } from "./document-components.js";
import { isStream, listOperations, listStreams, type Operation, REST_PREFIX } from "./operations.js";
import { platformPaths } from "./platform-paths.js";
import { tidyComponents, tidySchemas } from "./tidy-schemas.js";

/** Version of the API and of the package. */
export const API_VERSION = "0.1.0";

const info = {
  title: "Flowkeep",
  version: API_VERSION,
  description:
    "Durable workflows as data. A workflow is a JSON graph of blocks; programs build it with edit operations that explain what they could not apply, a durable engine runs it, and people watch, cancel and schedule its runs. Errors have the shape `{error, message, …}` with a stable code.",
  contact: { name: "Flowkeep" },
  license: { name: "Apache-2.0", identifier: "Apache-2.0" },
} satisfies oas31.InfoObject;

/**
 * The OpenAPI 3.1 document of a router: its operations as trpc-to-openapi describes them, completed from their `meta`
 * and the error table, beside the routes that are no procedures. The same router gives the same document.
 */
export function buildDocument(router: AnyTRPCRouter): oas31.OpenAPIObject {
  const operations = [...listOperations(router), ...listStreams(router)];
  const generated = generateOpenApiDocument(documentedRouter(operations), {
    title: info.title,
    version: info.version,
    baseUrl: "/",
    securitySchemes,
    // Operations are read one by one, so no input has this schema.
    defs: { EditOperation },
  }) as oas31.OpenAPIObject;
  const responses: Record<string, oas31.ResponseObject> = {};
  const paths: oas31.PathsObject = {};
  for (const operation of operations) {
    const path = `${REST_PREFIX}${operation.path}`;
    const method = operation.method.toLowerCase() as Lowercase<Operation["method"]>;
    const own = generated.paths?.[path]?.[method];
    if (own === undefined) throw new Error(`No operation was generated for ${operation.procedurePath}.`);
    paths[path] = { ...paths[path], [method]: completeOperation(own, operation, responses) };
  }
  Object.assign(paths, authPaths, platformPaths);
  const schemas = generated.components?.schemas ?? {};
  return {
    openapi: "3.1.0",
    info,
    servers: [{ url: "/", description: "The server this document comes from." }],
    tags: usedTags(paths),
    paths: tidySchemas(paths),
    components: { securitySchemes, headers, parameters, responses, schemas: tidyComponents(schemas) },
  };
}

/** Procedures with their full REST path, and without the fields that are headers over REST. */
function documentedRouter(operations: readonly Operation[]): OpenApiRouter {
  const procedures = operations.map((operation) => {
    const { procedurePath, procedure, meta, inputShape } = operation;
    const { openapi } = meta;
    const documented = {
      ...meta,
      openapi: { ...openapi, path: `${REST_PREFIX}${openapi?.path}`, errorResponses: [] },
    };
    const { expectedVersion: _, ...shape } = inputShape;
    const inputs = meta.rest?.readsIfMatch === true ? [z.object(shape)] : procedure._def.inputs;
    // The generator knows no streams: to it one is a query that answers with a text.
    const stream = isStream(operation) ? { type: "query", output: z.string() } : {};
    return [
      procedurePath,
      { _def: { ...procedure._def, meta: documented, inputs, ...stream } } as unknown as AnyTRPCProcedure,
    ];
  });
  return { _def: { procedures: Object.fromEntries(procedures) } } as unknown as OpenApiRouter;
}

function usedTags(paths: oas31.PathsObject): oas31.TagObject[] {
  const used = new Set(
    Object.values(paths).flatMap((item) => Object.values(item).flatMap((operation) => operation.tags ?? [])),
  );
  return [...used].map((name) => {
    const description = tagDescriptions[name];
    if (description === undefined) throw new Error(`The tag ${name} has no description.`);
    return { name, description };
  });
}

/** Answers with the document; it is built on the first request and kept as text. */
export function serveDocument(router: AnyTRPCRouter): RequestHandler {
  let text: string | null = null;
  return (_req, res) => {
    text ??= JSON.stringify(buildDocument(router));
    res.type("json").send(text);
  };
}
