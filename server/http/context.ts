import type { Request, Response } from "express";
import type { Context, RestRequest } from "../../router/context.js";
import type { Principal } from "../auth/principal.js";
import type { Services } from "../services.js";
import { factsOf } from "./request-facts.js";

/** Makes the context of one request on either door; `rest` is null on the tRPC door. */
export type ContextFactory = (req: Request, res: Response, rest: RestRequest | null) => Context;

/** Contexts that authenticate once per request, however many calls share it. */
export function createContextFactory(services: Services): ContextFactory {
  return (req, res, rest) => {
    const facts = factsOf(res);
    let principal: Promise<Principal> | null = null;
    const authenticate = async () => {
      const found = await services.identity.authenticate(req.headers);
      facts.organizationId = found.organizationId;
      return found;
    };
    return {
      services,
      requestId: facts.requestId,
      rest,
      authenticate: () => {
        principal ??= authenticate();
        return principal;
      },
      setHeader: (name, value) => {
        // A streamed batch sends its headers before its calls are made.
        if (!res.headersSent) res.setHeader(name, value);
      },
    };
  };
}
