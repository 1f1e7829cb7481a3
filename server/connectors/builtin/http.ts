import { type Agent, Headers, type Response } from "undici";
import { z } from "zod";
import {
  type BlockContext,
  BlockError,
  type ComputeConnector,
  defineConnector,
  secret,
} from "../define-connector.js";
import { type HttpRequest, parseRetryAfter, parseUrl, readText, sendRequest } from "./http-request.js";

/** Longest `timeoutMs`, in milliseconds. */
const MAX_TIMEOUT_MS = 300_000;

const Params = z.object({
  url: secret(
    z.url({ protocol: /^https?$/, error: "must be a full http:// or https:// address" }).max(8_192),
  ).meta({ title: "URL", description: "Where to send the request; it may use {{secrets.NAME}}." }),
  method: z.enum(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]).default("GET").meta({
    title: "Method",
  }),
  headers: secret(z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])))
    .meta({ title: "Headers", description: "Header names and values; values may use {{secrets.NAME}}." })
    .optional(),
  body: secret(z.unknown())
    .meta({
      title: "Body",
      description:
        "A string is sent as it is, any other JSON value as application/json; null sends no body. It may use {{secrets.NAME}}.",
    })
    .optional(),
  timeoutMs: z.int().min(1).max(MAX_TIMEOUT_MS).default(30_000).meta({
    title: "Timeout (ms)",
    description: "Milliseconds until the whole answer must be here.",
  }),
});
type Params = z.output<typeof Params>;

const Outputs = z.object({
  status: z.int().describe("Status of the final response."),
  body: z.unknown().describe("Parsed when the response is JSON, text otherwise; 1 MiB at most."),
  headers: z.record(z.string(), z.string()).describe("Response headers with lower-case names."),
});

/**
 * Sends one HTTP request per attempt. 5xx, 429, network errors and timeouts are retryable failures, every other
 * status is an output. The effect is `unsafe`, the strictest of its methods, because the method is known only when
 * a block runs; its retries are those of the policy, and each carries the same `Idempotency-Key`. `agent` decides
 * which addresses may be reached.
 */
export function httpConnector(agent: Agent): ComputeConnector {
  return defineConnector({
    type: "http",
    name: "HTTP request",
    description:
      "Sends an HTTP request and returns the answer. 5xx, 429, network errors and timeouts fail and are retried; " +
      "any other status is an output.",
    category: "network",
    effect: "unsafe",
    retry: { maxAttempts: 3, initialMs: 500, factor: 2, maxMs: 30_000 },
    // The parameter is the limit; this one only has to be longer.
    timeoutMs: MAX_TIMEOUT_MS + 10_000,
    params: Params,
    outputs: Outputs,
    examples: [
      { title: "Read JSON", params: { url: "https://api.example.com/customers/{{trigger.customerId}}" } },
      {
        title: "Send JSON with a secret",
        params: {
          url: "https://api.example.com/orders",
          method: "POST",
          headers: { authorization: "Bearer {{secrets.API_TOKEN}}" },
          body: { total: "{{trigger.total}}" },
        },
      },
    ],
    checks: [
      { of: ["url"], refuse: ({ url }) => void parseUrl(String(url)) },
      { of: ["headers"], refuse: ({ headers }) => void toHeaders(headers as Params["headers"]) },
      { of: ["body", "method"], refuse: ({ body, method }) => checkBody(body, String(method)) },
    ],
    run: (params, context) => exchange(params, context, agent),
  });
}

async function exchange(
  params: Params,
  context: BlockContext,
  agent: Agent,
): Promise<z.input<typeof Outputs>> {
  const request = toRequest(params, context.idempotencyKey);
  const timeout = AbortSignal.timeout(params.timeoutMs);
  try {
    const response = await sendRequest(request, agent, AbortSignal.any([context.signal, timeout]));
    if (response.status === 429 || response.status >= 500) {
      await response.body?.cancel();
      throw statusError(request, response);
    }
    return { status: response.status, body: await readBody(response), headers: readHeaders(response) };
  } catch (error) {
    if (error instanceof BlockError) throw error;
    if (context.signal.aborted) throw context.signal.reason;
    if (timeout.aborted) {
      throw new BlockError(
        "http_timeout",
        `${label(request)} did not answer within ${params.timeoutMs} ms; raise timeoutMs if it needs longer.`,
        { isRetryable: true },
      );
    }
    throw networkError(request, error);
  }
}

function toRequest(params: Params, idempotencyKey: string): HttpRequest {
  const url = parseUrl(params.url);
  const headers = toHeaders(params.headers);
  if (!headers.has("user-agent")) headers.set("user-agent", "flowkeep");
  if (params.method !== "GET" && !headers.has("idempotency-key"))
    headers.set("idempotency-key", idempotencyKey);
  checkBody(params.body, params.method);
  if (params.body === undefined || params.body === null)
    return { url, method: params.method, headers, body: null };
  const isText = typeof params.body === "string";
  if (!isText && !headers.has("content-type")) headers.set("content-type", "application/json");
  const body = isText ? String(params.body) : JSON.stringify(params.body);
  return { url, method: params.method, headers, body };
}

function checkBody(body: unknown, method: string): void {
  if (body === undefined || body === null || (method !== "GET" && method !== "HEAD")) return;
  throw new BlockError(
    "http_invalid_body",
    `body: ${method} cannot carry a body; remove it or choose another method.`,
  );
}

function toHeaders(values: Params["headers"]): Headers {
  const headers = new Headers();
  for (const [name, value] of Object.entries(values ?? {})) {
    try {
      headers.set(name, String(value));
    } catch {
      // The cause quotes the value, which may be a secret.
      throw new BlockError(
        "http_invalid_headers",
        `headers: ${JSON.stringify(name)} or its value holds characters that HTTP does not allow; remove them.`,
      );
    }
  }
  return headers;
}

async function readBody(response: Response): Promise<unknown> {
  const text = await readText(response);
  const isJson = /^(application|text)\/([\w.+-]+\+)?json\b/i.test(response.headers.get("content-type") ?? "");
  if (!isJson) return text;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function readHeaders(response: Response): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const [name, value] of response.headers) {
    const earlier = headers[name];
    headers[name] = earlier === undefined ? value : `${earlier}, ${value}`;
  }
  return headers;
}

function statusError(request: HttpRequest, response: Response): BlockError {
  return new BlockError("http_status", `${label(request)} answered ${response.status}.`, {
    isRetryable: true,
    retryAfterMs: parseRetryAfter(response.headers.get("retry-after"), new Date()),
  });
}

/** What `fetch` wraps: a refusal of the agent, headers that undici does not send, or a failure on the way. */
function networkError(request: HttpRequest, error: unknown): BlockError {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  if (cause instanceof BlockError) return cause;
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : null;
  if (code === "UND_ERR_INVALID_ARG" || code === "UND_ERR_NOT_SUPPORTED") {
    const message = cause instanceof Error ? cause.message : "invalid";
    return new BlockError("http_invalid_headers", `headers: ${message}; remove what HTTP sets by itself.`);
  }
  const reason = code ?? (cause instanceof Error ? cause.message : "unknown");
  return new BlockError("http_network_error", `${label(request)} failed on the network (${reason}).`, {
    isRetryable: true,
  });
}

/** Method and origin: the rest of the address may hold tokens. */
function label(request: HttpRequest): string {
  return `${request.method} ${request.url.origin}`;
}
