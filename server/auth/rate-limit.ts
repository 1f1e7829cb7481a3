import { createHmac, randomBytes } from "node:crypto";
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

/** How often anybody may deliver to a webhook, and how often an address may fail to. */
export interface WebhookRateLimit {
  /**
   * Lets a delivery be read, unless the webhook has had as many verified ones as it may, or the address, Express's
   * `req.ip`, has sent it as many that were not verified, or not yet. Where nothing is verified it counts at once.
   * @throws AppError `rate_limited` with `retryAfterMs`, and the header `Retry-After` (seconds, rounded up).
   */
  admit(
    webhook: {
      readonly id: string;
      readonly rateLimitPerMinute: number;
      readonly verification: { readonly type: string };
    },
    address: Request["ip"],
    setHeader: (name: string, value: string) => void,
  ): Promise<AdmittedDelivery>;
}

/** A delivery that may be read, and counts as what it turns out to be. */
export interface AdmittedDelivery {
  /** @throws AppError `rate_limited`, as `admit` does, when others were faster. */
  countVerified(): Promise<void>;
  /** Whether one that is not verified may be kept: the webhook keeps 100 of these within the minute. */
  countRefused(): Promise<boolean>;
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

/** Deliveries that are not verified and kept all the same, per webhook and minute. */
const KEPT_REFUSALS = 100;

/** Keeps the buckets of webhooks, each of its own size, and of addresses that failed, in this process. */
export function createWebhookRateLimit(): WebhookRateLimit {
  const verified = createLimiter(Number.MAX_SAFE_INTEGER);
  const refused = createLimiter(Number.MAX_SAFE_INTEGER);
  const kept = createLimiter(KEPT_REFUSALS);
  const slotOf = createSlots();
  return {
    admit: async ({ id, rateLimitPerMinute, verification }, address, setHeader) => {
      const slot = slotOf(`${id}:${addressKey(address)}`);
      const refuseBeyond = (allowed: number, state: RateLimiterRes | null) => {
        if (state === null || state.consumedPoints <= allowed || state.msBeforeNext <= 0) return;
        refuse(state.msBeforeNext, setHeader, "Too many deliveries to this webhook.");
      };
      const countVerified = async () => refuseBeyond(rateLimitPerMinute, await verified.consume(id));
      const countRefused = async () => (await take(kept, id)).isAccepted;
      if (verification.type === "none") {
        await countVerified();
        return { countVerified: async () => {}, countRefused };
      }
      refuseBeyond(rateLimitPerMinute - 1, await verified.get(id));
      // Counts as one that is not verified until it is: many at the same time are no way around.
      refuseBeyond(rateLimitPerMinute, await refused.consume(slot));
      return {
        countVerified: async () => {
          await refused.reward(slot);
          await countVerified();
        },
        countRefused,
      };
    },
  };
}

/**
 * Gives every text one of 65,536 numbers, so that however many addresses there are, their buckets take no more memory.
 * Nobody outside can tell which texts share one.
 */
function createSlots(): (text: string) => number {
  const key = randomBytes(32);
  return (text) => createHmac("sha256", key).update(text).digest().readUInt16BE();
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
