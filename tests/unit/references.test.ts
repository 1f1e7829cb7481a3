import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseTemplate, soleReference } from "../../server/workflows/references.js";
import { processorMs } from "../support/processor-time.js";

/** The reference that makes up the whole text, without its own text. */
function read(text: string) {
  const reference = soleReference(parseTemplate(text));
  return reference && { source: reference.source, name: reference.name, path: reference.path };
}

function problems(text: string) {
  return parseTemplate(text).flatMap((part) =>
    part.kind === "text" && part.problem !== null ? [part.problem] : [],
  );
}

describe("parseTemplate", () => {
  it.each([
    ["{{trigger}}", { source: "trigger", name: "trigger", path: [] }],
    ["{{trigger.order.id}}", { source: "trigger", name: "trigger", path: ["order", "id"] }],
    ["{{ fetch.items[0].price }}", { source: "block", name: "fetch", path: ["items", 0, "price"] }],
    ["{{trigger[2][10]}}", { source: "trigger", name: "trigger", path: [2, 10] }],
    ["{{Fetch the order.body}}", { source: "block", name: "Fetch the order", path: ["body"] }],
    ["{{fetch.headers['x.y']}}", { source: "block", name: "fetch", path: ["headers", "x.y"] }],
    [
      '{{fetch.headers["content-type"]}}',
      { source: "block", name: "fetch", path: ["headers", "content-type"] },
    ],
    ["{{fetch.headers.content-type}}", { source: "block", name: "fetch", path: ["headers", "content-type"] }],
    [
      "{{q.rows[0].QUERY PLAN['a|b'].größe.@id.$type.ns:tag.#text.a-}}",
      {
        source: "block",
        name: "q",
        path: ["rows", 0, "QUERY PLAN", "a|b", "größe", "@id", "$type", "ns:tag", "#text", "a-"],
      },
    ],
    ["{{Sales | EU.total}}", { source: "block", name: "Sales | EU", path: ["total"] }],
    ["{{vars.limits.max}}", { source: "vars", name: "limits", path: ["max"] }],
    ["{{secrets.TOKEN}}", { source: "secrets", name: "TOKEN", path: [] }],
    ["{{constructor.__proto__}}", { source: "block", name: "constructor", path: ["__proto__"] }],
  ])("reads %s", (text, expected) => {
    expect(read(text)).toEqual(expected);
  });

  it("keeps text and references in order, also next to single braces", () => {
    expect(
      parseTemplate('{"a":{"b":{{a.b}}}} and {{{trigger.x}}}').map((part) => [part.kind, part.text]),
    ).toEqual([
      ["text", '{"a":{"b":'],
      ["reference", "{{a.b}}"],
      ["text", "}} and {"],
      ["reference", "{{trigger.x}}"],
      ["text", "}"],
    ]);
  });

  it("takes a reference with text around it for no sole reference, spaces included", () => {
    expect(read(" {{a.b}}")).toBeNull();
    expect(read("{{a.b}}{{c.d}}")).toBeNull();
    expect(read("")).toBeNull();
    expect(read("plain")).toBeNull();
  });

  it.each([
    ["{{}}", /names nothing/],
    ["{{ }}", /names nothing/],
    ["{{.a}}", /names nothing/],
    ["{{a.}}", /path/],
    ["{{a..b}}", /path/],
    ["{{a[x]}}", /path/],
    ["{{a[-1]}}", /path/],
    ["{{a[0]b}}", /path/],
    ["{{trigger.a | upper}}", /path .* \['key'\], the latter for keys with other signs/],
    ["{{trigger.a - 1}}", /path/],
    ["{{trigger.a + 1}}", /path/],
    ["{{trigger.a/b}}", /path/],
    ["{{trigger.a ?? 'b'}}", /path/],
    ["{{trigger.upper(a)}}", /path/],
    ["{{vars.a=1}}", /path/],
    ["{{a.b", /not closed/],
    ["{{a {b}}", /not closed/],
    ["{{vars}}", /lacks a name/],
    ["{{secrets[0]}}", /lacks a name/],
    ["{{secrets.A.b}}", /one text/],
  ])("says what is wrong with %s and leaves it as text", (text, expected) => {
    expect(problems(text).join(" ")).toMatch(expected);
    expect(
      parseTemplate(text)
        .map((part) => part.text)
        .join(""),
    ).toBe(text);
    expect(parseTemplate(text).every((part) => part.kind === "text")).toBe(true);
  });

  it("gives any text back when its parts are joined", () => {
    const pieces = fc.constantFrom(
      "{",
      "}",
      "{{",
      "}}",
      ".",
      "[",
      "]",
      "0",
      "'",
      '"',
      "a",
      "vars",
      "secrets",
      " ",
      "\n",
    );
    const texts = fc.oneof(
      fc.string(),
      fc.array(pieces).map((parts) => parts.join("")),
    );
    fc.assert(
      fc.property(texts, (text) => {
        expect(
          parseTemplate(text)
            .map((part) => part.text)
            .join(""),
        ).toBe(text);
      }),
      { numRuns: 2_000 },
    );
  });

  it("reads a megabyte of opening braces in linear time", () => {
    const tookMs = processorMs(() => {
      parseTemplate("{".repeat(500_000));
      parseTemplate("{{a".repeat(200_000));
      parseTemplate(`{{${"a.".repeat(200_000)}b}}`);
    });
    expect(tookMs).toBeLessThan(2_000);
  });
});
