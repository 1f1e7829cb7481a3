import type { Request, RequestHandler } from "express";
import ipaddr from "ipaddr.js";
import { RateLimiterMemory, RateLimiterRes } from "rate-limiter-flexible";
import type { Config } from "../config.js";
import { AppError } from "../errors/app-error.js";
import { errorRow } from "../errors/error-table.js";
import type { Principal } from "./principal.js";

/** How often a principal may ask. */
export interface RateLimit {
  /**
   * Counts one request of the principal in its organization and sets `RateLimit-Limit`, `RateLimit-Remaining` and
   * `RateLimit-Reset` (seconds).
   * @throws AppError `rate_limited` with `retryAfterMs`, and the header `Retry-After` (seconds, rounded up).
   */
  consume(principal: Principal, setHeader: (name: string, value: string) => void): Promise<void>;
}

/** How often anybody may deliver to a webhook. */
export interface WebhookRateLimit {
  /**
   * Counts one delivery, whoever sends it.
   * @throws AppError `rate_limited` with `retryAfterMs`, and the header `Retry-After` (seconds, rounded up).
   */
  consume(
    webhook: { readonly id: string; readonly rateLimitPerMinute: number },
    setHeader: (name: string, value: string) => void,
  ): Promise<void>;
}

const windowSeconds = 60;

/** Keeps one bucket of `rateLimitPerMinute` per (organization, principal), in this process. */
export function createRateLimit(config: Pick<Config, "rateLimitPerMinute">): RateLimit {
  const limiter = createLimiter(config.rateLimitPerMinute);
  return {
    consume: async (principal, setHeader) => {
      const { isAccepted, state } = await take(
        limiter,
        `${principal.organizationId}:${principal.kind}:${principal.id}`,
      );
      setHeader("RateLimit-Limit", String(config.rateLimitPerMinute));
      setHeader("RateLimit-Remaining", String(state.remainingPoints));
      setHeader("RateLimit-Reset", String(toSeconds(state.msBeforeNext)));
      if (!isAccepted) refuse(state.msBeforeNext, setHeader, errorRow("rate_limited").message);
    },
  };
}

/** Keeps one bucket per webhook, each of its own size, in this process. */
export function createWebhookRateLimit(): WebhookRateLimit {
  const limiter = createLimiter(Number.MAX_SAFE_INTEGER);
  return {
    consume: async ({ id, rateLimitPerMinute }, setHeader) => {
      const { consumedPoints, msBeforeNext } = await limiter.consume(id);
      if (consumedPoints > rateLimitPerMinute)
        refuse(msBeforeNext, setHeader, "Too many deliveries to this webhook.");
    },
  };
}

/**
 * Refuses more than `authRateLimitPerMinute` requests of one address to the handlers behind it, in better-auth's shape
 * `{code, message}` with `Retry-After`. The address is Express's `req.ip`, so `trust proxy` must fit the deployment.
 */
export function createAuthRateLimit(config: Pick<Config, "authRateLimitPerMinute">): RequestHandler {
  const limiter = createLimiter(config.authRateLimitPerMinute);
  return async (request, response, next) => {
    const { isAccepted, state } = await take(limiter, addressKey(request.ip));
    if (isAccepted) return next();
    response
      .status(429)
      .set("Retry-After", String(toSeconds(state.msBeforeNext)))
      .json({
        code: "RATE_LIMITED",
        message: "Too many attempts to sign in or up from this address; wait for the seconds in Retry-After.",
      });
  };
}

/** How often an address may ask where nobody has to be known. */
export interface AddressRateLimit {
  /**
   * Counts one request of Express's `req.ip`, so `trust proxy` must fit the deployment.
   * @throws AppError `rate_limited` with `retryAfterMs`, and the header `Retry-After` (seconds, rounded up).
   */
  consume(address: Request["ip"], setHeader: (name: string, value: string) => void): Promise<void>;
}

/** Keeps one bucket of `authRateLimitPerMinute` per address, beside that of the sign-ins. */
export function createAddressRateLimit(config: Pick<Config, "authRateLimitPerMinute">): AddressRateLimit {
  const limiter = createLimiter(config.authRateLimitPerMinute);
  return {
    consume: async (address, setHeader) => {
      const { isAccepted, state } = await take(limiter, addressKey(address));
      if (!isAccepted)
        refuse(state.msBeforeNext, setHeader, "Too many requests from this address; try again in a minute.");
    },
  };
}

function createLimiter(points: number): RateLimiterMemory {
  return new RateLimiterMemory({ points, duration: windowSeconds });
}

function refuse(
  retryAfterMs: number,
  setHeader: (name: string, value: string) => void,
  message: string,
): never {
  setHeader("Retry-After", String(toSeconds(retryAfterMs)));
  throw new AppError("rate_limited", { message, details: { retryAfterMs } });
}

/** The limiter rejects with its state, not with an error, when the bucket is empty. */
async function take(
  limiter: RateLimiterMemory,
  key: string,
): Promise<{ isAccepted: boolean; state: RateLimiterRes }> {
  try {
    return { isAccepted: true, state: await limiter.consume(key) };
  } catch (cause) {
    if (cause instanceof RateLimiterRes) return { isAccepted: false, state: cause };
    throw cause;
  }
}

/** One IPv6 customer owns a /64, so its addresses share a bucket. */
function addressKey(address: Request["ip"]): string {
  if (address === undefined || !ipaddr.isValid(address)) return "unknown";
  const parsed = ipaddr.process(address);
  return parsed instanceof ipaddr.IPv6 ? parsed.parts.slice(0, 4).join(":") : parsed.toString();
}

function toSeconds(milliseconds: number): number {
  return Math.ceil(milliseconds / 1_000);
}
