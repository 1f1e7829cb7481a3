import { sign } from "@octokit/webhooks-methods";
import { beforeEach, describe, expect, it } from "vitest";
import { useClient, useTestServer } from "../support/server-hooks.js";
import { createWebhook, deliver, deliveriesOf, webhookRuns } from "../support/webhooks.js";

const MIB = 1_048_576;

const server = useTestServer({ config: { trustProxy: 1 } });
const client = useClient(server, beforeEach);

describe("the rate limit of a webhook", () => {
  it("refuses what is above it with Retry-After, stores none of it and leaves other webhooks alone", async () => {
    const { id, url, workflowId } = await createWebhook(client, { rateLimitPerMinute: 3 });
    const other = await createWebhook(client, { workflowId });
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

  it("counts what is too large to be read where nothing is verified", async () => {
    const { url } = await createWebhook(client, { rateLimitPerMinute: 2 });
    const statuses = [];
    for (const bytes of [MIB + 1, 1, 1])
      statuses.push((await deliver(url, { body: "1".repeat(bytes) })).status);
    expect(statuses).toEqual([413, 202, 429]);
  });
});

describe("the rate limit of a webhook that verifies", () => {
  const text = JSON.stringify({ name: "Ada" });
  const create = async (rateLimitPerMinute: number) => {
    const { id, url, secret } = await createWebhook(client, { verification: "github", rateLimitPerMinute });
    const signature = await sign(secret, text);
    const forged = `sha256=${"0".repeat(64)}`;
    const from = (address: string, sent: string, body: string) =>
      deliver(url, { body, headers: { "x-hub-signature-256": sent, "x-forwarded-for": address } });
    return {
      id,
      send: (address: string) => from(address, signature, text),
      forge: (address: string, body = text) => from(address, forged, body),
    };
  };
  const statusesOf = async (requests: Promise<{ status: number }>[]) =>
    (await Promise.all(requests)).map(({ status }) => status);

  it("lets no more through at the same time than one after another", async () => {
    const { forge } = await create(3);
    const statuses = await statusesOf(Array.from({ length: 12 }, () => forge("203.0.113.9")));
    expect(statuses.toSorted()).toEqual([...Array(3).fill(401), ...Array(9).fill(429)]);
  });

  it("is used up by nobody who cannot sign: strangers are limited by their own address", async () => {
    const { id, send, forge } = await create(3);
    const strangers = [];
    for (let index = 0; index < 5; index += 1) strangers.push((await forge("203.0.113.7")).status);
    expect(strangers).toEqual([401, 401, 401, 429, 429]);
    expect((await forge("203.0.113.8")).status).toBe(401);
    const answers = [];
    for (let index = 0; index < 5; index += 1) answers.push(await send("198.51.100.1"));
    expect(answers.map(({ status }) => status)).toEqual([202, 202, 202, 429, 429]);
    const { body, headers } = answers[4] ?? {};
    expect(body).toEqual({
      error: "rate_limited",
      message: "Too many deliveries to this webhook.",
      retryAfterMs: expect.any(Number),
    });
    expect(Number(headers?.get("retry-after"))).toBe(Math.ceil(body.retryAfterMs / 1_000));
    expect(await deliveriesOf(client, id)).toHaveLength(7);
    expect((await forge("203.0.113.9")).status).toBe(429);
  });

  it("lets no more through when they come at once", async () => {
    const { id, send, forge } = await create(5);
    const statuses = await statusesOf(Array.from({ length: 20 }, () => send("198.51.100.1")));
    expect(statuses.sort()).toEqual([...Array(5).fill(202), ...Array(15).fill(429)]);
    expect(await webhookRuns(client)).toHaveLength(5);
    expect(await deliveriesOf(client, id)).toHaveLength(5);
    const other = await create(5);
    await statusesOf(Array.from({ length: 20 }, () => other.forge("203.0.113.7")));
    expect((await other.forge("203.0.113.7")).status).toBe(429);
    expect((await forge("203.0.113.7")).status).toBe(429);
  });

  it("counts a network of IPv6 as one address, and what cannot be read as not verified", async () => {
    const { forge } = await create(2);
    expect((await forge("2001:db8::1", "x".repeat(MIB + 1))).status).toBe(413);
    expect((await forge("2001:db8::2")).status).toBe(401);
    expect((await forge("2001:db8::3")).status).toBe(429);
    expect((await forge("2001:db8:1::1")).status).toBe(401);
  });

  it("keeps about 100 a minute of those that are not verified", async () => {
    const { id, forge } = await create(60_000);
    const body = (index: number) => JSON.stringify({ index });
    for (let start = 0; start < 130; start += 10) {
      const batch = Array.from({ length: 10 }, (_, index) => forge("203.0.113.7", body(start + index)));
      expect(await statusesOf(batch)).toEqual(Array(10).fill(401));
    }
    const kept = await deliveriesOf(client, id);
    expect(kept).toHaveLength(100);
    const oldest = await client.request("GET", `/api/webhooks/${id}/deliveries/${kept[99].id}`);
    expect(JSON.parse(oldest.body.body).index).toBeLessThan(10);
  });
});
