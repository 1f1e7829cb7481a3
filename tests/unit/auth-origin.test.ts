import { expect, it } from "vitest";
import { trustedOrigins } from "../../server/auth/origin.js";

const onLoopback = { baseUrl: null, host: "127.0.0.1", trustedOrigins: [] };

it("a server on loopback without BASE_URL trusts both loopback names, on its own port only", () => {
  for (const host of ["127.0.0.1", "localhost", "::1"]) {
    expect(trustedOrigins({ ...onLoopback, host }, "http://localhost:3000")).toEqual([
      "http://localhost:3000",
      "http://127.0.0.1:3000",
    ]);
  }
});

it("any other server trusts its public origin and the configured ones, and nothing else", () => {
  const configured = ["https://app.example/path", "https://other.example"];
  expect(trustedOrigins({ ...onLoopback, host: "0.0.0.0" }, "http://localhost:3000")).toEqual([
    "http://localhost:3000",
  ]);
  const config = { ...onLoopback, baseUrl: "https://flow.example", trustedOrigins: configured };
  expect(trustedOrigins(config, "https://flow.example")).toEqual([
    "https://flow.example",
    "https://app.example",
    "https://other.example",
  ]);
});
