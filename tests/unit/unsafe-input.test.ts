import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { findUnsafeInput } from "../../server/errors/unsafe-input.js";

const nested = (levels: number) => {
  let value: unknown = 1;
  for (let level = 0; level < levels; level++) value = level % 2 === 0 ? [value] : { deeper: value };
  return value;
};

describe("findUnsafeInput", () => {
  it("lets every storable JSON value pass", () => {
    const text = fc.string({ unit: "grapheme" }).filter((value) => !value.includes("\u0000"));
    const json = fc.letrec((tie) => ({
      value: fc.oneof({ maxDepth: 5 }, text, fc.double(), fc.constant(null), tie("list"), tie("record")),
      list: fc.array(tie("value"), { maxLength: 4 }),
      record: fc.dictionary(text, tie("value"), { maxKeys: 4 }),
    })).value;
    fc.assert(fc.property(json, (value) => findUnsafeInput(value) === null));
    expect(findUnsafeInput("👩‍👩‍👧 ok")).toBeNull();
  });

  it.each([
    ["a NUL", "a\u0000"],
    ["a high surrogate alone", "\ud83d"],
    ["a low surrogate alone", "\udc00 "],
  ])("names where %s stands, in values and keys", (_, text) => {
    expect(findUnsafeInput({ a: [1, { b: text }] })?.path).toEqual(["a", 1, "b"]);
    expect(findUnsafeInput({ a: { [text]: 1 } })?.path).toEqual(["a", text]);
    expect(findUnsafeInput(text)?.path).toEqual([]);
  });

  it("refuses nesting beyond 100 levels without exhausting the stack", () => {
    expect(findUnsafeInput(nested(100))).toBeNull();
    expect(findUnsafeInput(nested(101))?.code).toBe("too_deep");
    expect(findUnsafeInput(nested(200_000))?.code).toBe("too_deep");
  });
});
