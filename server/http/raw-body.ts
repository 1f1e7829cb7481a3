import express, { type Request, type Response } from "express";
import { AppError } from "../errors/app-error.js";
import { MAX_BODY_BYTES } from "./body-limit.js";

/** Reads the body of a request as it was sent, content encodings undone. */
export type RawBodyReader = (req: Request, res: Response) => Promise<Buffer>;

/**
 * A reader of bodies up to 1 MiB of any content type; empty when there is none. It rejects with `payload_too_large`,
 * and with the parser's own error for what cannot be read.
 */
export function createRawBodyReader(): RawBodyReader {
  const readRaw = express.raw({ type: () => true, limit: MAX_BODY_BYTES });
  return (req, res) =>
    new Promise((resolve, reject) => {
      readRaw(req, res, (cause?: unknown) => {
        if (cause === undefined) resolve(Buffer.isBuffer(req.body) ? req.body : Buffer.alloc(0));
        else reject(isTooLarge(cause) ? tooLarge() : cause);
      });
    });
}

const tooLarge = () => new AppError("payload_too_large", { details: { limitBytes: MAX_BODY_BYTES } });

function isTooLarge(cause: unknown): boolean {
  return cause instanceof Error && "type" in cause && cause.type === "entity.too.large";
}
