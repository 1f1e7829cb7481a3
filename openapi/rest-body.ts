import { TRPCError } from "@trpc/server";
import type { Request, Response } from "express";
import { AppError } from "../server/errors/app-error.js";
import { createRawBodyReader } from "../server/http/raw-body.js";

/** Reads JSON bodies of requests. */
export type BodyReader = (
  req: Request,
  res: Response,
  contentType: string | undefined,
) => Promise<Record<string, unknown>>;

/**
 * A reader of bodies up to 1 MiB, in any charset. No body or an empty one is `{}`, whatever the content type.
 * It rejects with `invalid_body` (not JSON, not an object, another content type) and `payload_too_large`.
 */
export function createBodyReader(): BodyReader {
  const readRaw = createRawBodyReader();
  return async (req, res, contentType) => {
    const bytes = await readRaw(req, res).catch((cause: unknown) => {
      throw cause instanceof AppError ? cause : unreadable(cause);
    });
    return bytes.length === 0 ? {} : parseObject(bytes, contentType ?? "");
  };
}

const JSON_TYPE = /^application\/(?:[\w.!#$&^-]+\+)?json\s*(?:;|$)/i;
const CHARSET = /;\s*charset\s*=\s*"?([^\s";]+)/i;

function parseObject(bytes: Buffer, contentType: string): Record<string, unknown> {
  if (!JSON_TYPE.test(contentType)) throw unreadable(`content type ${contentType}`);
  let value: unknown;
  try {
    value = JSON.parse(
      new TextDecoder(CHARSET.exec(contentType)?.[1] ?? "utf-8", { fatal: true }).decode(bytes),
    );
  } catch (cause) {
    throw unreadable(cause);
  }
  if (!isObject(value)) throw unreadable("not an object");
  return value;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The error that tRPC raises for such a body, so that both doors answer alike. */
function unreadable(cause: unknown): TRPCError {
  return new TRPCError({ code: "PARSE_ERROR", cause });
}
