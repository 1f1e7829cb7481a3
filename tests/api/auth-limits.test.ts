import { afterEach, expect, it } from "vitest";
import { callAuth } from "../support/auth-calls.js";
import { send } from "../support/client.js";
import { startTestServer, type TestServer, type TestServerOptions } from "../support/server.js";
import { mintKey, signUp } from "../support/sign-up.js";

let server: TestServer;
const start = async (config: NonNullable<TestServerOptions["config"]>) => {
  server = await startTestServer({ config });
};
afterEach(() => server.close());

const list = (token: string) => send(server.url, token, "GET", "/api/workflows");

it("each principal of an organization has a bucket of its own, told in headers and refused with retryAfterMs", async () => {
  await start({ rateLimitPerMinute: 3 });
  const ada = await signUp(server.url);
  const [first, second] = await Promise.all([mintKey(server.url, ada), mintKey(server.url, ada)]);
  for (const remaining of ["2", "1", "0"]) {
    const { status, headers } = await list(first);
    expect(status).toBe(200);
    expect(headers.get("ratelimit-limit")).toBe("3");
    expect(headers.get("ratelimit-remaining")).toBe(remaining);
    expect(Number(headers.get("ratelimit-reset"))).toBeGreaterThan(0);
    expect(Number(headers.get("ratelimit-reset"))).toBeLessThanOrEqual(60);
    expect(headers.get("retry-after")).toBeNull();
  }
  const { status, headers, body } = await list(first);
  expect({ status, error: body.error }).toEqual({ status: 429, error: "rate_limited" });
  expect(headers.get("retry-after")).toBe(String(Math.ceil(body.retryAfterMs / 1_000)));
  expect(body.retryAfterMs).toBeLessThanOrEqual(60_000);
  expect(headers.get("ratelimit-remaining")).toBe("0");
  expect((await list(second)).status).toBe(200);
  expect((await list(ada.token)).status).toBe(200);
});

it("a refused credential is 401 and not counted; 429 comes before 403", async () => {
  await start({ rateLimitPerMinute: 1 });
  const ada = await signUp(server.url);
  const key = await mintKey(server.url, ada, { permissions: { runs: ["read"] } });
  expect((await list("nonsense")).body.error).toBe("unauthorized");
  expect((await list(key)).body.error).toBe("forbidden");
  expect((await list(key)).body.error).toBe("rate_limited");
});

it("sign-in and sign-up together are limited per address, in better-auth's shape", async () => {
  await start({ authRateLimitPerMinute: 3, trustProxy: 1 });
  const from = (address: string, path = "/sign-in/email") =>
    callAuth(
      server.url,
      null,
      "POST",
      path,
      { email: "a@b.example", password: "12345678", name: "a" },
      {
        "x-forwarded-for": address,
      },
    );
  const statuses = [];
  for (const path of ["/sign-in/email", "/sign-up/email", "/sign-in/email"]) {
    statuses.push((await from("203.0.113.7", path)).status);
  }
  expect(statuses).toEqual([401, 200, 200]);
  const refused = await from("203.0.113.7", "/sign-up/email");
  expect(refused.status).toBe(429);
  expect(refused.body).toEqual({ code: "RATE_LIMITED", message: expect.any(String) });
  expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
  expect((await from("203.0.113.8")).status).toBe(200);
  const ok = await callAuth(server.url, null, "GET", "/ok", undefined, { "x-forwarded-for": "203.0.113.7" });
  expect(ok.status).toBe(200);
});

it("the addresses of one IPv6 network share a bucket", async () => {
  await start({ authRateLimitPerMinute: 2, trustProxy: 1 });
  const from = (address: string) =>
    callAuth(server.url, null, "POST", "/sign-in/email", {}, { "x-forwarded-for": address });
  const addresses = ["2001:db8:1:2::1", "2001:db8:1:2:ffff::2", "2001:db8:1:2::3", "2001:db8:1:3::1"];
  const statuses = [];
  for (const address of addresses) statuses.push((await from(address)).status);
  expect(statuses).toEqual([400, 400, 429, 400]);
});
