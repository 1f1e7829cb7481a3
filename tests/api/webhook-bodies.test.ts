import { gzipSync } from "node:zlib";
import { beforeEach, describe, expect, it } from "vitest";
import { useClient, useTestServer } from "../support/server-hooks.js";
import {
  createWebhook,
  deliver,
  deliveriesOf,
  inputOf,
  type Sending,
  webhookRuns,
} from "../support/webhooks.js";

const MIB = 1_048_576;

const client = useClient(useTestServer(), beforeEach);

describe("the body of a delivery", () => {
  const form = { "content-type": "application/x-www-form-urlencoded" };
  const text = { "content-type": "text/plain; charset=utf-8" };

  it.each<[string, Sending, unknown]>([
    ["a JSON object", { body: { a: [1, null] } }, { a: [1, null] }],
    ["a JSON array", { body: [1, 2] }, { body: [1, 2] }],
    ["a JSON text", { body: '"Ada"', headers: { "content-type": "application/json" } }, { body: "Ada" }],
    [
      "JSON of a type of its own",
      { body: '{"a":1}', headers: { "content-type": "application/cloudevents+json; charset=UTF-8" } },
      { a: 1 },
    ],
    ["nothing", {}, {}],
    [
      "a form",
      { body: "a=1&b=x%20y&b=z&__proto__=p", headers: form },
      JSON.parse('{"a":"1","b":["x y","z"],"__proto__":"p"}'),
    ],
    [
      "a form with JSON in payload",
      { body: `payload=${encodeURIComponent('{"a":1}')}`, headers: form },
      { a: 1 },
    ],
    ["text", { body: "Hello", headers: text }, { body: "Hello" }],
    ["XML", { body: "<a/>", headers: { "content-type": "application/xml" } }, { body: "<a/>" }],
    [
      "text in Latin-1",
      { body: new Uint8Array([0x47, 0x72, 0xfc]), headers: { "content-type": "text/plain; charset=latin1" } },
      { body: "Grü" },
    ],
    [
      "compressed JSON",
      {
        body: gzipSync('{"a":1}'),
        headers: { "content-type": "application/json", "content-encoding": "gzip" },
      },
      { a: 1 },
    ],
  ])("that is %s becomes the input", async (_, sending, input) => {
    const { url } = await createWebhook(client);
    const { status, body } = await deliver(url, sending);
    expect(status).toBe(202);
    expect(await inputOf(client, body.runId)).toEqual(input);
  });

  const json = { "content-type": "application/json" };
  it.each<[string, Sending]>([
    ["not JSON", { body: "{", headers: json }],
    ["not JSON without a content type", { body: new Uint8Array([0x7b]) }],
    ["NUL in a text", { body: String.raw`{"a":"\u0000"}`, headers: json }],
    ["half a surrogate pair in a key", { body: String.raw`{"\ud800":1}`, headers: json }],
    ["too deep", { body: "[".repeat(10_000) + "]".repeat(10_000), headers: json }],
    ["not UTF-8", { body: new Uint8Array([0xff]), headers: text }],
    ["of an unknown charset", { body: "a", headers: { "content-type": "text/plain; charset=nonsense" } }],
    ["a form whose payload is not JSON", { body: "payload=x", headers: form }],
    ["of an unknown content encoding", { body: "{}", headers: { ...json, "content-encoding": "nonsense" } }],
    ["not what its content encoding says", { body: "{}", headers: { ...json, "content-encoding": "gzip" } }],
  ])("that is %s is invalid_body", async (_, sending) => {
    const { url } = await createWebhook(client);
    const { status, body } = await deliver(url, sending);
    expect([status, body.error, body.issues?.[0].path]).toEqual([400, "invalid_body", ["body"]]);
    expect(await webhookRuns(client)).toEqual([]);
  });

  it("of 1 MiB is taken, and above it payload_too_large", async () => {
    const { id, url } = await createWebhook(client);
    const sized = (bytes: number) => ({ body: `{"a":"${"x".repeat(bytes - 8)}"}`, headers: json });
    expect((await deliver(url, sized(MIB))).status).toBe(202);
    const { status, body } = await deliver(url, sized(MIB + 1));
    expect([status, body.error, body.limitBytes]).toEqual([413, "payload_too_large", MIB]);
    expect(await deliveriesOf(client, id)).toMatchObject([
      { verdict: "rejected", reason: "The body is larger than 1 MiB." },
      { verdict: "accepted", bodyBytes: MIB },
    ]);
  });

  it("in the query too is looked at", async () => {
    const { url } = await createWebhook(client);
    expect((await deliver(url, { query: "?a=%00" })).body).toMatchObject({
      error: "invalid_body",
      issues: [{ path: ["query"] }],
    });
    expect((await deliver(url, { query: "?a=%ff&b" })).status).toBe(202);
  });
});

describe("input mapping and filter", () => {
  it("see body, headers and query of the request, but no credentials", async () => {
    const { url } = await createWebhook(client, {
      verification: "bearer",
      secret: "a token of the sender",
      inputMapping: {
        user: "{{request.body.user}}",
        text: "{{request.headers.x-event}}/{{request.query.page}}",
        secrets: ["{{request.headers.authorization}}", "{{request.headers.cookie}}"],
        missing: "{{request.body.nothing}}",
        fixed: 1,
      },
    });
    const { body } = await deliver(url, {
      body: { user: { name: "{{request.body.x}}" } },
      headers: { authorization: "Bearer a token of the sender", cookie: "a=b", "x-event": "push" },
      query: "?page=2",
    });
    expect(await inputOf(client, body.runId)).toEqual({
      user: { name: "{{request.body.x}}" },
      text: "push/2",
      secrets: ["[redacted]", "[redacted]"],
      missing: null,
      fixed: 1,
    });
  });

  it("mapped to one value keep its type", async () => {
    const { url } = await createWebhook(client, { inputMapping: "{{request.body.data}}" });
    for (const [data, input] of [
      [{ a: 1 }, { a: 1 }],
      [[1], { body: [1] }],
      [undefined, {}],
    ]) {
      const { body } = await deliver(url, { body: { data } });
      expect(await inputOf(client, body.runId)).toEqual(input);
    }
  });

  it("let only those deliveries start a run for which the filter holds", async () => {
    const { id, url } = await createWebhook(client, {
      filter:
        'request.body.type = "order.paid" and request.headers.`x-shop` = "a" and request.body.amount > 5',
    });
    const send = (type: string, shop: string, amount: number) =>
      deliver(url, { body: { type, amount }, headers: { "x-shop": shop } });
    expect((await send("order.paid", "a", 6)).status).toBe(202);
    for (const filtered of [
      await send("order.paid", "b", 6),
      await send("order.new", "a", 6),
      await send("order.paid", "a", 5),
    ]) {
      expect([filtered.status, filtered.body]).toEqual([
        200,
        { filtered: true, deliveryId: expect.any(String) },
      ]);
    }
    expect(await webhookRuns(client)).toHaveLength(1);
    expect(await deliveriesOf(client, id, "&verdict=filtered")).toHaveLength(3);
  });

  it("that fail on what was sent are delivery_failed, kept with the reason, and told to the owner only", async () => {
    const { id, url } = await createWebhook(client, {
      filter: "request.body.amount > 5",
      deliveryKey: "{{request.body.id}}",
    });
    const { status, body } = await deliver(url, { body: { id: 1, amount: "many" } });
    expect([status, body]).toEqual([
      422,
      {
        error: "delivery_failed",
        message: "The delivery was verified and kept, but no run could be started from it.",
      },
    ]);
    expect(await deliveriesOf(client, id)).toMatchObject([
      { verdict: "failed", deliveryKey: "1", reason: expect.stringContaining("expression") },
    ]);
    expect((await deliver(url, { body: { id: 1, amount: 6 } })).status).toBe(202);
  });

  it("that fail with a NUL character in the reason are kept all the same", async () => {
    const { id, url } = await createWebhook(client, { filter: String.raw`$error("no\u0000thing")` });
    expect((await deliver(url, { body: {} })).body.error).toBe("delivery_failed");
    expect(await deliveriesOf(client, id)).toMatchObject([
      { verdict: "failed", reason: expect.stringContaining("no\ufffdthing") },
    ]);
  });

  it("see no header whose name tells of a credential", async () => {
    const { id, url } = await createWebhook(client, { inputMapping: "{{request.headers}}" });
    const names = [
      "x-gitlab-token",
      "private-token",
      "api-key",
      "set-cookie",
      "x-hook-secret",
      "x-signature",
    ];
    const headers = Object.fromEntries(names.map((name) => [name, "of the sender"]));
    const { body } = await deliver(url, { body: {}, headers: { ...headers, "x-event": "push" } });
    const redacted = Object.fromEntries(names.map((name) => [name, "[redacted]"]));
    expect(await inputOf(client, body.runId)).toMatchObject({ ...redacted, "x-event": "push" });
    const shown = await client.request("GET", `/api/webhooks/${id}/deliveries/${body.deliveryId}`);
    expect(shown.body.headers).toMatchObject({ ...redacted, "x-event": "push" });
  });

  it("start no run whose input is too large: the sender's fault as it came, the owner's by the mapping", async () => {
    const plain = { "content-type": "text/plain" };
    const whole = await createWebhook(client);
    const sent = await deliver(whole.url, { body: "x".repeat(1_048_570), headers: plain });
    expect([sent.status, sent.body.error]).toEqual([413, "payload_too_large"]);
    const all = "{{request.body}}";
    const mapped = await createWebhook(client, { inputMapping: { a: all, b: all, c: all, d: all } });
    const made = await deliver(mapped.url, { body: "x".repeat(900_000), headers: plain });
    expect([made.status, made.body.error]).toEqual([422, "delivery_failed"]);
    for (const { id } of [whole, mapped]) {
      expect(await deliveriesOf(client, id)).toMatchObject([
        {
          verdict: "failed",
          runId: null,
          reason: expect.stringMatching(/has \d+ bytes as JSON; 1048576 are/),
        },
      ]);
    }
    expect(await webhookRuns(client)).toEqual([]);
    // As it came it is small; JSON writes 1e20 as 21 digits.
    const grown = `{"input":{"numbers":[${Array(60_000).fill("1e20").join()}]}}`;
    const run = await deliver(`${client.url}/api/workflows/${whole.workflowId}/run`, {
      body: grown,
      headers: { "x-api-key": client.key },
    });
    expect([run.status, run.body.error]).toEqual([413, "payload_too_large"]);
  });

  it("that would bring in too much are delivery_failed", async () => {
    const { url } = await createWebhook(client, { inputMapping: { all: Array(6).fill("{{request.body}}") } });
    expect(
      (await deliver(url, { body: "x".repeat(900_000), headers: { "content-type": "text/plain" } })).body
        .error,
    ).toBe("delivery_failed");
    const keyed = await createWebhook(client, { deliveryKey: "{{request.body}}".repeat(6) });
    const { status } = await deliver(keyed.url, {
      body: "x".repeat(900_000),
      headers: { "content-type": "text/plain" },
    });
    expect(status).toBe(422);
  });
});
