import type { AnyTRPCProcedure, AnyTRPCRouter } from "@trpc/server";
import type { OpenApiMethod } from "trpc-to-openapi";
import { z } from "zod";
import type { Meta } from "../router/trpc.js";

/** Where the facade is mounted. */
export const REST_PREFIX = "/api";

/** A procedure that is also a REST operation. */
export interface Operation {
  /** Path in the router, such as `workflows.get`. */
  readonly procedurePath: string;
  readonly procedure: AnyTRPCProcedure;
  readonly meta: Meta;
  readonly method: OpenApiMethod;
  /** Path below `/api`, parameters in braces. */
  readonly path: string;
  readonly pathParameters: readonly string[];
  /** Whether the input is read from a JSON body; from the query otherwise. */
  readonly readsBody: boolean;
  /** The fields of the input; empty when the procedure takes none. */
  readonly inputShape: Readonly<Record<string, z.core.$ZodType>>;
}

/** Every query and mutation of the router that declares a REST path, in order of declaration. */
export function listOperations(router: AnyTRPCRouter): Operation[] {
  return listDeclared(router).filter((operation) => !isStream(operation));
}

/** Every subscription of the router that declares a REST path: over REST it is a stream of server-sent events. */
export function listStreams(router: AnyTRPCRouter): Operation[] {
  return listDeclared(router).filter(isStream);
}

/** Whether the operation answers with a stream of events. */
export function isStream({ procedure }: Operation): boolean {
  return procedure._def.type === "subscription";
}

function listDeclared(router: AnyTRPCRouter): Operation[] {
  const procedures: Record<string, AnyTRPCProcedure> = router._def.procedures;
  return Object.entries(procedures).flatMap(([procedurePath, procedure]) => {
    const meta = procedure._def.meta as Meta | undefined;
    if (meta?.openapi === undefined) return [];
    const { method, path } = meta.openapi;
    return {
      procedurePath,
      procedure,
      meta,
      method,
      path,
      pathParameters: [...path.matchAll(/\{(\w+)\}/g)].map((match) => String(match[1])),
      readsBody: method !== "GET" && method !== "DELETE",
      inputShape: shapeOf(procedure),
    };
  });
}

function shapeOf(procedure: AnyTRPCProcedure): Operation["inputShape"] {
  const shape: Record<string, z.core.$ZodType> = {};
  for (const input of procedure._def.inputs) {
    const base = input instanceof z.core.$ZodType ? baseSchema(input) : null;
    if (base instanceof z.core.$ZodObject) Object.assign(shape, base._zod.def.shape);
  }
  return shape;
}

/** What is left of a schema without its optional, nullable, default and pipe wrappers, on the input side. */
export function baseSchema(schema: z.core.$ZodType): z.core.$ZodType {
  if (
    schema instanceof z.core.$ZodOptional ||
    schema instanceof z.core.$ZodNullable ||
    schema instanceof z.core.$ZodDefault ||
    schema instanceof z.core.$ZodPrefault ||
    schema instanceof z.core.$ZodCatch ||
    schema instanceof z.core.$ZodReadonly
  ) {
    return baseSchema(schema._zod.def.innerType);
  }
  return schema instanceof z.core.$ZodPipe ? baseSchema(schema._zod.def.in) : schema;
}

/** Finds what a request path names. */
export interface OperationFinder {
  /** The operation of a method and a path below `/api`; the first declared wins. */
  find(method: string, path: string): Operation | undefined;
  /** Methods that the path answers; empty for an unknown path. */
  methodsOf(path: string): string[];
}

/** Compiles the paths once; they match as the bridge's own router matches them. */
export function createOperationFinder(operations: readonly Operation[]): OperationFinder {
  const patterns = operations.map((operation) => ({
    operation,
    pattern: new RegExp(`^${operation.path.replace(/\{\w+\}/g, "[^/]+")}/?$`, "i"),
  }));
  return {
    find: (method, path) =>
      patterns.find(({ operation, pattern }) => operation.method === method && pattern.test(path))?.operation,
    methodsOf: (path) => [
      ...new Set(
        patterns.filter(({ pattern }) => pattern.test(path)).map(({ operation }) => operation.method),
      ),
    ],
  };
}
