import type { AnyTRPCRouter } from "@trpc/server";
import type { Request, RequestHandler, Response } from "express";
import { createOpenApiNodeHttpHandler, type OpenApiRouter } from "trpc-to-openapi";
import type { RestRequest } from "../router/context.js";
import type { RestMeta } from "../router/trpc.js";
import { AppError } from "../server/errors/app-error.js";
import type { ContextFactory } from "../server/http/context.js";
import { factsOf } from "../server/http/request-facts.js";
import { createOperationFinder, isStream, listOperations, listStreams, REST_PREFIX } from "./operations.js";
import { type BodyReader, createBodyReader } from "./rest-body.js";
import { answerPlain, answerStream, plainFormatOf } from "./rest-call.js";
import { createRestRouter } from "./rest-router.js";

/**
 * Serves the router's REST operations where it is mounted. Every error goes to the app's error handler, unknown paths
 * and methods as `not_found`; HEAD answers as GET without a body, and OPTIONS names the methods of the path.
 */
export function createRestFacade(router: AnyTRPCRouter, createContext: ContextFactory): RequestHandler {
  const operations = listOperations(router);
  const finder = createOperationFinder([...operations, ...listStreams(router)]);
  const restMeta = new Map(operations.map(({ procedurePath, meta }) => [procedurePath, meta.rest ?? {}]));
  const readBody = createBodyReader();
  const restRequests = new WeakMap<Request, RestRequest>();
  const handle = createOpenApiNodeHttpHandler<OpenApiRouter, Request, Response>({
    router: createRestRouter(router),
    createContext: ({ req, res }) => createContext(req, res, restRequests.get(req) ?? null),
    responseMeta: ({ paths, data, errors }) =>
      errors.length > 0 ? {} : successMeta(restMeta.get(paths?.[0] ?? "") ?? {}, data[0]),
    onError: ({ error }) => {
      // Thrown again, the error leaves the library and reaches the handler that writes all of them.
      throw error;
    },
  });

  return async (req, res, next) => {
    const url = urlOf(req);
    if (url === null) return next(new AppError("not_found"));
    const isHead = req.method === "HEAD";
    if (isHead) req.method = "GET";
    const operation = finder.find(req.method, url.pathname);
    if (operation === undefined) return answerOtherMethod(finder.methodsOf(url.pathname), req, res, next);
    factsOf(res).route = `${REST_PREFIX}${operation.path}`;
    const rest = readRestRequest(req, res, url, readBody);
    const format = plainFormatOf(operation, rest.query);
    if (isStream(operation) || format !== null) {
      const call = { operation, context: createContext(req, res, rest), pathname: url.pathname, isHead };
      await (format === null ? answerStream(call, req, res) : answerPlain(call, format, res));
      return;
    }
    restRequests.set(req, rest);
    hideBody(req);
    await handle(req, res);
  };
}

function urlOf(req: Request): URL | null {
  const url = req.url.startsWith("/") ? `http://localhost${req.url}` : req.url;
  return URL.canParse(url) ? new URL(url) : null;
}

function readRestRequest(req: Request, res: Response, url: URL, readBody: BodyReader): RestRequest {
  const contentType = req.get("content-type");
  const query: Record<string, string | string[]> = {};
  for (const name of new Set(url.searchParams.keys())) {
    const values = url.searchParams.getAll(name);
    query[name] = values.length > 1 ? values : String(values[0]);
  }
  return {
    readBody: () => readBody(req, res, contentType),
    query,
    ifMatch: req.get("if-match"),
    idempotencyKey: req.get("idempotency-key"),
  };
}

/** Left alone, the library would refuse a content type and read the body before the caller is known. */
function hideBody(req: Request): void {
  req.headers["content-type"] = "application/json";
  req.body = "";
}

function answerOtherMethod(
  methods: string[],
  req: Request,
  res: Response,
  next: (error: AppError) => void,
): void {
  if (methods.length === 0) {
    next(new AppError("not_found", { message: "There is no such path." }));
    return;
  }
  const allowed = methods.includes("GET") ? [...methods, "HEAD"] : methods;
  res.setHeader("Allow", [...allowed, "OPTIONS"].join(", "));
  if (req.method === "OPTIONS") {
    res.status(204).end();
    return;
  }
  next(new AppError("not_found", { message: `This path answers ${methods.join(", ")} only.` }));
}

function successMeta(rest: RestMeta, output: unknown): { status: number; headers: Record<string, string> } {
  const headers: Record<string, string> = {};
  if (rest.location !== undefined) headers.Location = `${REST_PREFIX}${rest.location(output as never)}`;
  if (rest.hasEtag === true) headers.ETag = `"${(output as { version: number }).version}"`;
  return { status: rest.status ?? 200, headers };
}
