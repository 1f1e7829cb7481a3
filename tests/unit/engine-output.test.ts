import { describe, expect, it } from "vitest";
import {
  jsonBytes,
  MAX_OUTPUT_BYTES,
  toStorableJson,
  toStorableText,
} from "../../server/engine/blocks/json-output.js";

const stored = (value: unknown) => toStorableJson(value).value;

describe("toStorableJson", () => {
  it("drops NUL characters and replaces lone surrogates, in keys too", () => {
    expect(stored({ "a\u0000b": ["x\u0000", "\ud800!", "!\udc00", "😀"] })).toEqual({
      ab: ["x", "\ufffd!", "!\ufffd", "😀"],
    });
  });

  it("keeps text that only looks like such an escape", () => {
    const text = "\\u0000 \\\\u0000 \\ud800 \\\\\\ud800";
    expect(stored(text)).toBe(text);
  });

  it("gives what JSON makes of dates, BigInts, undefined and numbers without a JSON form", () => {
    expect(stored({ at: new Date(0), big: 12n, none: undefined, nan: Number.NaN })).toEqual({
      at: "1970-01-01T00:00:00.000Z",
      big: "12",
      nan: null,
    });
    expect(stored(undefined)).toBeNull();
  });

  it("refuses circles and very deep nesting", () => {
    const circle: unknown[] = [];
    circle.push(circle);
    expect(() => stored(circle)).toThrow(expect.objectContaining({ code: "invalid_output" }));
    const deep = Array.from({ length: 300 }).reduce<unknown>((inner) => [inner], 1);
    expect(() => stored(deep)).toThrow(expect.objectContaining({ code: "invalid_output" }));
  });

  it("measures bytes, not characters, and refuses more than 1 MiB", () => {
    expect(toStorableJson("ü").bytes).toBe(4);
    expect(() => stored("ü".repeat(MAX_OUTPUT_BYTES / 2))).toThrow(
      expect.objectContaining({ code: "output_too_large" }),
    );
    expect(toStorableJson("a".repeat(MAX_OUTPUT_BYTES - 2)).bytes).toBe(MAX_OUTPUT_BYTES);
  });

  it("counts every digit that the database writes of a number", () => {
    expect(jsonBytes([1e308, -1e308])).toBeGreaterThanOrEqual(309 + 310);
    expect(jsonBytes(1e-300)).toBeGreaterThanOrEqual(302);
    expect(jsonBytes([1, 0, -0.5, 123_456_789, "1e308"])).toBe('[1,0,-0.5,123456789,"1e308"]'.length);
    expect(toStorableJson([1e21]).bytes).toBeGreaterThanOrEqual("[1000000000000000000000]".length);
    expect(() => stored(Array(4_000).fill(1e308))).toThrow(
      expect.objectContaining({ code: "output_too_large" }),
    );
  });
});

describe("toStorableText", () => {
  it("cuts without leaving half a character behind", () => {
    expect(toStorableText("ab😀", 3)).toBe("ab\ufffd");
    expect(toStorableText("a\u0000b", 10)).toBe("ab");
  });
});
