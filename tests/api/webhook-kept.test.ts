import { createHmac } from "node:crypto";
import { beforeEach, describe, expect, it } from "vitest";
import { useClient, useSql, useTestServer } from "../support/server-hooks.js";
import { createWebhook, deliver, deliveriesOf, type Sending } from "../support/webhooks.js";

const hmac = (secret: string, text: string) => createHmac("sha256", secret).update(text).digest("hex");

const MIB = 1_048_576;

const server = useTestServer();
const sql = useSql(server);
const client = useClient(server, beforeEach);

const detailOf = async (id: string, deliveryId: string) =>
  (await client.request("GET", `/api/webhooks/${id}/deliveries/${deliveryId}`)).body;

describe("what is kept of a delivery", () => {
  it("is everything but credentials, which are shown nowhere", async () => {
    const { id, url } = await createWebhook(client, {
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
    const { id, url } = await createWebhook(client, {
      verification: "bearer",
      secret: "a token of the sender",
    });
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

  const form = "application/x-www-form-urlencoded";
  const nested = '{"type":"block_actions","token":"hidden","user":{"access_token":{"a":["hidden"]},"id":1}}';
  const open = '{"type":"block_actions","token":"[redacted]","user":{"access_token":"[redacted]","id":1}}';
  const utf16 = (text: string) => new Uint8Array(Buffer.from(text, "utf16le"));
  it.each<[string, string, string | Uint8Array, string]>([
    ["JSON", "application/json", nested, open],
    [
      "JSON with escapes, spaces and long numbers",
      "application/json",
      String.raw`{ "id": 820982911946154508, "pass\u0077ord" : "hid\"den", "pin":null }`,
      String.raw`{ "id": 820982911946154508, "pass\u0077ord" : "[redacted]", "pin":null }`,
    ],
    ["a form", form, "a=1&card%5Bcvc%5D=hidden&b=x+y", "a=1&card%5Bcvc%5D=[redacted]&b=x+y"],
    [
      "the payload of a form",
      form,
      `payload=${encodeURIComponent(nested)}`,
      `payload=${encodeURIComponent(open)}`,
    ],
    [
      "a field among others",
      form,
      `a=1&data=${encodeURIComponent(nested)}`,
      `a=1&data=${encodeURIComponent(open)}`,
    ],
    ["text", "text/plain", `Sent ${nested}, bye`, `Sent ${open}, bye`],
    ["another charset", "application/json; charset=utf-16le", utf16(nested), open],
  ])("in %s is without credentials, kept so where nobody delivers it again", async (_, type, body, shown) => {
    const { id, url } = await createWebhook(client);
    const sending = {
      body,
      headers: { "content-type": type, "idempotency-key": "k" },
      query: "?token=hidden&a=1",
    };
    const first = await deliver(url, sending);
    await deliver(url, sending);
    const rejecting = await createWebhook(client, { verification: "github" });
    expect((await deliver(rejecting.url, sending)).status).toBe(401);
    const [duplicate] = await deliveriesOf(client, id);
    const [rejected] = await deliveriesOf(client, rejecting.id);
    expect([duplicate.verdict, rejected.verdict]).toEqual(["duplicate", "rejected"]);
    for (const { webhookId, id: deliveryId } of [
      { webhookId: id, id: first.body.deliveryId },
      duplicate,
      rejected,
    ]) {
      const detail = await detailOf(webhookId, deliveryId);
      expect([detail.body, detail.isBodyTruncated]).toEqual([shown, false]);
      expect(detail.query).toEqual({ token: "[redacted]", a: "1" });
    }
    const rows = await sql`
      select convert_from(body, 'UTF8') as body, query from webhook_deliveries
      where id in ${sql([duplicate.id, rejected.id])}`;
    expect(rows).toHaveLength(2);
    for (const row of rows) expect(row).toEqual({ body: shown, query: { token: "[redacted]", a: "1" } });
  });
});

describe("what a webhook keeps", () => {
  /** Deliveries of a verdict as they would have come in before, the `reason` of the newest is 1. */
  const fill = (id: string, verdict: string, count: number, bodyBytes = 1) => sql`
    insert into webhook_deliveries (id, organization_id, webhook_id, verdict, reason, holds_key, headers, query, body,
      body_bytes, created_at)
    select gen_random_uuid(), ${client.session.organizationId}, ${id}, ${verdict}, place::text, false, '{}', '{}',
      convert_to(repeat('x', ${bodyBytes}), 'UTF8'), ${bodyBytes}, now() - make_interval(secs => place)
    from generate_series(1, ${count}) as place`;
  /** How many there are, and the oldest of those that were filled in. */
  const countOf = async (id: string, verdict: string) => {
    const [row] = await sql`
      select count(*)::int, max(substring(reason from '^[0-9]+$')::int) as oldest
      from webhook_deliveries where webhook_id = ${id} and verdict = ${verdict}`;
    return [row?.count, row?.oldest];
  };

  it("are about 1,000 filtered, duplicate and failed deliveries each, and about 100 rejected ones", async () => {
    const { id, url } = await createWebhook(client, {
      filter: "request.body.amount > 1",
      rateLimitPerMinute: 60_000,
    });
    const sendings: Record<string, Sending> = {
      filtered: { body: { amount: 1 } },
      failed: { body: { amount: "many" } },
      duplicate: { body: { amount: 2 }, headers: { "idempotency-key": "k" } },
      rejected: { body: "{" },
    };
    await deliver(url, sendings.duplicate);
    for (const [verdict, sending] of Object.entries(sendings)) {
      const most = verdict === "rejected" ? 100 : 1_000;
      await fill(id, verdict, most + 200);
      await deliver(url, sending);
      expect([verdict, ...(await countOf(id, verdict))]).toEqual([verdict, most, most - 1]);
      await Promise.all(Array.from({ length: 60 }, () => deliver(url, sending)));
      const [count, oldest] = await countOf(id, verdict);
      expect(count).toBeGreaterThanOrEqual(most);
      expect(count).toBeLessThanOrEqual(most * 1.05);
      expect(oldest).toBeLessThan(most - 1);
    }
    expect(await countOf(id, "accepted")).toEqual([1, null]);
  });

  it("have bodies of about 64 MiB for each verdict, so that strangers cannot fill the disk", async () => {
    const { id, url } = await createWebhook(client, { filter: "request.body.wanted" });
    await fill(id, "filtered", 80, MIB);
    await fill(id, "failed", 80, MIB);
    await deliver(url, { body: {} });
    expect(await countOf(id, "filtered")).toEqual([64, 63]);
    expect(await countOf(id, "failed")).toEqual([80, 80]);
    const large = { body: { text: "x".repeat(1_000_000) } };
    for (let index = 0; index < 8; index += 1) await deliver(url, large);
    const [count] = await countOf(id, "filtered");
    expect(count).toBeLessThanOrEqual(64 + 5);
    const [newest] = await deliveriesOf(client, id, "&verdict=filtered");
    const again = await client.request("POST", `/api/webhooks/${id}/deliveries/${newest.id}/redeliver`);
    expect(again.status).toBe(202);
  });

  it("is nothing for an address that is no webhook", async () => {
    const before = await sql`select count(*)::int as count from webhook_deliveries`;
    await deliver(`${server.url}/hooks/whk_${"0".repeat(32)}`, { body: {} });
    expect(await sql`select count(*)::int as count from webhook_deliveries`).toEqual(before);
  });
});
