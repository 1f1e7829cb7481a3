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

  it.each(["tok-8812\n", "\r\n\t tok-8812 ", "tok-8812\u00a0", "\u0001tok-8812\u0001"])(
    "finds %j without its blank ends, as headers, addresses and parameters take it",
    (secret) => {
      const address = new URL(`https://example.com/?key=${secret}`).href;
      const shown = createScrub([secret])([secret.trim(), `Token ${secret.trim()}`, address]);
      expect(JSON.stringify(shown)).not.toContain("8812");
      if (secret.includes("\u0001")) return;
      expect(createScrub([secret])(new Headers({ token: secret }).get("token"))).toBe(REDACTED);
    },
  );

  it.each([
    'p@ss word/1+"two"',
    "Grüße/2024:geheim",
    "abc'def/ghi",
    "a\tb\nc: <d> `e` {f} [g] | ^h \\i",
    "50%41 of %zz & =? #end",
  ])("finds %j as an address holds it, whatever the case of its escapes", (secret) => {
    const address = new URL(`https://example.com/path/${secret}?query=1&${secret}&#fragment ${secret}`);
    address.username = secret;
    address.password = secret;
    const query = new URL(`https://example.com/get?key=${secret}`);
    const texts = [address, query, new URL(`https://example.com/#${secret}`)].map(({ href }) => href);
    const inLowerCase = texts.map((text) => text.replace(/%../g, (code) => code.toLowerCase()));
    const mixed = texts.map((text) => text.replace(/%(.)(.)/g, (_, a, b) => `%${a.toLowerCase()}${b}`));
    const shown = createScrub([secret])([...texts, ...inLowerCase, ...mixed]);
    const left = shown.map((text) => text.replaceAll(REDACTED, "…"));
    const [first = "", ...others] = left;
    expect(first).toMatch(/^https:\/\/…:…@example\.com\/path\/…\?query=1&…/);
    for (const text of others) {
      expect(text).toMatch(/^https:\/\/(?:…:…@)?example\.com\/(?:path\/…\?query=1&….*|get\?key=….*|#….*)$/);
    }
  });

  it("finds it without regard to case, as a host name gives it back", () => {
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

  it("finds it in every form, however long it is and however much longer the form", () => {
    const json = (text: string) => JSON.stringify(text).slice(1, -1);
    const form = (text: string) => new URLSearchParams({ "": text }).toString().slice(1);
    const base64 = (text: string) => Buffer.from(text).toString("base64");
    const forms: ((text: string) => string)[] = [
      (text) => text,
      json,
      (text) => json(json(text)),
      (text) => json(json(json(text))),
      encodeURIComponent,
      form,
      (text) => encodeURIComponent(json(text)),
      base64,
      (text) => base64(json(text)),
      (text) => base64(form(text)),
      (text) => Buffer.from(text).toString("base64url"),
    ];
    const unit = fc.constantFrom(...("\"\\+/&%=?#@:' äß€Σİ🐤aZ9".match(/./gu) ?? []));
    const secrets = fc.string({ unit, minLength: 8, maxLength: 300 }).filter((text) => text.trim() === text);
    fc.assert(
      fc.property(secrets, fc.integer({ min: 1, max: 40 }), (part, times) => {
        const secret = part.repeat(times);
        const shown = createScrub([secret])(forms.map((encode) => `<${encode(secret)}>`));
        expect(shown).toEqual(
          forms.map(() => expect.stringMatching(/^<(?:\[secret\])+(?:[\w+/-]{0,2}={0,2})>$/)),
        );
      }),
    );
  });

  it("leaves nothing of secrets that overlap", () => {
    expect(createScrub(["abcdef", "defghijk", "xxab"])("1 xxabcdefghijk 2 abcdefabcdef")).toBe(
      `1 ${REDACTED} 2 ${REDACTED}${REDACTED}`,
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

  it.each<[string, readonly string[], string]>([
    ["that grow in every form", ['"', "\\", "%", "\u001f"], '"'],
    ["that repeat themselves in a text that does", ["a", "b", "ab", "aab"], "a"],
  ])("takes no long time and no memory for four secrets of 64 KiB %s", (_what, parts, content) => {
    const secrets = parts.map((part) => part.repeat(65_536 / part.length).padEnd(65_536, "z"));
    const endings = parts.map((part) => `${part.repeat(1_000)}other`).join("");
    const heap = process.memoryUsage().heapUsed;
    const tookMs = processorMs(() => {
      const scrubBig = createScrub([...secrets, `${"a".repeat(65_535)}b`]);
      expect(process.memoryUsage().heapUsed - heap).toBeLessThan(30_000_000);
      scrubBig([content.repeat(1_048_576), endings]);
      expect(scrubBig(secrets.map((secret) => JSON.stringify({ secret })))).toEqual(
        secrets.map(() => expect.stringMatching(/\[secret\]/)),
      );
    });
    expect(tookMs).toBeLessThan(3_000);
  });

  it("replaces a text as a whole that it would take long to search", () => {
    const secret = `${"a".repeat(20)}b${"a".repeat(20_000)}`;
    const [shown, short] = createScrub([secret])(["a".repeat(500_000), `${secret} and no more`]);
    expect([shown, short]).toEqual([REDACTED, `${REDACTED} and no more`]);
    const beside = { long: "a".repeat(500_000), text: "hello", list: ["one", "two"] };
    expect(createScrub([secret])(beside)).toEqual({ ...beside, long: REDACTED });
  });
});
