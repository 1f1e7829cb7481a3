import type { RequestHandler } from "express";

const EXPOSED =
  "ETag, Location, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, Retry-After, x-request-id, set-auth-token";

/**
 * Lets pages of the trusted origins call every door with credentials, and answers their preflights. Pages of other
 * origins get no permission, so browsers keep the answers from them.
 */
export function allowOrigins(trustedOrigins: readonly string[]): RequestHandler {
  const trusted: ReadonlySet<string> = new Set(trustedOrigins);
  return (req, res, next) => {
    res.vary("Origin");
    const origin = req.get("origin");
    if (origin === undefined || !trusted.has(origin)) return next();
    res.setHeader("Access-Control-Allow-Origin", origin);
    res.setHeader("Access-Control-Allow-Credentials", "true");
    res.setHeader("Access-Control-Expose-Headers", EXPOSED);
    const isPreflight = req.method === "OPTIONS" && req.get("access-control-request-method") !== undefined;
    if (!isPreflight) return next();
    res.setHeader("Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, PATCH, DELETE");
    res.setHeader("Access-Control-Allow-Headers", req.get("access-control-request-headers") ?? "");
    res.setHeader("Access-Control-Max-Age", "600");
    res.status(204).end();
  };
}
