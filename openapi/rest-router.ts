import type { AnyTRPCProcedure, AnyTRPCRouter } from "@trpc/server";
import type { OpenApiRouter } from "trpc-to-openapi";
import { z } from "zod";
import type { Context } from "../router/context.js";
import { createCallerFactory } from "../router/trpc.js";
import { listOperations, type Operation } from "./operations.js";
import { restInputReader } from "./rest-input.js";

/**
 * The router as the REST facade sees it: the same procedures, called with the input read the REST way. trpc-to-openapi
 * sets `coerce` on the number, boolean and date schemas of whatever it is given, for good and for every door, so it
 * is given throw-away schemas with the same keys; the real ones stay as they were declared.
 */
export function createRestRouter(router: AnyTRPCRouter): OpenApiRouter {
  const procedures = Object.fromEntries(
    listOperations(router).map((operation) => [operation.procedurePath, toRestProcedure(operation)]),
  );
  const _def = { ...router._def, procedures, record: {}, lazy: {} };
  return { _def, createCaller: createCallerFactory({ _def }) };
}

function toRestProcedure(operation: Operation): AnyTRPCProcedure {
  const { procedure } = operation;
  const call = (options: Parameters<AnyTRPCProcedure>[0]) => {
    const readPath = async () => (await options.getRawInput()) as Record<string, unknown>;
    return procedure({
      ...options,
      getRawInput: restInputReader(operation, options.ctx as Context, readPath),
    });
  };
  const keys = Object.keys(operation.inputShape).map((key) => [key, z.string()]);
  const inspected = { inputs: [z.object(Object.fromEntries(keys))], output: z.unknown() };
  return Object.assign(call, {
    meta: procedure.meta,
    _def: { ...procedure._def, ...inspected },
  }) as AnyTRPCProcedure;
}
