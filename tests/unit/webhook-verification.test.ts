import { createHmac } from "node:crypto";
import { sign } from "@octokit/webhooks-methods";
import fc from "fast-check";
import { Webhook } from "standardwebhooks";
import Stripe from "stripe";
import { describe, expect, it } from "vitest";
import { secretProblem, Verification } from "../../server/webhooks/verification.js";
import { type DeliveryHeaders, verifyDelivery } from "../../server/webhooks/verify-delivery.js";

const now = new Date("2026-11-22T10:00:00.400Z");
const nowSeconds = Math.floor(now.getTime() / 1_000);
const stripe = new Stripe("sk_test_unused");

type Headers = Readonly<Record<string, string>>;

/** One sender: what it is configured with and how it signs at a Unix time. */
interface Sender {
  readonly name: string;
  readonly verification: Verification;
  readonly secret: string;
  readonly otherSecret: string;
  readonly sign: (body: string, seconds: number, secret: string) => Headers | Promise<Headers>;
  /** The header without which nothing verifies. */
  readonly signature: string;
  readonly isTimed: boolean;
}

const verification = (input: unknown) => Verification.parse(input);
const hmac = (algorithm: string, key: string, text: string, encoding: "hex" | "base64") =>
  createHmac(algorithm, key).update(text).digest(encoding);

const standard = (prefix: string): Sender => ({
  name: `standard_webhooks with ${prefix}- headers, signed by standardwebhooks`,
  verification: verification({ type: "standard_webhooks" }),
  secret: "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
  otherSecret: "whsec_ODEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
  sign: (body, seconds, secret) => ({
    [`${prefix}-id`]: "msg_1",
    [`${prefix}-timestamp`]: String(seconds),
    [`${prefix}-signature`]: new Webhook(secret).sign("msg_1", new Date(seconds * 1_000), body),
  }),
  signature: `${prefix}-signature`,
  isTimed: true,
});

const senders: Sender[] = [
  standard("webhook"),
  standard("svix"),
  {
    name: "stripe, signed by stripe",
    verification: verification({ type: "stripe" }),
    secret: "whsec_test_secret_of_stripe",
    otherSecret: "whsec_test_secret_of_strip3",
    sign: (payload, timestamp, secret) => ({
      "stripe-signature": stripe.webhooks.generateTestHeaderString({ payload, timestamp, secret }),
    }),
    signature: "stripe-signature",
    isTimed: true,
  },
  {
    name: "github, signed by @octokit/webhooks-methods",
    verification: verification({ type: "github" }),
    secret: "It's a Secret to Everybody",
    otherSecret: "It's a Secret to Nobody",
    sign: async (body, _seconds, secret) => ({ "x-hub-signature-256": await sign(secret, body) }),
    signature: "x-hub-signature-256",
    isTimed: false,
  },
  {
    name: "slack",
    verification: verification({ type: "slack" }),
    secret: "8f742231b10e8888abcd99yyyzzz85a5",
    otherSecret: "8f742231b10e8888abcd99yyyzzz85a6",
    sign: (body, seconds, secret) => ({
      "x-slack-request-timestamp": String(seconds),
      "x-slack-signature": `v0=${hmac("sha256", secret, `v0:${seconds}:${body}`, "hex")}`,
    }),
    signature: "x-slack-signature",
    isTimed: true,
  },
  {
    name: "hmac over the body",
    verification: verification({ type: "hmac", header: "X-Signature", algorithm: "sha1", prefix: "sha1=" }),
    secret: "a secret of eight",
    otherSecret: "a secret of nine",
    sign: (body, _seconds, secret) => ({ "x-signature": `sha1=${hmac("sha1", secret, body, "hex")}` }),
    signature: "x-signature",
    isTimed: false,
  },
  {
    name: "hmac over time and body",
    verification: verification({
      type: "hmac",
      header: "x-signature",
      algorithm: "sha512",
      encoding: "base64",
      timestampHeader: "x-time",
    }),
    secret: "a secret of eight",
    otherSecret: "a secret of nine",
    sign: (body, seconds, secret) => ({
      "x-time": String(seconds),
      "x-signature": hmac("sha512", secret, `${seconds}.${body}`, "base64"),
    }),
    signature: "x-signature",
    isTimed: true,
  },
];

const wrap = (headers: Headers): DeliveryHeaders =>
  Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, [value]]));

function verify(
  sender: Sender,
  headers: DeliveryHeaders,
  body: string | Uint8Array,
  secrets = [sender.secret],
) {
  return verifyDelivery(sender.verification, secrets, { headers, body: Buffer.from(body) }, now);
}

const body = JSON.stringify({ id: "evt_1", type: "order.paid", name: "Größe 😀" });

describe.each(senders)("$name", (sender) => {
  const signed = async (text = body) => wrap(await sender.sign(text, nowSeconds, sender.secret));

  it("verifies bodies of any text, with the secret at any place of the list", async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: "grapheme", minLength: 1 }), async (text) => {
        const headers = await signed(text);
        return (
          verify(sender, headers, text) === null &&
          verify(sender, headers, text, [sender.otherSecret, sender.secret]) === null
        );
      }),
      { numRuns: 50 },
    );
  });

  it("refuses the body with any one byte changed, added or left out", async () => {
    const headers = await signed();
    const bytes = Buffer.from(body);
    for (let index = 0; index < bytes.length; index += 1) {
      const tampered = Buffer.from(bytes);
      tampered[index] = (bytes[index] ?? 0) ^ 1;
      expect(verify(sender, headers, tampered)).toMatch(/signature/);
      expect(
        verify(sender, headers, Buffer.concat([bytes.subarray(0, index), bytes.subarray(index + 1)])),
      ).not.toBeNull();
    }
    expect(verify(sender, headers, `${body} `)).not.toBeNull();
    expect(verify(sender, headers, "")).not.toBeNull();
  });

  it("refuses the signature with any one character changed", async () => {
    const headers = await signed();
    const [value = ""] = headers[sender.signature] ?? [];
    for (let index = value.length - 20; index < value.length; index += 1) {
      const changed = `${value.slice(0, index)}${value[index] === "A" ? "B" : "A"}${value.slice(index + 1)}`;
      const isSameHex = changed.toLowerCase() === value;
      expect(verify(sender, { ...headers, [sender.signature]: [changed] }, body) === null).toBe(isSameHex);
    }
  });

  it("refuses another secret and no secret", async () => {
    expect(verify(sender, await signed(), body, [sender.otherSecret])).not.toBeNull();
    expect(verify(sender, await signed(), body, [])).not.toBeNull();
  });

  it("refuses each header that is missing, empty or was sent twice", async () => {
    const headers = await signed();
    for (const name of Object.keys(headers)) {
      const [value = ""] = headers[name] ?? [];
      for (const values of [undefined, [], [""], [value, value]]) {
        expect(verify(sender, { ...headers, [name]: values }, body)).not.toBeNull();
      }
    }
    expect(verify(sender, {}, body)).toMatch(/is missing/);
  });

  it("never throws and never verifies what was not signed", () => {
    const names = [
      "webhook-id",
      "webhook-timestamp",
      "x-slack-request-timestamp",
      "x-time",
      sender.signature,
    ];
    const values = fc.array(fc.oneof(fc.string(), fc.constant(String(nowSeconds))), { maxLength: 2 });
    const headers = fc.record(Object.fromEntries(names.map((name) => [name, values])), { requiredKeys: [] });
    fc.assert(fc.property(headers, fc.string(), (sent, text) => verify(sender, sent, text) !== null));
  });
});

it.each(senders.filter(({ isTimed }) => isTimed))(
  "$name takes a time of five minutes ago or ahead and none beyond",
  async (sender) => {
    const at = async (offset: number) =>
      verify(sender, wrap(await sender.sign(body, nowSeconds + offset, sender.secret)), body);
    for (const seconds of [-300, 0, 300]) expect(await at(seconds)).toBeNull();
    expect(await at(-301)).toMatch(/old/);
    expect(await at(301)).toMatch(/future/);
  },
);

describe("standard_webhooks", () => {
  const sender = standard("webhook");

  it("verifies when one of several signatures fits", () => {
    const { "webhook-signature": good = "", ...rest } = sender.sign(
      body,
      nowSeconds,
      sender.secret,
    ) as Headers;
    const many = `v1,${"A".repeat(43)}= v1a,xyz ${good}`;
    expect(verify(sender, wrap({ ...rest, "webhook-signature": many }), body)).toBeNull();
    const unversioned = good.replace("v1,", "");
    for (const bad of [unversioned, `v2,${unversioned}`, `v1a,${unversioned}`]) {
      expect(verify(sender, wrap({ ...rest, "webhook-signature": bad }), body)).not.toBeNull();
    }
  });

  it("lets no unsigned webhook-id stand in for a signed svix-id", () => {
    const headers = standard("svix").sign(body, nowSeconds, sender.secret) as Headers;
    expect(verify(sender, wrap({ ...headers, "webhook-id": "another" }), body)).not.toBeNull();
  });
});

describe("stripe", () => {
  it("verifies one of several v1 and ignores other schemes", () => {
    const [, , sender] = senders;
    if (sender === undefined) throw new Error("No sender for Stripe.");
    const { "stripe-signature": good = "" } = sender.sign(body, nowSeconds, sender.secret) as Headers;
    const [time, signature = ""] = good.split(",");
    const header = (value: string) => wrap({ "stripe-signature": value });
    expect(verify(sender, header(`${time},v1=${"0".repeat(64)},${signature}`), body)).toBeNull();
    expect(verify(sender, header(`${time},${signature.replace("v1", "v0")}`), body)).not.toBeNull();
    expect(verify(sender, header(`${time},${time},${signature}`), body)).not.toBeNull();
    expect(verify(sender, header(signature), body)).not.toBeNull();
  });
});

describe("bearer", () => {
  const check = (header: string, values: string[], secret = "a token of the sender") =>
    verifyDelivery(
      verification({ type: "bearer", header }),
      [secret],
      { headers: { [header]: values }, body: Buffer.from(body) },
      now,
    );

  it("takes the secret after Bearer, in any case, or alone in a header of its own", () => {
    for (const word of ["Bearer", "bearer", "BEARER"]) {
      expect(check("authorization", [`${word} a token of the sender`])).toBeNull();
    }
    expect(check("x-gitlab-token", ["a token of the sender"])).toBeNull();
  });

  it("refuses anything else", () => {
    for (const value of [
      "a token of the sender",
      "Basic a token of the sender",
      "Bearer",
      "Bearer a token",
      "",
    ]) {
      expect(check("authorization", [value])).not.toBeNull();
    }
    expect(check("x-gitlab-token", ["a token of the sendeR"])).not.toBeNull();
    expect(check("x-gitlab-token", ["a token of the sender", "a token of the sender"])).not.toBeNull();
  });
});

it("none verifies anything", () => {
  expect(verifyDelivery({ type: "none" }, [], { headers: {}, body: Buffer.from(body) }, now)).toBeNull();
});

describe("a secret", () => {
  it.each([
    ["standard_webhooks", "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", true],
    ["standard_webhooks", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY", true],
    ["standard_webhooks", "whsec_short", false],
    ["standard_webhooks", "whsec_not base64 at all, but long enough", false],
    ["stripe", "whsec_12345678", true],
    ["github", "1234567", false],
    ["github", "with\nnewline", false],
    ["slack", "x".repeat(501), false],
    ["bearer", "Größe der Sache", false],
    ["none", "any secret", false],
  ] as const)("of %s may be %j: %s", (type, secret, isFine) => {
    expect(secretProblem(verification({ type }), secret) === null).toBe(isFine);
  });
});
