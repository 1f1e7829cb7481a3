import { createHmac } from "node:crypto";
import { sign } from "@octokit/webhooks-methods";
import { Webhook } from "standardwebhooks";
import Stripe from "stripe";
import { beforeEach, describe, expect, it } from "vitest";
import { waitFor } from "../support/client.js";
import { useShiftedClock } from "../support/clocks.js";
import { startTestServer } from "../support/server.js";
import { useClient, useSql, useTestServer } from "../support/server-hooks.js";
import {
  createWebhook,
  deliver,
  deliveriesOf,
  inputOf,
  type Sending,
  webhookRuns,
} from "../support/webhooks.js";

const hmac = (secret: string, text: string) => createHmac("sha256", secret).update(text).digest("hex");

const clock = useShiftedClock();
const server = useTestServer({ now: clock.now });
const sql = useSql(server);
const client = useClient(server, beforeEach);

const nowSeconds = () => Math.floor(clock.now().getTime() / 1_000);

describe("a delivery that is signed by the sender's own library", () => {
  const senders: Record<
    string,
    { secret: string; send: (secret: string, body: string) => Promise<Sending> }
  > = {
    standard_webhooks: {
      secret: "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
      send: async (secret, body) => {
        const at = new Date(nowSeconds() * 1_000);
        return {
          body,
          headers: {
            "webhook-id": "msg_1",
            "webhook-timestamp": String(at.getTime() / 1_000),
            "webhook-signature": new Webhook(secret).sign("msg_1", at, body),
          },
        };
      },
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
      send: async (secret, body) => {
        const timestamp = String(nowSeconds());
        const signature = `v0=${hmac(secret, `v0:${timestamp}:${body}`)}`;
        return {
          body,
          headers: { "x-slack-request-timestamp": timestamp, "x-slack-signature": signature },
        };
      },
    },
  };
  const body = JSON.stringify({ id: "evt_1", event_id: "Ev1", name: "Größe" });

  it.each(Object.entries(senders))(
    "of %s starts one run; tampered, late or with another secret it starts none",
    async (type, { secret, send }) => {
      const { id, url } = await createWebhook(client, { verification: type, secret });
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
        clock.aheadMs = 302_000;
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
    const { id, url } = await createWebhook(client, { verification: "slack", secret });
    const asked = JSON.stringify({ type: "url_verification", challenge: "3eZbrw1aBm2rZgRNFdxV", token: "x" });
    const answer = await deliver(url, await send(secret, asked));
    expect([answer.status, answer.body]).toEqual([200, { challenge: "3eZbrw1aBm2rZgRNFdxV" }]);
    expect((await deliver(url, { body: asked })).status).toBe(401);
    const empty = await deliver(url, await send(secret, JSON.stringify({ type: "url_verification" })));
    expect([empty.status, empty.body.issues?.[0].path]).toEqual([400, ["body"]]);
    expect(await webhookRuns(client)).toEqual([]);
    expect(await deliveriesOf(client, id)).toMatchObject([
      { verdict: "rejected", reason: expect.stringContaining("challenge") },
      { verdict: "rejected" },
      { verdict: "filtered" },
    ]);
  });
});

describe("a rotated secret", () => {
  const send = async (url: string, secret: string, body = "{}") =>
    (await deliver(url, { body, headers: { "x-hub-signature-256": await sign(secret, body) } })).status;
  const rotate = (id: string, body?: unknown, headers: Record<string, string> = {}) =>
    client.request("POST", `/api/webhooks/${id}/rotate-secret`, body, headers);

  it("works at once, the one before until the overlap ends, the one before that no more", async () => {
    const { id, url, secret: first } = await createWebhook(client, { verification: "github" });
    const { status, headers, body } = await rotate(id, { overlapSeconds: 60 });
    expect([status, headers.get("etag"), body.version]).toEqual([200, '"2"', 2]);
    expect(body.secret).not.toBe(first);
    expect(Date.parse(body.previousSecretEndsAt)).toBe(Date.parse(body.updatedAt) + 60_000);
    expect([await send(url, first), await send(url, body.secret)]).toEqual([202, 202]);
    clock.aheadMs = 40_000;
    expect(await send(url, first)).toBe(202);
    clock.aheadMs = 60_000;
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

  it("is replaced by one of two who read the same version, so that no sender loses both", async () => {
    const { id, url, secret: first } = await createWebhook(client, { verification: "github" });
    const answers = await Promise.all(
      ["secret of one", "secret of other"].map((secret) => rotate(id, { secret }, { "if-match": '"1"' })),
    );
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 412]);
    expect(answers.find(({ status }) => status === 412)?.body).toMatchObject({
      error: "version_mismatch",
      current: 2,
    });
    expect(await send(url, first)).toBe(202);
    expect((await rotate(id, {}, { "if-match": "*" })).body.error).toBe("invalid_if_match");
  });

  it("is refused where there is none, and when it cannot be one", async () => {
    const { id } = await createWebhook(client);
    expect((await rotate(id)).body.error).toBe("conflict");
    const standard = await createWebhook(client, { verification: "standard_webhooks" });
    expect((await rotate(standard.id, { secret: "no base64" })).body.issues[0].path).toEqual(["secret"]);
    expect((await rotate(standard.id, { overlapSeconds: -1 })).body.error).toBe("invalid_body");
  });

  it("is sealed anew when the server starts with another first key, and works without the older one", async () => {
    const { id, url, secret } = await createWebhook(client, { verification: "github" });
    await rotate(id, { secret: "the second secret" });
    const key = { id: "next", key: Buffer.alloc(32, 7).toString("base64") };
    const config = { secretsKeys: [key] };
    const keyIds = async () => {
      const [row] = await sql`
        select secret->>'keyId' as now, previous_secret->>'keyId' as before from webhooks where id = ${id}`;
      return [row?.now, row?.before];
    };
    const other = await startTestServer({ databaseUrl: server.databaseUrl, config, now: clock.now });
    await waitFor(keyIds, (found) => found.every((keyId) => keyId === "next"));
    const address = url.replace(server.url, other.url);
    expect([await send(address, secret), await send(address, "the second secret")]).toEqual([202, 202]);
    await other.close();
  });

  it("is nowhere in the database as it is", async () => {
    const secret = "canary-secret-of-a-webhook";
    const { id } = await createWebhook(client, { verification: "github", secret });
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
