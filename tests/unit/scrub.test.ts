import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createScrub, REDACTED, scrubNothing } from "../../server/secrets/scrub.js";
import { processorMs } from "../support/processor-time.js";

const SECRET = `s3cret "ä\\ö" +/&=\n🐤`;
const scrub = createScrub([SECRET]);

describe("scrubbing", () => {
  it("replaces the secret in texts, keys and anything inside", () => {
    expect(scrub({ a: [`x${SECRET}y${SECRET}`], [SECRET]: { b: SECRET }, n: 1, no: null })).toEqual({
      a: [`x${REDACTED}y${REDACTED}`],
      [REDACTED]: { b: REDACTED },
      n: 1,
      no: null,
    });
  });

  it.each([
    ["JSON", JSON.stringify({ a: SECRET })],
    ["JSON in JSON", JSON.stringify({ a: JSON.stringify({ b: SECRET }) })],
    ["a URL component", `https://example.com/?a=${encodeURIComponent(SECRET)}&b=1`],
    [
      "a URL component with lower-case escapes",
      encodeURIComponent(SECRET).replace(/%../g, (code) => code.toLowerCase()),
    ],
    ["a form", new URLSearchParams({ a: SECRET }).toString()],
    ["Base64", Buffer.from(SECRET).toString("base64")],
    ["Base64 for URLs", Buffer.from(SECRET).toString("base64url")],
    ["Base64 of JSON", Buffer.from(JSON.stringify({ a: SECRET })).toString("base64")],
  ])("finds it inside %s", (_name, text) => {
    const scrubbed = scrub(text);
    expect(scrubbed).toContain(REDACTED);
    expect(scrubbed).not.toContain("s3cret");
  });

  it("finds it in lower case, as a host name gives it back", () => {
    const scrubHost = createScrub(["MixedCanaryZq55"]);
    expect(scrubHost(new URL("http://MixedCanaryZq55.invalid/x").origin)).toBe(`http://${REDACTED}.invalid`);
  });

  it("finds it anywhere in a longer Base64 text", () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), fc.string({ minLength: 8 }), (before, after, secret) => {
        const text = Buffer.from(`${before}${secret}${after}`).toString("base64");
        expect(createScrub([secret])(text)).toContain(REDACTED);
      }),
    );
  });

  it("counts the password of an address as a secret", () => {
    const address = createScrub(["postgres://ada:p%40ss%2Fword@db.example.com/app"]);
    expect(address("password p@ss/word of p%40ss%2Fword")).toBe(`password ${REDACTED} of ${REDACTED}`);
    expect(address("db.example.com")).toBe("db.example.com");
  });

  it("replaces a number that reads like the secret, and no other", () => {
    expect(createScrub(["123456"])({ a: 123456, b: 1234567 })).toEqual({ a: REDACTED, b: 1234567 });
  });

  it("leaves what is shorter than four characters alone", () => {
    expect(createScrub(["abc"])).toBe(scrubNothing);
    expect(createScrub([])).toBe(scrubNothing);
  });

  it("prefers the longer of two secrets", () => {
    expect(createScrub(["token", "token-two"])("token-two token")).toBe(`${REDACTED} ${REDACTED}`);
  });

  it("takes a secret of 64 KiB out of a text of 1 MiB", () => {
    const secret = Array.from({ length: 65_536 }, (_, n) => String.fromCharCode(33 + ((n * 7919) % 90))).join(
      "",
    );
    const tookMs = processorMs(() => {
      expect(createScrub([secret])(secret.repeat(16))).toBe(REDACTED.repeat(16));
    });
    expect(tookMs).toBeLessThan(2_000);
  });
});
