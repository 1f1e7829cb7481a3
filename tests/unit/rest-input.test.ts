import { describe, expect, it } from "vitest";
import { z } from "zod";
import { coerceText } from "../../openapi/rest-input.js";

const shape = {
  count: z.int().default(1),
  ratio: z.number().nullable().optional(),
  flag: z.boolean().optional(),
  names: z.array(z.string()).default([]),
  sizes: z.array(z.number()).optional(),
  text: z.string(),
  instant: z.iso.datetime().transform((text) => new Date(text)),
  constructor: z.string().optional(),
};

describe("coerceText", () => {
  it("makes numbers, booleans and arrays where the schema wants them", () => {
    const texts = { count: "7", ratio: "-0.5", flag: "true", names: "a", sizes: ["1", "2"], text: "7" };
    expect(coerceText(shape, texts)).toEqual({
      count: 7,
      ratio: -0.5,
      flag: true,
      names: ["a"],
      sizes: [1, 2],
      text: "7",
    });
  });

  it.each(["", " 7", "1e9", "0x10", "Infinity", "NaN", "7abc", "1,5", "+7", "٧", "1".repeat(16)])(
    "leaves a text that is no plain number to the schema: %j",
    (count) => {
      expect(coerceText(shape, { count })).toEqual({ count });
    },
  );

  it.each(["", "1", "TRUE", "yes"])("leaves a text that is no boolean to the schema: %j", (flag) => {
    expect(coerceText(shape, { flag })).toEqual({ flag });
  });

  it("leaves repeated single values, unknown names and other schemas as they are", () => {
    const texts = { count: ["1", "2"], other: "1", instant: "2026-11-22T09:00:00Z", toString: "1" };
    expect(coerceText(shape, texts)).toEqual(texts);
  });

  it("treats __proto__ as any other name", () => {
    const input = coerceText(shape, JSON.parse('{"__proto__":"x"}'));
    expect(Object.keys(input)).toEqual(["__proto__"]);
    expect(Object.getPrototypeOf(input)).toBe(Object.prototype);
  });
});
