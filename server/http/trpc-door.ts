import type { AnyTRPCRouter } from "@trpc/server";
import { createExpressMiddleware } from "@trpc/server/adapters/express";
import type { RequestHandler } from "express";
import type { Logger } from "pino";
import { AppError } from "../errors/app-error.js";
import { MAX_BODY_BYTES } from "./body-limit.js";
import type { ContextFactory } from "./context.js";
import { logServerError } from "./error-log.js";
import { factsOf } from "./request-facts.js";

/** Most calls in one batch. */
const MAX_BATCH_SIZE = 50;
const METHODS = ["GET", "HEAD", "POST"];

/** Serves the router to tRPC clients where it is mounted; methods that tRPC does not know are `not_found`. */
export function createTrpcDoor(
  router: AnyTRPCRouter,
  createContext: ContextFactory,
  logger: Logger,
): RequestHandler {
  const handle = createExpressMiddleware({
    router,
    createContext: ({ req, res, info }) => {
      factsOf(res).route = info.isBatchCall ? "/trpc (batch)" : routeOf(info.calls);
      return createContext(req, res, null);
    },
    maxBodySize: MAX_BODY_BYTES,
    maxBatchSize: MAX_BATCH_SIZE,
    onError: ({ error, req }) => {
      if (req.res !== undefined) logServerError(logger, error, factsOf(req.res));
    },
  });
  return (req, res, next) => {
    if (METHODS.includes(req.method)) {
      handle(req, res, next);
      return;
    }
    res.setHeader("Allow", METHODS.join(", "));
    next(new AppError("not_found", { message: "tRPC answers GET and POST only." }));
  };
}

/** Only procedures that exist make a route, so that clients cannot make up new ones. */
function routeOf([call]: readonly { readonly path: string; readonly procedure: unknown }[]): string {
  return call === undefined || call.procedure === null ? "/trpc (unknown)" : `/trpc/${call.path}`;
}
