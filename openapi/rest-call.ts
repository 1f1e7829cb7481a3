import { once } from "node:events";
import { type AnyTRPCProcedure, isTrackedEnvelope } from "@trpc/server";
import type { Request, Response } from "express";
import type { Context } from "../router/context.js";
import { STREAM_TIMES } from "../router/trpc.js";
import { AppError } from "../server/errors/app-error.js";
import { isStream, type Operation } from "./operations.js";
import { restInputReader } from "./rest-input.js";

/** How operations are answered whose answer is no JSON. */
export interface PlainCall {
  readonly operation: Operation;
  readonly context: Context;
  /** Path of the request below `/api`, as it was sent. */
  readonly pathname: string;
  /** Whether the request wants no body. */
  readonly isHead: boolean;
}

/** The media type that the request asks for by `format`, where that is not JSON; null otherwise. */
export function plainFormatOf({ meta }: Operation, query: Readonly<Record<string, unknown>>): string | null {
  const { formats = {} } = meta.rest ?? {};
  return typeof query.format === "string" && Object.hasOwn(formats, query.format) ? query.format : null;
}

/** Answers with one field of the output as it is, in the media type of the operation's `formats`. */
export async function answerPlain(call: PlainCall, format: string, res: Response): Promise<void> {
  const output: unknown = await invoke(call, {}, new AbortController().signal);
  const text: unknown =
    typeof output === "object" && output !== null ? Reflect.get(output, format) : undefined;
  if (typeof text !== "string") throw new Error(`${call.operation.procedurePath} gave no ${format}.`);
  res.type(String(call.operation.meta.rest?.formats?.[format])).send(text);
}

/**
 * Answers with the events of a subscription, each under its `type`, until they end, the client leaves or it is to come
 * again; 204 when there is nothing to tell any more, which ends an EventSource. Writes no faster than the client reads.
 */
export async function answerStream(call: PlainCall, req: Request, res: Response): Promise<void> {
  const gone = new AbortController();
  res.once("close", () => gone.abort());
  const lastEventId = req.get("last-event-id");
  const input = lastEventId === undefined || lastEventId === "" ? {} : { lastEventId };
  const events = (await invoke(call, input, gone.signal)) as AsyncIterable<unknown>;
  const iterator = events[Symbol.asyncIterator]();
  const first = iterator.next();
  // Settles before the next turn of the event loop when there is nothing to wait for.
  const isOver = await Promise.race([first.then(({ done }) => done === true), nextTurn()]);
  if (isOver || call.isHead) {
    gone.abort();
    await iterator.return?.();
    res
      .status(isOver ? 204 : 200)
      .type("text/event-stream")
      .end();
    return;
  }
  res.writeHead(200, { "content-type": "text/event-stream; charset=utf-8", "x-accel-buffering": "no" });
  res.write(": connected\n\n");
  const heartbeat = setInterval(() => {
    if (!res.writableNeedDrain) res.write(": heartbeat\n\n");
  }, STREAM_TIMES.heartbeatMs);
  const longest = setTimeout(() => gone.abort(), STREAM_TIMES.longestMs);
  try {
    for (let next = await first; next.done !== true; next = await iterator.next()) {
      if (res.write(toMessage(next.value))) continue;
      // Rejects when the client has gone; the events end by themselves then.
      await once(res, "drain", { signal: gone.signal }).catch(() => undefined);
    }
    res.end();
  } catch (error) {
    if (!(error instanceof AppError && error.errorCode === "unavailable")) throw error;
    // The server stops: the connection breaks, so that the client comes again.
    res.destroy();
  } finally {
    clearInterval(heartbeat);
    clearTimeout(longest);
    await iterator.return?.();
  }
}

/** Calls the procedure as the other door does; `input` goes over what the request holds. */
async function invoke(
  { operation, context, pathname }: PlainCall,
  input: Readonly<Record<string, unknown>>,
  signal: AbortSignal,
): Promise<unknown> {
  const procedure = operation.procedure as AnyTRPCProcedure;
  const read = restInputReader(operation, context, () => pathInputOf(operation, pathname));
  return procedure({
    path: operation.procedurePath,
    type: isStream(operation) ? "subscription" : "query",
    ctx: context,
    getRawInput: async () => ({ ...(await read()), ...input }),
    signal,
    batchIndex: 0,
  });
}

function pathInputOf({ path }: Operation, pathname: string): Record<string, string> {
  const segments = pathname.split("/");
  return Object.fromEntries(
    path.split("/").flatMap((part, index) => {
      const name = /^\{(\w+)\}$/.exec(part)?.[1];
      return name === undefined ? [] : [[name, segments[index] ?? ""]];
    }),
  );
}

function toMessage(value: unknown): string {
  if (!isTrackedEnvelope(value)) throw new Error("An event of a stream has no id.");
  const [id, event] = value;
  const { type } = event as { readonly type: string };
  return `event: ${type}\nid: ${id}\ndata: ${JSON.stringify(event)}\n\n`;
}

function nextTurn(): Promise<false> {
  return new Promise((resolve) => {
    setImmediate(resolve, false as const);
  });
}
