import { appRouter } from "../../router/index.js";
import type { Meta } from "../../router/trpc.js";
import { type Answer, send } from "./client.js";

/** The two ways to call a procedure. */
export const doors = ["rest", "trpc"] as const;
export type Door = (typeof doors)[number];

/** Input of a procedure, by field. */
export type Input = Readonly<Record<string, unknown>>;

/** What a door answered, in the form in which both can be compared. */
export interface DoorAnswer {
  readonly status: number;
  readonly headers: Headers;
  /** What the procedure returned; null for nothing and for an error. */
  // biome-ignore lint/suspicious/noExplicitAny: tests read results of any shape and assert on them.
  readonly result: any;
  /** Code, message and details; null for a success. */
  // biome-ignore lint/suspicious/noExplicitAny: tests read details of any shape and assert on them.
  readonly error: any;
}

/** What a test needs to know of one procedure of the real router. */
export interface Procedure {
  readonly isQuery: boolean;
  readonly meta: Meta;
  /** Method and path below `/api`, parameters in braces. */
  readonly method: string;
  readonly path: string;
}

/** Every query and mutation of the router by its path, such as `workflows.get`; all of them have a REST path. */
export const procedures: ReadonlyMap<string, Procedure> = new Map(
  Object.entries(appRouter._def.procedures as object)
    .filter(([, { _def }]) => _def.type !== "subscription")
    .map(([procedurePath, { _def }]) => {
      const meta: Meta = _def.meta;
      if (meta.openapi === undefined) throw new Error(`${procedurePath} has no REST path.`);
      return [procedurePath, { isQuery: _def.type === "query", meta, ...meta.openapi }];
    }),
);

/** The procedure at the path. @throws Error when there is none. */
export function procedureAt(procedurePath: string): Procedure {
  const procedure = procedures.get(procedurePath);
  if (procedure === undefined) throw new Error(`There is no procedure ${procedurePath}.`);
  return procedure;
}

/** Calls a procedure through a door; every field goes where that door reads it. `key` is any bearer token. */
export function call(
  door: Door,
  url: string,
  key: string | null,
  procedurePath: string,
  input: Input = {},
  headers: Record<string, string> = {},
): Promise<DoorAnswer> {
  return door === "rest"
    ? callRest(url, key, procedurePath, input, headers)
    : callTrpc(url, key, procedurePath, input, headers);
}

async function callRest(
  url: string,
  key: string | null,
  procedurePath: string,
  input: Input,
  headers: Record<string, string>,
): Promise<DoorAnswer> {
  const { method, path } = procedureAt(procedurePath);
  const rest = new Map(Object.entries(input));
  const filled = path.replace(/\{(\w+)\}/g, (_, name: string) => {
    const value = encodeURIComponent(String(rest.get(name)));
    rest.delete(name);
    return value;
  });
  const hasBody = method !== "GET" && method !== "DELETE";
  const query = new URLSearchParams(
    [...rest].map(([name, value]) => [name, String(value)] as [string, string]),
  );
  const target = `/api${filled}${hasBody || rest.size === 0 ? "" : `?${query}`}`;
  const body = hasBody && rest.size > 0 ? Object.fromEntries(rest) : undefined;
  const answer = await send(url, key, method, target, body, headers);
  return toDoorAnswer(answer, answer.status < 400 ? null : answer.body, answer.body);
}

async function callTrpc(
  url: string,
  key: string | null,
  procedurePath: string,
  input: Input,
  headers: Record<string, string>,
): Promise<DoorAnswer> {
  const { isQuery } = procedureAt(procedurePath);
  const answer = isQuery
    ? await send(
        url,
        key,
        "GET",
        `/trpc/${procedurePath}?input=${encodeURIComponent(JSON.stringify(input))}`,
        undefined,
        headers,
      )
    : await send(url, key, "POST", `/trpc/${procedurePath}`, input, headers);
  return toDoorAnswer(answer, trpcError(answer), answer.body?.result?.data);
}

/** The fields that REST answers too; the protocol's own say the same once more. */
function trpcError({ body, status }: Answer): unknown {
  if (body?.error === undefined) return null;
  const { code: _, httpStatus, path: __, ...error } = body.error.data;
  if (httpStatus !== status) throw new Error(`error.data.httpStatus is ${httpStatus}, the status ${status}.`);
  if (body.error.message !== error.message) throw new Error("error.message and error.data.message differ.");
  return error;
}

function toDoorAnswer({ status, headers }: Answer, error: unknown, result: unknown): DoorAnswer {
  return { status, headers, error, result: error === null ? (result ?? null) : null };
}
