import type { Request, RequestHandler, Response } from "express";
import { AppError } from "../errors/app-error.js";
import { invalidBody } from "../errors/invalid-body.js";
import type { Services } from "../services.js";
import type { EndedRun } from "../webhooks/await-run.js";
import type { DeliveryAnswer } from "../webhooks/delivery-service.js";
import { createRawBodyReader, type RawBodyReader } from "./raw-body.js";
import { factsOf } from "./request-facts.js";

/** Longest `?wait=`, in milliseconds. */
const MAX_WAIT_MS = 60_000;

/**
 * Takes deliveries to webhooks, whose id is the last part of the path. 202 with the run that was started, 200 for a
 * duplicate, a filtered one, a challenge, and a run that ended while the sender waited for it.
 */
export function createHookDoor({
  deliveries,
  webhookRateLimit,
}: Pick<Services, "deliveries" | "webhookRateLimit">): RequestHandler<{ hookId: string }> {
  const readRaw = createRawBodyReader();
  return async (req, res) => {
    const signal = whenGone(res);
    const opened = await deliveries.open(req.params.hookId);
    factsOf(res).organizationId = opened.organizationId;
    const setHeader = (name: string, value: string) => res.setHeader(name, value);
    const admitted = await webhookRateLimit.admit(opened, req.ip, setHeader);
    const query = queryOf(req.originalUrl);
    const waitMs = opened.allowsWait ? readWait(query.get("wait")) : 0;
    const isAllHere = req.complete;
    const body = await readBody(readRaw, req, res).catch(async (error: unknown) => {
      await admitted.countRefused();
      throw error;
    });
    // A body may take minutes to come, and the webhook be switched off or get another secret meanwhile.
    const webhook = isAllHere ? opened : await deliveries.open(opened.id);
    const remoteAddress = req.ip ?? null;
    const incoming = { headers: req.headersDistinct, query, body, remoteAddress };
    const answer = await deliveries.receive(webhook, incoming, admitted);
    const told = bodyOf(answer);
    const mayWait = waitMs > 0 && "runId" in answer;
    const ended = mayWait ? await deliveries.awaitRun(webhook, answer.runId, { waitMs, signal }) : null;
    if (ended === null) res.status(answer.kind === "accepted" ? 202 : 200).json(told);
    else res.json({ ...told, ...outcomeOf(ended) });
  };
}

function bodyOf({ kind, ...rest }: DeliveryAnswer): object {
  if (kind === "filtered") return { filtered: true, ...rest };
  return kind === "duplicate" ? { ...rest, duplicate: true } : rest;
}

/** What a sender that waited is told. */
function outcomeOf({ state, output, error }: EndedRun): object {
  if (state === "completed") return { state, output };
  return state === "failed" ? { state, error } : { state };
}

/** The parameters as they were sent, repeated ones included. */
function queryOf(url: string): URLSearchParams {
  const at = url.indexOf("?");
  return new URLSearchParams(at < 0 ? "" : url.slice(at + 1));
}

/** Milliseconds of `30`, `30s` or `500ms`; 0 when nobody waits. */
function readWait(text: string | null): number {
  if (text === null) return 0;
  const match = /^(\d{1,5})(ms|s)?$/.exec(text);
  const waitMs = Number(match?.[1]) * (match?.[2] === "ms" ? 1 : 1_000);
  if (waitMs <= MAX_WAIT_MS) return waitMs;
  const message = "must be a time of at most 60s, such as 30s or 500ms";
  throw invalidBody([{ path: ["wait"], code: "invalid_wait", message }]);
}

/** Null when it is too large: that is kept as a delivery too. */
async function readBody(readRaw: RawBodyReader, req: Request<object>, res: Response): Promise<Buffer | null> {
  try {
    return await readRaw(req as Request, res);
  } catch (cause) {
    if (cause instanceof AppError) return null;
    const message = "could not be read; send it whole, with a content encoding of gzip, deflate, br or none";
    throw invalidBody([{ path: ["body"], code: "unreadable_body", message }], cause);
  }
}

/** Aborts when the client goes away or the answer has been sent. */
function whenGone(res: Response): AbortSignal {
  const gone = new AbortController();
  res.once("close", () => gone.abort());
  return gone.signal;
}
