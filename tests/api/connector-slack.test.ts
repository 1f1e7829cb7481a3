import type { RequestListener } from "node:http";
import { afterEach, describe, expect, it } from "vitest";
import { slackConnector } from "../../server/connectors/builtin/slack.js";
import { blockFailure, runBlock } from "../support/block-context.js";
import { closeServers, serve } from "../support/http-block.js";

afterEach(closeServers);

const TOKEN = "xoxb-17653672481-19874698323-pdFZKVeTuE8sk7oOcHrzqqgy";
const params = { channel: "C123ABC456", text: "Hello *you*", accessToken: TOKEN };

/** What came in at the stand-in. */
interface Received {
  readonly body: Record<string, unknown>;
}

/**
 * Checks what Slack checks of `chat.postMessage` and answers in Slack's shapes: status 200 with `ok: false` for
 * refusals, `post_type` errors for the wrong content type, `not_authed` and `invalid_auth` for the token.
 */
async function slackStandIn(refuse: { error?: string; needed?: string } = {}) {
  const received: Received[] = [];
  const listener: RequestListener = async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const answer = (body: object) => {
      response.setHeader("content-type", "application/json; charset=utf-8");
      response.end(JSON.stringify(body));
    };
    if (request.url !== "/api/chat.postMessage") return answer({ ok: false, error: "unknown_method" });
    if (request.method !== "POST") return answer({ ok: false, error: "invalid_post_type" });
    if (request.headers["content-type"] !== "application/json; charset=utf-8") {
      return answer({ ok: false, error: "invalid_post_type" });
    }
    const { authorization } = request.headers;
    if (authorization === undefined) return answer({ ok: false, error: "not_authed" });
    if (authorization !== `Bearer ${TOKEN}`) return answer({ ok: false, error: "invalid_auth" });
    const body = JSON.parse(Buffer.concat(chunks).toString());
    received.push({ body });
    if (refuse.error !== undefined) return answer({ ok: false, ...refuse });
    if (body.channel === "CNOWHERE") return answer({ ok: false, error: "channel_not_found" });
    if (typeof body.text !== "string") return answer({ ok: false, error: "no_text" });
    answer({
      ok: true,
      channel: body.channel === "#general" ? "C0GENERAL" : body.channel,
      ts: "1503435956.000247",
      message: { text: body.text, bot_id: "B123ABC456", type: "message", ts: "1503435956.000247" },
    });
  };
  const { origin } = await serve(listener);
  return { received, connector: slackConnector(`${origin}/api/`) };
}

describe("the slack block", () => {
  it("posts as Slack asks for and gives what it answers", async () => {
    const { connector, received } = await slackStandIn();
    expect(await runBlock(connector, { ...params, channel: "#general" })).toEqual({
      ok: true,
      ts: "1503435956.000247",
      channel: "C0GENERAL",
    });
    expect(received[0]?.body).toEqual({
      channel: "#general",
      text: "Hello *you*",
      client_msg_id: expect.stringMatching(
        /^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
      ),
    });
  });

  it("answers in a thread", async () => {
    const { connector, received } = await slackStandIn();
    await runBlock(connector, { ...params, threadTs: "1503435956.000247" });
    expect(received[0]?.body).toMatchObject({ thread_ts: "1503435956.000247" });
  });

  it("sends the same message id on every attempt of a block, another for another block", async () => {
    const { connector, received } = await slackStandIn();
    await runBlock(connector, params, { attempt: 1 });
    await runBlock(connector, params, { attempt: 2 });
    await runBlock(connector, params, { idempotencyKey: "run:other" });
    const [first, second, third] = received.map(({ body }) => body.client_msg_id);
    expect(second).toBe(first);
    expect(third).not.toBe(first);
  });

  it.each([
    ["channel_not_found", false, /check the channel/],
    ["not_in_channel", false, /invite the app/],
    ["is_archived", false, /not archived/],
    ["msg_too_long", false, /shorter text/],
    ["account_inactive", false, /SLACK_BOT_TOKEN/],
    ["duplicate_message_not_found", false, /duplicate_message_not_found/],
    ["ratelimited", true, /ratelimited/],
    ["internal_error", true, /internal_error/],
    ["service_unavailable", true, /service_unavailable/],
  ])("fails with slack_%s, retryable: %s", async (error, isRetryable, message) => {
    const { connector } = await slackStandIn({ error });
    expect(await blockFailure(connector, params)).toMatchObject({
      code: `slack_${error}`,
      isRetryable,
      message: expect.stringMatching(message),
    });
  });

  it("names the scope that is missing", async () => {
    const { connector } = await slackStandIn({ error: "missing_scope", needed: "chat:write" });
    expect((await blockFailure(connector, params)).message).toContain("chat:write");
  });

  it("does not show an error that is none of Slack's", async () => {
    const { connector } = await slackStandIn({ error: `<b>${TOKEN}</b>` });
    expect(await blockFailure(connector, params)).toMatchObject({ code: "slack_unknown_error" });
  });

  it("tells a wrong token from a missing one and shows neither", async () => {
    const { connector } = await slackStandIn();
    const error = await blockFailure(connector, { ...params, accessToken: "xoxb-wrong" });
    expect(error).toMatchObject({ code: "slack_invalid_auth", isRetryable: false });
    expect(error.message).not.toContain("xoxb-wrong");
    for (const accessToken of ["", "two lines\nof token"]) {
      await expect(runBlock(connector, { ...params, accessToken })).rejects.toThrow(/SLACK_BOT_TOKEN/);
    }
  });

  it("takes a token with a line end after it", async () => {
    const { connector } = await slackStandIn();
    expect(await runBlock(connector, { ...params, accessToken: `${TOKEN}\n` })).toMatchObject({ ok: true });
  });

  it("waits as long as a 429 asks for and tries again after a 5xx", async () => {
    let status = 429;
    const { origin } = await serve((_request, response) => {
      response.writeHead(status, status === 429 ? { "retry-after": "7" } : {}).end("Try later");
    });
    const connector = slackConnector(`${origin}/`);
    expect(await blockFailure(connector, params)).toMatchObject({
      code: "slack_ratelimited",
      isRetryable: true,
      retryAfterMs: 7_000,
    });
    status = 503;
    expect(await blockFailure(connector, params)).toMatchObject({ code: "slack_status", isRetryable: true });
  });

  it("fails for what is no answer of Slack, a redirect and a server that is not there", async () => {
    const { origin } = await serve((request, response) => {
      if (request.url?.startsWith("/away") === true) response.writeHead(302, { location: "/" }).end();
      else response.end("<html>");
    });
    expect(await blockFailure(slackConnector(`${origin}/`), params)).toMatchObject({
      code: "slack_bad_answer",
    });
    expect(await blockFailure(slackConnector(`${origin}/away/`), params)).toMatchObject({
      code: "slack_network_error",
    });
    expect(await blockFailure(slackConnector("http://127.0.0.1:9/"), params)).toMatchObject({
      code: "slack_network_error",
      isRetryable: true,
    });
  });

  it("stops when its run is canceled", async () => {
    const { origin } = await serve(() => {});
    const controller = new AbortController();
    const running = runBlock(slackConnector(`${origin}/`), params, { signal: controller.signal });
    controller.abort(new Error("canceled"));
    await expect(running).rejects.toThrow("canceled");
  });
});
