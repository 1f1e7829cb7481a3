import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseExpression } from "../../server/expressions/parse-expression.js";
import { standardFunctions } from "../../server/expressions/standard-functions.js";

const readsOf = (text: string) => {
  const { problem, reads } = parseExpression(text);
  expect(problem, text).toBeNull();
  return reads.map(({ root, path }) => [root, ...path].join("."));
};

describe("what an expression reads", () => {
  it.each<[string, string[]]>([
    ["1 + 1", []],
    ["trigger.a.b + vars.c", ["trigger.a.b", "vars.c"]],
    ["trigger.items[price > x].name", ["trigger.items"]],
    ["trigger.items[0].name", ["trigger.items"]],
    ["trigger.*.a", ["trigger"]],
    ["trigger.**", ["trigger"]],
    ["$keys(trigger)", ["trigger"]],
    ["trigger.(a + b)", ["trigger"]],
    ["trigger.items.(price * $$.vars.tax)", ["trigger.items", "vars.tax"]],
    ["$map(trigger.items, function($i) { $i.price * vars.tax })", ["trigger.items", "vars.tax"]],
    ["trigger.items ~> $filter(function($i) { $i.a = fetch.b })", ["trigger.items", "fetch.b"]],
    ["trigger ~> |items|{ 'x': y }|", ["trigger"]],
    ["trigger.items^(price, >name).id", ["trigger.items"]],
    ["trigger.items{ kind: $sum(price) }", ["trigger.items"]],
    ["{ 'a': trigger.a, b.c: [d.e] }", ["trigger.a", "b.c", "d.e"]],
    ["a.b ? c.d : e.f", ["a.b", "c.d", "e.f"]],
    ["($x := a.b; $x.c)", ["a.b"]],
    ['`My block`.x & "other name".y', ["My block.x", "other name.y"]],
    ["trigger.items@$i.name", ["trigger"]],
    ["trigger.items#$n.name", ["trigger.items"]],
    ["trigger.order.items.%.id", ["trigger"]],
    ["$.trigger.a", ["trigger.a"]],
    ["-a.b", ["a.b"]],
  ])("by bare names is told: %s", (text, reads) => {
    expect(readsOf(text)).toEqual(reads);
  });

  it("by references is told in order, with their places kept", () => {
    const { operands, source, problem } = parseExpression("{{a.b}} > 1 and {{My block['x y']}} = {{a.b}}");
    expect(problem).toBeNull();
    expect(operands.map(({ name, path }) => [name, path])).toEqual([
      ["a", ["b"]],
      ["My block", ["x y"]],
      ["a", ["b"]],
    ]);
    expect(source).toHaveLength("{{a.b}} > 1 and {{My block['x y']}} = {{a.b}}".length);
  });
});

describe("what is no expression", () => {
  it.each([
    ["", "Unexpected end of expression"],
    ["1 +", "Unexpected end of expression, near character 3."],
    ["a b", 'Syntax error: "b", near character 3.'],
    ["{{a.b", "is not closed"],
    ["{{a.b}} {{c.d}}", 'Syntax error: "{{c.d}}", near character'],
    ["'{{a.b}}'", "{{a.b}} stands inside quotes"],
    ["/* {{a.b}} */ 1", "{{a.b}} stands inside quotes or a comment"],
    ["$unknown(1)", "$unknown is neither a function nor a variable"],
    ["$eval('1')", "$eval is neither"],
    ["count(a.b)", "such as $count(…)"],
    ["$$", "reads all data at once"],
    ["$keys($)", "reads all data at once"],
    ["*.a", "reads all data at once"],
    ["%.a", "parent"],
    ["a.".repeat(300), "more than 200 steps"],
    ["(".repeat(100_000), "nested too deeply"],
  ])("is said in a sentence: %s", (text, part) => {
    const { problem } = parseExpression(text);
    expect(problem).toContain(part);
    expect(problem).toMatch(/^[^\n]+\.$/);
    expect(problem).not.toMatch(/[\u{E000}]/u);
  });

  it("never makes reading throw", () => {
    const token = fc.constantFrom(
      ..."{{a.b}} {{ }} a . $ $$ $x := ( ) [ ] { } ' \" ` / * % ~> | ^ @$i #$j 1 function($x) ? : , and in".split(
        " ",
      ),
    );
    fc.assert(
      fc.property(fc.array(fc.oneof({ weight: 9, arbitrary: token }, fc.string())), (tokens) => {
        const { problem } = parseExpression(tokens.join(" "));
        expect(problem === null || problem.length > 0).toBe(true);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe("the standard functions", () => {
  it("are those of the library, but for the one that evaluates texts", () => {
    const library = readFileSync(createRequire(import.meta.url).resolve("jsonata"), "utf8");
    const bound = [...library.matchAll(/(?:staticFrame|environment)\.bind\('(\w+)'/g)].map(
      ([, name]) => name,
    );
    expect(new Set([...standardFunctions, "eval"])).toEqual(new Set(bound));
  });
});
