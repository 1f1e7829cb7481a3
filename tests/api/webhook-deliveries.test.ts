import { createHmac } from "node:crypto";
import { gzipSync } from "node:zlib";
import { sign } from "@octokit/webhooks-methods";
import postgres from "postgres";
import { Webhook } from "standardwebhooks";
import Stripe from "stripe";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { newClient, type TestClient, waitFor } from "../support/client.js";
import { startTestServer, type TestServer } from "../support/server.js";
import {
  createWebhook,
  deliver,
  deliveriesOf,
  inputOf,
  type Sending,
  webhookRuns,
} from "../support/webhooks.js";
import { connect, createWorkflow, edit, transform, trigger } from "../support/workflows.js";

let server: TestServer;
let client: TestClient;
let workflowId: string;
let sql: postgres.Sql;
/** How far the server's clock is ahead of the real one. */
let aheadMs = 0;
const now = () => new Date(Date.now() + aheadMs);

const greeting = {
  blocks: [trigger, transform("greet", "Hello {{trigger.name}}")],
  connections: connect("start>greet"),
};
const MIB = 1_048_576;
const hmac = (secret: string, text: string) => createHmac("sha256", secret).update(text).digest("hex");

beforeAll(async () => {
  server = await startTestServer({ now });
  sql = postgres(server.databaseUrl, { max: 1, onnotice: () => {} });
});
afterAll(async () => {
  await sql.end();
  await server.close();
});

beforeEach(async () => {
  aheadMs = 0;
  client = await newClient(server.url);
  workflowId = await createWorkflow(client, greeting);
});

const hook = (body: Readonly<Record<string, unknown>> = {}) => createWebhook(client, { workflowId, ...body });
const detailOf = async (id: string, deliveryId: string) =>
  (await client.request("GET", `/api/webhooks/${id}/deliveries/${deliveryId}`)).body;
const redeliver = (id: string, deliveryId: string) =>
  client.request("POST", `/api/webhooks/${id}/deliveries/${deliveryId}/redeliver`);
const nowSeconds = () => Math.floor(now().getTime() / 1_000);

describe("a delivery that is signed by the sender's own library", () => {
  const senders: Record<
    string,
    { secret: string; send: (secret: string, body: string) => Promise<Sending> }
  > = {
    standard_webhooks: {
      secret: "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
      send: async (secret, body) => ({
        body,
        headers: {
          "webhook-id": "msg_1",
          "webhook-timestamp": String(nowSeconds()),
          "webhook-signature": new Webhook(secret).sign("msg_1", now(), body),
        },
      }),
    },
    stripe: {
      secret: "whsec_secret_of_stripe",
      send: async (secret, payload) => ({
        body: payload,
        headers: {
          "stripe-signature": new Stripe("sk_test_unused").webhooks.generateTestHeaderString({
            payload,
            secret,
            timestamp: nowSeconds(),
          }),
        },
      }),
    },
    github: {
      secret: "It's a Secret to Everybody",
      send: async (secret, body) => ({
        body,
        headers: { "x-hub-signature-256": await sign(secret, body), "x-github-delivery": "72d3162e" },
      }),
    },
    slack: {
      secret: "8f742231b10e8888abcd99yyyzzz85a5",
      send: async (secret, body) => ({
        body,
        headers: {
          "x-slack-request-timestamp": String(nowSeconds()),
          "x-slack-signature": `v0=${hmac(secret, `v0:${nowSeconds()}:${body}`)}`,
        },
      }),
    },
  };
  const body = JSON.stringify({ id: "evt_1", event_id: "Ev1", name: "Größe" });

  it.each(Object.entries(senders))(
    "of %s starts one run; tampered, late or with another secret it starts none",
    async (type, { secret, send }) => {
      const { id, url } = await hook({ verification: type, secret });
      const good = await send(secret, body);
      const first = await deliver(url, good);
      expect([first.status, first.body]).toEqual([
        202,
        { runId: expect.any(String), deliveryId: expect.any(String) },
      ]);
      expect(first.headers.get("x-request-id")).toMatch(/^[\w-]{36}$/);
      expect(await inputOf(client, first.body.runId)).toEqual(JSON.parse(body));

      const again = await deliver(url, good);
      expect([again.status, again.body]).toEqual([
        200,
        { runId: first.body.runId, deliveryId: expect.any(String), duplicate: true },
      ]);

      const refusals = [
        await deliver(url, { ...good, body: body.replace("Größe", "Grösse") }),
        await deliver(url, await send(secret.replace(/.(?=.{6}$)/, "A"), body)),
        await deliver(url, { body }),
      ];
      for (const { status, body: refusal } of refusals) {
        expect(status).toBe(401);
        expect(refusal).toEqual({ error: "unauthorized", message: "The delivery could not be verified." });
      }
      if (type !== "github") {
        aheadMs = 302_000;
        expect((await deliver(url, good)).status).toBe(401);
      }
      expect(await webhookRuns(client)).toMatchObject([
        {
          id: first.body.runId,
          workflowVersion: 1,
          trigger: { kind: "webhook", hookId: id, deliveryId: first.body.deliveryId },
        },
      ]);
      const verdicts = (await deliveriesOf(client, id)).map(({ verdict }: { verdict: string }) => verdict);
      expect(verdicts.slice(-5)).toEqual(["rejected", "rejected", "rejected", "duplicate", "accepted"]);
    },
  );

  it("of Slack that asks for the address is answered with its challenge and starts no run", async () => {
    const { secret, send } = senders.slack ?? { secret: "", send: async () => ({}) };
    const { id, url } = await hook({ verification: "slack", secret });
    const asked = JSON.stringify({ type: "url_verification", challenge: "3eZbrw1aBm2rZgRNFdxV", token: "x" });
    const answer = await deliver(url, await send(secret, asked));
    expect([answer.status, answer.body]).toEqual([200, { challenge: "3eZbrw1aBm2rZgRNFdxV" }]);
    expect((await deliver(url, { body: asked })).status).toBe(401);
    expect(await webhookRuns(client)).toEqual([]);
    expect(await deliveriesOf(client, id)).toMatchObject([{ verdict: "rejected" }, { verdict: "filtered" }]);
  });
});

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
    const { url } = await hook();
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
    const { url } = await hook();
    const { status, body } = await deliver(url, sending);
    expect([status, body.error, body.issues?.[0].path]).toEqual([400, "invalid_body", ["body"]]);
    expect(await webhookRuns(client)).toEqual([]);
  });

  it("of 1 MiB is taken, and above it payload_too_large", async () => {
    const { id, url } = await hook();
    const sized = (bytes: number) => ({ body: `"${"x".repeat(bytes - 2)}"`, headers: json });
    expect((await deliver(url, sized(MIB))).status).toBe(202);
    const { status, body } = await deliver(url, sized(MIB + 1));
    expect([status, body.error, body.limitBytes]).toEqual([413, "payload_too_large", MIB]);
    expect(await deliveriesOf(client, id)).toMatchObject([
      { verdict: "rejected", reason: "The body is larger than 1 MiB." },
      { verdict: "accepted", bodyBytes: MIB },
    ]);
  });

  it("in the query too is looked at", async () => {
    const { url } = await hook();
    expect((await deliver(url, { query: "?a=%00" })).body).toMatchObject({
      error: "invalid_body",
      issues: [{ path: ["query"] }],
    });
    expect((await deliver(url, { query: "?a=%ff&b" })).status).toBe(202);
  });
});

describe("input mapping and filter", () => {
  it("see body, headers and query of the request, but no credentials", async () => {
    const { url } = await hook({
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
    const { url } = await hook({ inputMapping: "{{request.body.data}}" });
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
    const { id, url } = await hook({
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
    const { id, url } = await hook({ filter: "request.body.amount > 5", deliveryKey: "{{request.body.id}}" });
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

  it("that would bring in too much are delivery_failed", async () => {
    const { url } = await hook({ inputMapping: { all: Array(6).fill("{{request.body}}") } });
    expect(
      (await deliver(url, { body: "x".repeat(900_000), headers: { "content-type": "text/plain" } })).body
        .error,
    ).toBe("delivery_failed");
    const keyed = await hook({ deliveryKey: "{{request.body}}".repeat(6) });
    const { status } = await deliver(keyed.url, {
      body: "x".repeat(900_000),
      headers: { "content-type": "text/plain" },
    });
    expect(status).toBe(422);
  });
});

describe("deliveries with the same key", () => {
  it("start one run however many come at once", async () => {
    const { id, url } = await hook();
    const sending = { body: { name: "Ada" }, headers: { "idempotency-key": "one" } };
    const answers = await Promise.all(Array.from({ length: 50 }, () => deliver(url, sending)));
    expect(answers.map(({ status }) => status).sort()).toEqual([...Array(49).fill(200), 202]);
    expect(new Set(answers.map(({ body }) => body.runId)).size).toBe(1);
    expect(await webhookRuns(client)).toHaveLength(1);
    const [row] = await sql`
      select count(*)::int from openworkflow.workflow_runs
      where input::jsonb->>'organizationId' = ${client.session.organizationId}`;
    expect(row?.count).toBe(1);
    const rows = await deliveriesOf(client, id);
    const first = rows.find(({ verdict }: { verdict: string }) => verdict === "accepted");
    const others = rows.filter(({ verdict }: { verdict: string }) => verdict === "duplicate");
    expect(others).toHaveLength(49);
    for (const row of others) expect(row).toMatchObject({ repeats: first.id, runId: first.runId });
  });

  it("are told by the key of the webhook, by a number too, and never across webhooks", async () => {
    const [one, two] = [
      await hook({ deliveryKey: "{{request.body.event.id}}" }),
      await hook({ deliveryKey: "{{request.body.event.id}}" }),
    ];
    const send = (url: string, id: unknown) => deliver(url, { body: { event: { id } } });
    expect((await send(one.url, 7)).status).toBe(202);
    expect((await send(one.url, "7")).status).toBe(200);
    expect((await send(two.url, 7)).status).toBe(202);
    const long = "x".repeat(10_000);
    expect((await send(one.url, long)).status).toBe(202);
    expect((await send(one.url, long)).status).toBe(200);
    for (const none of [null, "", undefined, {}, true]) {
      expect((await send(one.url, none)).status).toBe(202);
      expect((await send(one.url, none)).status).toBe(202);
    }
  });

  it("count only once a run was started: what failed or was filtered may come again", async () => {
    const empty = await createWorkflow(client);
    const { id, url } = await hook({ workflowId: empty, filter: "request.body.wanted" });
    const send = (wanted: boolean) => deliver(url, { body: { wanted }, headers: { "idempotency-key": "k" } });
    expect((await send(false)).body.filtered).toBe(true);
    expect((await send(true)).body.error).toBe("delivery_failed");
    await edit(client, empty, [{ operation_type: "add", block_id: "start", type: "trigger_webhook" }]);
    expect((await send(true)).status).toBe(202);
    expect((await send(true)).body.duplicate).toBe(true);
    expect(await deliveriesOf(client, id)).toMatchObject([
      { verdict: "duplicate" },
      { verdict: "accepted" },
      { verdict: "failed", reason: "The workflow has no enabled block, so there is nothing to run." },
      { verdict: "filtered" },
    ]);
  });
});

describe("a rotated secret", () => {
  const send = async (url: string, secret: string, body = "{}") =>
    (await deliver(url, { body, headers: { "x-hub-signature-256": await sign(secret, body) } })).status;
  const rotate = (id: string, body?: unknown) =>
    client.request("POST", `/api/webhooks/${id}/rotate-secret`, body);

  it("works at once, the one before until the overlap ends, the one before that no more", async () => {
    const { id, url, secret: first } = await hook({ verification: "github" });
    const { status, headers, body } = await rotate(id, { overlapSeconds: 60 });
    expect([status, headers.get("etag"), body.version]).toEqual([200, '"2"', 2]);
    expect(body.secret).not.toBe(first);
    expect(Date.parse(body.previousSecretEndsAt)).toBe(Date.parse(body.updatedAt) + 60_000);
    expect([await send(url, first), await send(url, body.secret)]).toEqual([202, 202]);
    aheadMs = 40_000;
    expect(await send(url, first)).toBe(202);
    aheadMs = 60_000;
    expect([await send(url, first), await send(url, body.secret)]).toEqual([401, 202]);
    expect((await client.request("GET", `/api/webhooks/${id}`)).body.previousSecretEndsAt).toBeNull();

    const third = (await rotate(id, { secret: "a third secret", overlapSeconds: 60 })).body;
    expect(third.secret).toBeNull();
    await rotate(id, { secret: "a fourth secret", overlapSeconds: 60 });
    expect([
      await send(url, body.secret),
      await send(url, "a third secret"),
      await send(url, "a fourth secret"),
    ]).toEqual([401, 202, 202]);
    await rotate(id, { secret: "the last secret", overlapSeconds: 0 });
    expect([await send(url, "a fourth secret"), await send(url, "the last secret")]).toEqual([401, 202]);
  });

  it("is refused where there is none, and when it cannot be one", async () => {
    const { id } = await hook();
    expect((await rotate(id)).body.error).toBe("conflict");
    const standard = await hook({ verification: "standard_webhooks" });
    expect((await rotate(standard.id, { secret: "no base64" })).body.issues[0].path).toEqual(["secret"]);
    expect((await rotate(standard.id, { overlapSeconds: -1 })).body.error).toBe("invalid_body");
  });

  it("is sealed anew when the server starts with another first key, and works without the older one", async () => {
    const { id, url, secret } = await hook({ verification: "github" });
    await rotate(id, { secret: "the second secret" });
    const key = { id: "next", key: Buffer.alloc(32, 7).toString("base64") };
    const config = { secretsKeys: [key] };
    const keyIds = async () => {
      const [row] = await sql`
        select secret->>'keyId' as now, previous_secret->>'keyId' as before from webhooks where id = ${id}`;
      return [row?.now, row?.before];
    };
    const other = await startTestServer({ databaseUrl: server.databaseUrl, config, now });
    await waitFor(keyIds, (found) => found.every((keyId) => keyId === "next"));
    const address = url.replace(server.url, other.url);
    expect([await send(address, secret), await send(address, "the second secret")]).toEqual([202, 202]);
    await other.close();
  });

  it("is nowhere in the database as it is", async () => {
    const secret = "canary-secret-of-a-webhook";
    const { id } = await hook({ verification: "github", secret });
    await rotate(id, { secret: `${secret}-2` });
    const [row] = await sql`select to_jsonb(webhooks)::text as text from webhooks where id = ${id}`;
    for (const text of [
      secret,
      Buffer.from(secret).toString("base64").slice(0, 20),
      Buffer.from(secret).toString("hex"),
    ]) {
      expect(row?.text).not.toContain(text);
    }
  });
});

describe("what is kept of a delivery", () => {
  it("is everything but credentials, which are shown nowhere", async () => {
    const { id, url } = await hook({
      verification: { type: "hmac", header: "x-sig" },
      secret: "eight characters",
    });
    const text = JSON.stringify({ name: "Ada", password: "pa55", list: [{ api_key: "k3y", token: null }] });
    const { body } = await deliver(url, {
      body: text,
      headers: {
        "content-type": "application/json",
        "x-sig": hmac("eight characters", text),
        authorization: "Bearer hidden",
        cookie: "a=hidden",
        "x-event": "push",
      },
      query: "?page=2&token=hidden",
    });
    const detail = await detailOf(id, body.deliveryId);
    expect(detail).toMatchObject({
      id: body.deliveryId,
      webhookId: id,
      verdict: "accepted",
      reason: null,
      deliveryKey: null,
      repeats: null,
      runId: body.runId,
      contentType: "application/json",
      bodyBytes: Buffer.byteLength(text),
      remoteAddress: expect.stringContaining("127.0.0.1"),
      query: { page: "2", token: "[redacted]" },
      body: '{"name":"Ada","password":"[redacted]","list":[{"api_key":"[redacted]","token":null}]}',
      isBodyTruncated: false,
    });
    expect(detail.headers).toMatchObject({
      "x-event": "push",
      "x-sig": "[redacted]",
      authorization: "[redacted]",
      cookie: "[redacted]",
    });
  });

  it("is cut for display, and for good where it cannot be delivered again", async () => {
    const { id, url } = await hook({ verification: "bearer", secret: "a token of the sender" });
    const sending = { body: "x".repeat(200_000), headers: { "content-type": "text/plain" } };
    const rejected = await deliver(url, sending);
    expect(rejected.status).toBe(401);
    const accepted = await deliver(url, {
      ...sending,
      headers: { ...sending.headers, authorization: "Bearer a token of the sender" },
    });
    const shown = await detailOf(id, accepted.body.deliveryId);
    expect([shown.body.length, shown.isBodyTruncated, shown.bodyBytes]).toEqual([65_536, true, 200_000]);
    const [, first] = await deliveriesOf(client, id);
    const cut = await detailOf(id, first.id);
    expect([cut.verdict, cut.body.length, cut.isBodyTruncated, cut.bodyBytes]).toEqual([
      "rejected",
      4_096,
      true,
      200_000,
    ]);
  });

  it("of rejected ones is no more than the newest 100, and of unknown addresses nothing", async () => {
    const { id, url } = await hook({ verification: "github", rateLimitPerMinute: 60_000 });
    for (let round = 0; round < 13; round += 1) {
      await Promise.all(Array.from({ length: 10 }, () => deliver(url, { body: { round } })));
    }
    const rows =
      await sql`select body from webhook_deliveries where webhook_id = ${id} order by created_at desc`;
    expect(rows.length).toBeGreaterThanOrEqual(100);
    expect(rows.length).toBeLessThanOrEqual(109);
    await deliver(url, { body: { round: 99 } });
    expect(await sql`select from webhook_deliveries where webhook_id = ${id}`).toHaveLength(100);
    const before = await sql`select count(*)::int as count from webhook_deliveries`;
    await deliver(`${server.url}/hooks/whk_${"0".repeat(32)}`, { body: {} });
    expect(await sql`select count(*)::int as count from webhook_deliveries`).toEqual(before);
  });
});

describe("delivering again", () => {
  it("starts a new run from what was sent, with the settings of now, and says which it repeats", async () => {
    const { id, url } = await hook();
    const sending = {
      body: { name: "Ada" },
      headers: { "idempotency-key": "k", "x-event": "push" },
      query: "?a=1",
    };
    const first = await deliver(url, sending);
    await client.request("PATCH", `/api/webhooks/${id}`, {
      inputMapping: {
        all: "{{request.body}}",
        event: "{{request.headers.x-event}}",
        a: "{{request.query.a}}",
      },
      filter: "request.body.never",
    });
    const { status, headers, body } = await redeliver(id, first.body.deliveryId);
    expect([status, headers.get("location")]).toEqual([202, `/api/runs/${body.runId}`]);
    expect(body).toEqual({
      runId: expect.any(String),
      deliveryId: expect.any(String),
      repeats: first.body.deliveryId,
    });
    expect(body.runId).not.toBe(first.body.runId);
    expect(await inputOf(client, body.runId)).toEqual({ all: { name: "Ada" }, event: "push", a: "1" });
    const [run] = await webhookRuns(client);
    expect(run.trigger).toEqual({
      kind: "webhook",
      hookId: id,
      deliveryId: body.deliveryId,
      repeats: first.body.deliveryId,
    });
    expect((await deliver(url, sending)).body).toMatchObject({ duplicate: true, runId: first.body.runId });
    expect((await redeliver(id, body.deliveryId)).status).toBe(202);
  });

  it("of a failed one takes its key, so that the sender's next try starts no second run", async () => {
    const empty = await createWorkflow(client);
    const { id, url } = await hook({ workflowId: empty });
    const sending = { body: {}, headers: { "idempotency-key": "k" } };
    expect((await deliver(url, sending)).status).toBe(422);
    const [failed] = await deliveriesOf(client, id);
    const refused = await redeliver(id, failed.id);
    expect([refused.status, refused.body]).toEqual([
      422,
      {
        error: "delivery_failed",
        message: "The workflow has no enabled block, so there is nothing to run.",
      },
    ]);
    await edit(client, empty, [{ operation_type: "add", block_id: "start", type: "trigger_webhook" }]);
    const races = await Promise.all(Array.from({ length: 5 }, () => redeliver(id, failed.id)));
    expect(races.map(({ status }) => status).sort()).toEqual([202, 409, 409, 409, 409]);
    const { runId } = races.find(({ status }) => status === 202)?.body ?? {};
    expect((await deliver(url, sending)).body).toMatchObject({ duplicate: true, runId });
    expect(await webhookRuns(client)).toHaveLength(1);
  });

  it("is a conflict for what was rejected or a duplicate, and fails without the workflow", async () => {
    const { id, url } = await hook();
    const sending = { body: {}, headers: { "idempotency-key": "k" } };
    const first = await deliver(url, sending);
    await deliver(url, sending);
    await deliver(url, { body: "{", headers: { "content-type": "application/json" } });
    const [rejected, duplicate] = await deliveriesOf(client, id);
    for (const { id: deliveryId } of [rejected, duplicate]) {
      expect((await redeliver(id, deliveryId)).body.error).toBe("conflict");
    }
    expect((await redeliver(id, duplicate.id)).body.message).toContain(first.body.deliveryId);
    await client.request("DELETE", `/api/workflows/${workflowId}`);
    const { body } = await redeliver(id, first.body.deliveryId);
    expect([body.error, body.message]).toEqual([
      "delivery_failed",
      expect.stringContaining("not there any more"),
    ]);
  });
});

describe("a webhook with a version of its own", () => {
  it("runs that version, others the newest", async () => {
    await edit(client, workflowId, [{ operation_type: "update", block_id: "greet", name: "Greet" }]);
    const [pinned, newest] = [await hook({ workflowVersion: 1 }), await hook()];
    await deliver(pinned.url, { body: {} });
    await deliver(newest.url, { body: {} });
    expect(
      (await webhookRuns(client)).map((run: { workflowVersion: number }) => run.workflowVersion),
    ).toEqual([2, 1]);
  });
});

describe("the rate limit of a webhook", () => {
  it("refuses what is above it with Retry-After, stores none of it and leaves other webhooks alone", async () => {
    const { id, url } = await hook({ rateLimitPerMinute: 3 });
    const other = await hook();
    const answers = [];
    for (let index = 0; index < 5; index += 1) answers.push(await deliver(url, { body: {} }));
    expect(answers.map(({ status }) => status)).toEqual([202, 202, 202, 429, 429]);
    const [, , , limited] = answers;
    expect(limited?.body).toEqual({
      error: "rate_limited",
      message: "Too many deliveries to this webhook.",
      retryAfterMs: expect.any(Number),
    });
    expect(Number(limited?.headers.get("retry-after"))).toBe(Math.ceil(limited?.body.retryAfterMs / 1_000));
    expect(await deliveriesOf(client, id)).toHaveLength(3);
    expect((await deliver(other.url, { body: {} })).status).toBe(202);
  });
});

describe("a dispatch that the database refuses", () => {
  it("is dispatch_failed, kept as failed, and can be delivered again", async () => {
    const { id, url } = await hook();
    await sql.unsafe(`
      create function refuse_run() returns trigger language plpgsql as $$ begin raise 'internal'; end $$;
      create trigger refuse_run before insert on openworkflow.workflow_runs for each row execute function refuse_run();`);
    const refused = await deliver(url, { body: { name: "Ada" }, headers: { "idempotency-key": "k" } });
    const [failed] = await deliveriesOf(client, id);
    const again = await redeliver(id, failed.id);
    await sql.unsafe("drop function refuse_run() cascade");
    expect([refused.status, refused.body.error]).toEqual([500, "dispatch_failed"]);
    expect([again.status, again.body.error]).toEqual([500, "dispatch_failed"]);
    expect(await webhookRuns(client)).toEqual([]);
    expect(failed).toMatchObject({ verdict: "failed", reason: "The engine did not take the run." });
    expect((await redeliver(id, failed.id)).status).toBe(202);
  });
});
