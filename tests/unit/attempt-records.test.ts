import { describe, expect, it } from "vitest";
import { createAttemptLines } from "../../server/engine/blocks/attempt-lines.js";
import { CUT_MARK, capJson } from "../../server/engine/blocks/json-output.js";
import { createScrub, scrubNothing } from "../../server/secrets/scrub.js";

const now = () => new Date("2026-11-22T09:00:00.000Z");

function attempt(scrub = scrubNothing) {
  const passedOn: unknown[] = [];
  const note = (level: string) => (message: string, fields?: unknown) =>
    void passedOn.push({ level, message, ...(fields === undefined ? {} : { fields }) });
  const target = { info: note("info"), warn: note("warn"), error: note("error") };
  return { passedOn, ...createAttemptLines(target, scrub, now) };
}

describe("the lines of an attempt", () => {
  it("are kept and passed on, both without secrets", () => {
    const { log, lines, passedOn } = attempt(createScrub(["s3cret"]));
    log.warn("It is s3cret.", { a: ["s3cret"] });
    const line = { level: "warn", message: "It is [secret].", fields: { a: ["[secret]"] } };
    expect(lines()).toEqual([{ at: "2026-11-22T09:00:00.000Z", ...line }]);
    expect(passedOn).toEqual([line]);
  });

  it("are 100 at most, the last of which says how many were left out", () => {
    const { log, lines, passedOn } = attempt();
    for (let n = 1; n <= 250; n += 1) log.info(`Line ${n}`);
    expect(lines()).toHaveLength(100);
    expect(lines().at(-2)?.message).toBe("Line 99");
    expect(lines().at(-1)).toMatchObject({
      level: "warn",
      message: expect.stringContaining("151 more lines"),
    });
    expect(passedOn).toHaveLength(250);
  });

  it("take 16 KiB at most", () => {
    const { log, lines } = attempt();
    for (let n = 0; n < 20; n += 1) log.info("x".repeat(1_500));
    expect(JSON.stringify(lines()).length).toBeLessThan(17_000);
    expect(lines().at(-1)?.message).toContain("left out");
  });

  it("hold nothing that the database refuses, and never fail their block", () => {
    const { log, lines } = attempt();
    const circle: Record<string, unknown> = { big: 1n };
    log.info("NUL \u0000 and half \ud83d", { "k\u0000": "\ud83d", big: 1n });
    log.info("circle", { ...circle, circle });
    circle.circle = circle;
    log.error("circle", circle);
    expect(JSON.stringify(lines())).not.toMatch(/\\u0000|\\ud83d/);
    expect(lines()).toHaveLength(3);
  });
});

describe("capping a value", () => {
  it("leaves what fits as it is", () => {
    const value = { a: [1, "two", null, true], b: { c: "ä" } };
    expect(capJson(value, 16_384)).toEqual(value);
  });

  it("cuts texts, arrays and objects so that what is left fits", () => {
    const huge = {
      text: "ä\n".repeat(100_000),
      list: Array.from({ length: 100_000 }, (_, n) => n),
    };
    for (const value of [huge, huge.list, huge.text, { ...huge.list }, [[[huge.text]]]]) {
      const capped = JSON.stringify(capJson(value, 16_384));
      expect(Buffer.byteLength(capped)).toBeLessThan(17_500);
      expect(capped).toContain(CUT_MARK);
    }
  });

  it("never leaves half a character", () => {
    for (let bytes = 20; bytes < 60; bytes += 1) {
      expect(JSON.stringify(capJson("🐤".repeat(50), bytes))).not.toMatch(/\\ud/);
    }
  });
});
