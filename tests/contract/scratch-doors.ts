import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { RequestHandler } from "express";
import { pino } from "pino";
import { z } from "zod";
import { procedure, publicProcedure, router } from "../../router/trpc.js";
import { createApp } from "../../server/app.js";
import { type Permission, permissions } from "../../server/auth/principal.js";
import { readConfig } from "../../server/config.js";
import { AppError } from "../../server/errors/app-error.js";
import { type ErrorCode, errorTable } from "../../server/errors/error-table.js";
import { createMetrics } from "../../server/http/metrics.js";
import type { Services } from "../../server/services.js";

const codes = Object.keys(errorTable) as ErrorCode[];
const tags = ["workflows"];
const describe = (summary: string) => ({ summary, description: `${summary}.`, tags });

const Thing = z.object({
  name: z.string().min(1).max(50),
  enabled: z.boolean().default(true),
  count: z.int().min(0).optional(),
  labels: z.array(z.string()).optional(),
});

const SavedThing = z
  .object({ id: z.string(), version: z.int(), thing: z.unknown() })
  .meta({ id: "SavedThing" });

const save = (thing: unknown) => ({ id: "a b", version: 7, thing });

/** Thrown by the operation `fail` when it is asked for something unknown; no word of it may reach a client. */
export const INTERNAL_TEXT = "select * from secret_table where token = 'hunter2'";

/** A router with one operation of each kind the doors know. */
export const scratchRouter = router({
  create: procedure
    .meta({
      permission: "workflows:write",
      openapi: { method: "POST", path: "/things", operationId: "createThing", ...describe("Create a thing") },
      rest: { status: 201, location: (output: { id: string }) => `/things/${output.id}`, hasEtag: true },
    })
    .input(Thing)
    .output(SavedThing)
    .mutation(({ input }) => save(input)),

  list: procedure
    .meta({
      permission: "workflows:read",
      openapi: { method: "GET", path: "/things", operationId: "listThings", ...describe("List things") },
    })
    .input(
      z.object({
        limit: z.int().min(1).max(100).default(50).meta({ description: "Rows on a page." }),
        enabled: z.boolean().optional(),
        labels: z.array(z.string()).optional(),
        search: z.string().min(1).optional().meta({ description: "Text in the name." }),
      }),
    )
    .output(z.object({ asked: z.unknown() }))
    .query(({ input }) => ({ asked: input })),

  get: procedure
    .meta({
      permission: "workflows:read",
      openapi: { method: "GET", path: "/things/{id}", operationId: "getThing", ...describe("Get a thing") },
    })
    .input(z.object({ id: z.string().max(20) }))
    .output(z.object({ id: z.string() }))
    .query(({ input }) => input),

  replace: procedure
    .meta({
      permission: "workflows:write",
      openapi: {
        method: "PUT",
        path: "/things/{id}",
        operationId: "replaceThing",
        ...describe("Replace a thing"),
      },
      rest: { readsIfMatch: true, hasEtag: true },
      errors: ["version_mismatch"],
    })
    .input(z.object({ id: z.string(), thing: Thing, expectedVersion: z.int().min(1).optional() }))
    .output(SavedThing)
    .mutation(({ input }) => ({ ...save(input), version: input.expectedVersion ?? 1 })),

  version: procedure
    .meta({
      permission: "workflows:read",
      openapi: {
        method: "GET",
        path: "/things/{id}/versions/{version}",
        operationId: "getThingVersion",
        ...describe("Get a version"),
      },
    })
    .input(z.object({ id: z.string(), version: z.int().min(1).max(1_000) }))
    .output(z.object({ version: z.int() }))
    .query(({ input }) => ({ version: input.version })),

  run: procedure
    .meta({
      permission: "runs:write",
      openapi: {
        method: "POST",
        path: "/things/{id}/run",
        operationId: "runThing",
        ...describe("Run a thing"),
      },
      rest: { status: 202, readsIdempotencyKey: true },
    })
    .input(
      z.object({
        id: z.string(),
        input: z.json().default({}),
        idempotencyKey: z.string().max(255).optional(),
      }),
    )
    .output(z.object({ idempotencyKey: z.string().nullable(), input: z.unknown() }))
    .mutation(({ input }) => ({ idempotencyKey: input.idempotencyKey ?? null, input: input.input })),

  remove: procedure
    .meta({
      permission: "workflows:write",
      openapi: {
        method: "DELETE",
        path: "/things/{id}",
        operationId: "removeThing",
        ...describe("Remove a thing"),
      },
      rest: { status: 204 },
    })
    .input(z.object({ id: z.string() }))
    .output(z.void())
    .mutation(() => {}),

  fail: procedure
    .meta({
      permission: "workflows:read",
      openapi: { method: "POST", path: "/fail", operationId: "fail", ...describe("Fail as asked") },
      errors: codes,
    })
    .input(z.object({ code: z.string().optional() }))
    .output(z.void())
    .mutation(({ input }) => {
      const code = codes.find((candidate) => candidate === input.code);
      if (code === undefined) throw new Error(INTERNAL_TEXT);
      throw new AppError(code, { details: { hint: code }, cause: new Error(INTERNAL_TEXT) });
    }),

  open: publicProcedure
    .meta({ openapi: { method: "GET", path: "/open", operationId: "open", ...describe("Open to all") } })
    .output(z.object({ ok: z.boolean() }))
    .query(() => ({ ok: true })),
});

/** What a key may do; `exhausted` has used up its rate. */
const keys: Readonly<Record<string, readonly Permission[]>> = {
  full: permissions,
  reader: ["workflows:read"],
  exhausted: permissions,
};

/** Both doors on a free loopback port. */
export interface ScratchDoors {
  readonly url: string;
  close(): Promise<void>;
}

/** Opens the doors on a router without database: only who asks and how often is decided here, by `x-api-key`. */
export async function openScratchDoors(lines: string[] = []): Promise<ScratchDoors> {
  const identityAndRate: Pick<Services, "identity" | "rateLimit"> = {
    identity: {
      authenticate: async (headers) => {
        const id = String(headers["x-api-key"]);
        const granted = keys[id];
        if (granted === undefined) throw new AppError("unauthorized");
        return { kind: "api_key", id, userId: null, organizationId: "org_1", permissions: new Set(granted) };
      },
      close: async () => {},
    },
    rateLimit: {
      consume: async (principal, setHeader) => {
        setHeader("RateLimit-Limit", "600");
        if (principal.id !== "exhausted") return;
        setHeader("Retry-After", "2");
        throw new AppError("rate_limited", { details: { retryAfterMs: 1_200 } });
      },
    },
  };
  const logger = pino({ level: "info" }, { write: (line: string) => lines.push(line) });
  const config = { ...readConfig({}), versionLabel: "test" };
  const authRoutes: RequestHandler = (_req, res) => {
    res.json({});
  };
  const services = { ...identityAndRate, config, logger } as unknown as Services;
  const app = createApp(services, {
    router: scratchRouter,
    authRoutes,
    trustedOrigins: ["http://trusted.test"],
    readiness: { database: async () => "ok", migrations: async () => "ok", worker: async () => "off" },
    metrics: createMetrics(),
  });
  const server = createServer(app);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
