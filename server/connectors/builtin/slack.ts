import { createHash } from "node:crypto";
import { fetch, type Response } from "undici";
import { z } from "zod";
import {
  type BlockContext,
  BlockError,
  type ComputeConnector,
  defineConnector,
  hidden,
} from "../define-connector.js";
import { parseRetryAfter, readText } from "./http-request.js";

const Params = z.object({
  channel: z.string().min(1).max(255).meta({
    title: "Channel",
    description: "Id of a channel, direct message or user, such as C024BE91L, or #name of a public channel.",
  }),
  text: z
    .string()
    .min(1)
    .max(40_000)
    .meta({ title: "Text", description: "The message, in Slack's mrkdwn; 40,000 characters at most." }),
  threadTs: z
    .string()
    .regex(/^\d+\.\d+$/, "must be the ts of a message, such as 1503435956.000247")
    .optional()
    .meta({ title: "Thread", description: "ts of the message to answer in its thread." }),
  accessToken: hidden(
    z
      .string()
      .trim()
      .regex(/^[\x21-\x7e]+$/, "the secret SLACK_BOT_TOKEN must be one bot token"),
    { fromSecret: "SLACK_BOT_TOKEN" },
  ),
});
type Params = z.output<typeof Params>;

const Outputs = z.object({
  ok: z.boolean().describe("Always true: a refusal fails the block."),
  ts: z.string().describe("Timestamp of the message, which is its id in the channel."),
  channel: z.string().describe("Id of the channel it was posted to."),
});

/** What Slack answers, as far as the block reads it; https://docs.slack.dev/reference/methods/chat.postMessage. */
const Answer = z.union([
  z.object({ ok: z.literal(true), ts: z.string(), channel: z.string() }),
  z.object({ ok: z.literal(false), error: z.string(), needed: z.string().optional() }),
]);
type Refusal = Extract<z.infer<typeof Answer>, { ok: false }>;

/** Errors of Slack's that pass by themselves. */
const TRANSIENT = new Set([
  "fatal_error",
  "internal_error",
  "rate_limited",
  "ratelimited",
  "request_timeout",
  "service_unavailable",
  "team_added_to_org",
]);

const BAD_TOKEN = "set the secret SLACK_BOT_TOKEN to a valid bot token (xoxb-…)";

/** What to do about the errors that people meet. */
const REMEDIES: ReadonlyMap<string, string> = new Map([
  ["not_authed", BAD_TOKEN],
  ["invalid_auth", BAD_TOKEN],
  ["account_inactive", BAD_TOKEN],
  ["token_revoked", BAD_TOKEN],
  ["token_expired", BAD_TOKEN],
  ["channel_not_found", "check the channel; a private one needs the app as a member"],
  ["not_in_channel", "invite the app to the channel"],
  ["is_archived", "choose a channel that is not archived"],
  ["msg_too_long", "send a shorter text"],
]);

/**
 * Posts one message through Slack's `chat.postMessage`. Every attempt carries the same `client_msg_id`, by which Slack
 * recognizes a message it has already posted. `apiUrl` ends with a slash.
 */
export function slackConnector(apiUrl: string): ComputeConnector {
  return defineConnector({
    type: "slack",
    name: "Slack message",
    description:
      "Posts a message to a Slack channel. The bot token comes from the organization's secret SLACK_BOT_TOKEN.",
    category: "communication",
    effect: "unsafe",
    retry: { maxAttempts: 3, initialMs: 1_000, factor: 2, maxMs: 30_000 },
    timeoutMs: 30_000,
    params: Params,
    outputs: Outputs,
    examples: [
      {
        title: "Announce an order",
        params: { channel: "#orders", text: "New order {{trigger.id}} for {{trigger.total}}" },
      },
    ],
    run: (params, context) => postMessage(params, context, apiUrl),
  });
}

async function postMessage(
  params: Params,
  context: BlockContext,
  apiUrl: string,
): Promise<z.input<typeof Outputs>> {
  const { status, answer, retryAfterMs } = await send(params, context, apiUrl);
  if (status === 429 || status >= 500) {
    throw new BlockError(status === 429 ? "slack_ratelimited" : "slack_status", `Slack answered ${status}.`, {
      isRetryable: true,
      retryAfterMs,
    });
  }
  if (answer === null) {
    throw new BlockError("slack_bad_answer", `Slack answered ${status} with what is no answer of its API.`, {
      isRetryable: status < 400,
    });
  }
  if (!answer.ok) throw toFailure(answer, retryAfterMs);
  return { ok: true, ts: answer.ts, channel: answer.channel };
}

async function send({ channel, text, threadTs, accessToken }: Params, context: BlockContext, apiUrl: string) {
  let response: Response;
  try {
    response = await fetch(`${apiUrl}chat.postMessage`, {
      method: "POST",
      headers: {
        authorization: `Bearer ${accessToken}`,
        "content-type": "application/json; charset=utf-8",
        "user-agent": "flowkeep",
      },
      body: JSON.stringify({
        channel,
        text,
        client_msg_id: toUuid(context.idempotencyKey),
        ...(threadTs === undefined ? {} : { thread_ts: threadTs }),
      }),
      redirect: "error",
      signal: context.signal,
    });
    return {
      status: response.status,
      answer: parseAnswer(await readText(response)),
      retryAfterMs: parseRetryAfter(response.headers.get("retry-after"), new Date()),
    };
  } catch (error) {
    context.signal.throwIfAborted();
    if (error instanceof BlockError) throw error;
    // What undici says of a header quotes it, and this one is the token.
    throw new BlockError("slack_network_error", `Slack could not be reached (${networkCode(error)}).`, {
      isRetryable: true,
    });
  }
}

function parseAnswer(text: string): z.infer<typeof Answer> | null {
  try {
    return Answer.safeParse(JSON.parse(text)).data ?? null;
  } catch {
    return null;
  }
}

function toFailure({ error, needed }: Refusal, retryAfterMs: number | null): BlockError {
  const code = /^[a-z0-9_]{1,80}$/.test(error) ? error : "unknown_error";
  const scope = needed === undefined ? null : `add the scope ${needed} to the app and install it again`;
  const remedy = REMEDIES.get(code) ?? (code === "missing_scope" ? scope : null);
  return new BlockError(
    `slack_${code}`,
    `Slack refused the message (${code})${remedy === null ? "" : `: ${remedy}`}.`,
    { isRetryable: TRANSIENT.has(code), retryAfterMs },
  );
}

function networkCode(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return cause instanceof Error && "code" in cause ? String(cause.code) : "no answer";
}

/** Namespace of our message ids. */
const NAMESPACE = Buffer.from("6f1d6c1e3c0b4c0e8c8f5b2a9d7e4f10", "hex");

/** The UUID of version 5 that stands for the key: Slack wants its message ids in this form. */
function toUuid(key: string): string {
  const bytes = createHash("sha1").update(NAMESPACE).update(key).digest().subarray(0, 16);
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x50, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  return bytes.toString("hex").replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
