import type { Principal } from "../server/auth/principal.js";
import type { Services } from "../server/services.js";

/** What the REST door knows of the request beside the path; a procedure never reads it, its input does. */
export interface RestRequest {
  /**
   * Reads the JSON body; `{}` when there is none. Called when the input is asked for, after authentication and rate
   * limit. Throws `invalid_body`, `payload_too_large`.
   */
  readonly readBody: () => Promise<Readonly<Record<string, unknown>>>;
  /** Decoded; a repeated parameter is an array. */
  readonly query: Readonly<Record<string, string | string[]>>;
  readonly ifMatch: string | undefined;
  readonly idempotencyKey: string | undefined;
}

/** The context of one request; calls of one tRPC batch share it. */
export interface Context {
  readonly services: Services;
  readonly requestId: string;
  /** Resolves the principal with one database round trip, once per request. Throws `unauthorized`, `no_active_organization`. */
  readonly authenticate: () => Promise<Principal>;
  /** Sets a header of the HTTP response. */
  readonly setHeader: (name: string, value: string) => void;
  /** Absent on the tRPC door. */
  readonly rest: RestRequest | null;
}
