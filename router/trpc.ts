import { initTRPC, type TRPCError, tracked } from "@trpc/server";
import type { OpenApiMeta } from "trpc-to-openapi";
import { z } from "zod";
import type { Permission } from "../server/auth/principal.js";
import { AppError } from "../server/errors/app-error.js";
import { toErrorBody } from "../server/errors/error-body.js";
import type { ErrorCode } from "../server/errors/error-table.js";
import { invalidBody } from "../server/errors/invalid-body.js";
import { findUnsafeInput } from "../server/errors/unsafe-input.js";
import type { Context } from "./context.js";

/** How the REST facade answers a success, where it differs from `200` with the output as body. */
export interface RestMeta {
  /** Status of success; 204 sends no body. */
  readonly status?: 201 | 202 | 204;
  /** Path below `/api` of what was made, for the `Location` header. */
  readonly location?: (output: never) => string;
  /** The output's `version` is sent as `ETag`. */
  readonly hasEtag?: boolean;
  /** `If-Match` is read into `expectedVersion`. */
  readonly readsIfMatch?: boolean;
  /** `Idempotency-Key` is read into `idempotencyKey`. */
  readonly readsIdempotencyKey?: boolean;
  /** Media types by what `format` in the query may be: the answer is that field of the output alone, as it is. */
  readonly formats?: Readonly<Record<string, string>>;
}

/** How streams behave on both doors, in milliseconds: what keeps them alive, and when clients are to come again. */
export const STREAM_TIMES = { heartbeatMs: 15_000, longestMs: 600_000 } as const;

/** What a procedure declares beside its schemas. */
export type Meta = OpenApiMeta<{
  /** Permission the principal must hold; absent on public procedures. */
  readonly permission?: Permission;
  /** Codes of its own, beside those that follow from its permission, path, body and `If-Match`. */
  readonly errors?: readonly ErrorCode[];
  readonly rest?: RestMeta;
  /** Examples for the document: one of the input's body, one of the output. */
  readonly examples?: { readonly body?: unknown; readonly output?: unknown };
}>;

const t = initTRPC
  .context<Context>()
  .meta<Meta>()
  .create({
    isDev: false,
    sse: {
      ping: { enabled: true, intervalMs: STREAM_TIMES.heartbeatMs },
      client: { reconnectAfterInactivityMs: 3 * STREAM_TIMES.heartbeatMs },
      // Credentials are looked at when a stream begins, so it is made to begin again.
      maxDurationMs: STREAM_TIMES.longestMs,
    },
    /** Puts the table's code, status and details under `data`; nothing internal gets out. */
    errorFormatter: ({ shape, error, ctx }) => {
      const { status, body } = toErrorBody(error, ctx?.requestId ?? null);
      return {
        code: shape.code,
        message: body.message,
        data: { ...body, code: shape.data.code, httpStatus: status, path: shape.data.path },
      };
    },
  });

/** Events with their ids, so that a client that comes back goes on behind the last one that it has. */
export async function* withIds<Event>(events: AsyncIterable<{ readonly id: string; readonly event: Event }>) {
  for await (const { id, event } of events) yield tracked(id, event);
}

export const router = t.router;
export const createCallerFactory = t.createCallerFactory;

/**
 * Looks at the input beside its schema, for every procedure and both doors: what PostgreSQL cannot store is refused,
 * an id of the wrong shape names nothing, and a version that no workflow can have gets the code of `If-Match`.
 */
const guardInput = t.middleware(async ({ getRawInput, meta, next }) => {
  const input = await getRawInput();
  const unsafe = findUnsafeInput(input);
  if (unsafe !== null)
    throw isInPath([unsafe], input, meta) ? new AppError("not_found") : invalidBody([unsafe]);
  const result = await next();
  if (result.ok) return result;
  const issues = schemaIssues(result.error);
  if (issues === null) return result;
  if (isInPath(issues, input, meta)) throw new AppError("not_found", { cause: result.error });
  if (isImpossibleVersion(issues, input)) throw new AppError("invalid_if_match", { cause: result.error });
  return result;
});

type Issues = readonly { readonly path: readonly PropertyKey[] }[];

function schemaIssues({ code, cause }: TRPCError): Issues | null {
  return code === "BAD_REQUEST" && cause instanceof z.core.$ZodError ? cause.issues : null;
}

function isImpossibleVersion(issues: Issues, input: unknown): boolean {
  const isNumber =
    typeof input === "object" &&
    input !== null &&
    "expectedVersion" in input &&
    typeof input.expectedVersion === "number";
  return isNumber && issues.every(({ path: [key] }) => key === "expectedVersion");
}

/** Whether all that was refused are values that stand in the path of the REST operation. */
function isInPath(issues: Issues, input: unknown, meta: Meta | undefined): boolean {
  if (typeof input !== "object" || input === null || meta?.openapi === undefined) return false;
  const { path } = meta.openapi;
  return issues.every(({ path: [key] }) => {
    return typeof key === "string" && Object.hasOwn(input, key) && path.includes(`{${key}}`);
  });
}

/** Order of the contract: 401, then 429, then 403; input comes after. */
const authorize = t.middleware(async ({ ctx, meta, next }) => {
  const principal = await ctx.authenticate();
  await ctx.services.rateLimit.consume(principal, ctx.setHeader);
  const permission = meta?.permission;
  if (permission === undefined || !principal.permissions.has(permission)) {
    throw new AppError("forbidden", {
      message: `These credentials lack the permission ${permission ?? "?"}.`,
    });
  }
  return next({ ctx: { ...ctx, principal } });
});

/** For everyone: no identity, no rate limit. */
export const publicProcedure = t.procedure.use(guardInput);

/** For a principal that holds `meta.permission`. */
export const procedure = t.procedure.use(authorize).use(guardInput);
