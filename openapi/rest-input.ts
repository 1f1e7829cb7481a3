import { z } from "zod";
import type { Context, RestRequest } from "../router/context.js";
import { AppError } from "../server/errors/app-error.js";
import { invalidBody } from "../server/errors/invalid-body.js";
import { baseSchema, type Operation } from "./operations.js";

type Input = Readonly<Record<string, unknown>>;

/**
 * Gives a procedure its input as REST reads it: when it is asked for, and once however often it is. `readPath` gives the
 * raw path segments by parameter.
 */
export function restInputReader(
  operation: Operation,
  { rest }: Context,
  readPath: () => Input | Promise<Input>,
): () => Promise<Input> {
  if (rest === null) throw new Error(`${operation.procedurePath} was called without a REST request.`);
  let reading: Promise<Input> | null = null;
  const read = async () => readRestInput(operation, rest, await readPath());
  return () => {
    reading ??= read();
    return reading;
  };
}

/**
 * The input of an operation as its schema expects it: body or query, then the path, then the headers that stand for
 * a field. `pathInput` holds the raw path segments by parameter.
 * @throws AppError `not_found` (path not decodable), `invalid_body`, `payload_too_large`, `invalid_if_match`.
 */
async function readRestInput(operation: Operation, request: RestRequest, pathInput: Input): Promise<Input> {
  const { inputShape, meta } = operation;
  const path = coerceText(inputShape, decodePath(operation.pathParameters, pathInput));
  const own = operation.readsBody ? await request.readBody() : coerceText(inputShape, request.query);
  let input: Input = { ...own, ...path };
  if (meta.rest?.readsIfMatch === true && request.ifMatch !== undefined) {
    input = withHeader(input, "expectedVersion", readVersion(request.ifMatch));
  }
  if (meta.rest?.readsIdempotencyKey === true && request.idempotencyKey !== undefined) {
    input = withHeader(input, "idempotencyKey", readIdempotencyKey(request.idempotencyKey));
  }
  return input;
}

function decodePath(names: readonly string[], pathInput: Input): Record<string, string> {
  try {
    return Object.fromEntries(names.map((name) => [name, decodeURIComponent(String(pathInput[name]))]));
  } catch (cause) {
    throw new AppError("not_found", { cause });
  }
}

/**
 * Texts of query and path as the numbers, booleans and arrays their schema wants. A text that does not fit stays a
 * text, so that the schema refuses it with its own words.
 */
export function coerceText(
  shape: Operation["inputShape"],
  texts: Readonly<Record<string, string | string[]>>,
): Input {
  return Object.fromEntries(
    Object.entries(texts).map(([name, text]) => {
      const schema = Object.hasOwn(shape, name) ? shape[name] : undefined;
      return [name, schema === undefined ? text : coerce(baseSchema(schema), text)];
    }),
  );
}

const DECIMAL = /^-?\d{1,15}(?:\.\d{1,15})?$/;

function coerce(schema: z.core.$ZodType, text: string | string[]): unknown {
  if (schema instanceof z.core.$ZodArray) {
    const element = baseSchema(schema._zod.def.element);
    return (Array.isArray(text) ? text : [text]).map((item) => coerce(element, item));
  }
  if (Array.isArray(text)) return text;
  if (schema instanceof z.core.$ZodNumber) return DECIMAL.test(text) ? Number(text) : text;
  if (schema instanceof z.core.$ZodBoolean) return text === "true" ? true : text === "false" ? false : text;
  return text;
}

/** Versions are PostgreSQL integers. */
const MAX_VERSION = 2_147_483_647;

function readVersion(header: string): number {
  const match = /^(?:([1-9]\d{0,9})|"([1-9]\d{0,9})")$/.exec(header);
  const version = Number(match?.[1] ?? match?.[2]);
  if (!(version <= MAX_VERSION)) throw new AppError("invalid_if_match");
  return version;
}

function readIdempotencyKey(header: string): string {
  if (!/^[\x21-\x7e]{1,255}$/.test(header)) {
    const message = "the Idempotency-Key header must have 1 to 255 visible ASCII characters";
    throw invalidBody([{ path: ["idempotencyKey"], code: "invalid_header", message }]);
  }
  return header;
}

function withHeader(input: Input, field: string, value: number | string): Input {
  const own = input[field];
  if (own !== undefined && own !== value) {
    const message = "differs from the header that stands for it; send one of them";
    throw invalidBody([{ path: [field], code: "contradicts_header", message }]);
  }
  return { ...input, [field]: value };
}
