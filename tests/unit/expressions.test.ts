import { afterAll, describe, expect, it } from "vitest";
import { BlockError } from "../../server/connectors/define-connector.js";
import type { ValueScope } from "../../server/engine/blocks/resolve-values.js";
import { EvaluatorPool } from "../../server/expressions/evaluator-pool.js";
import { createExpressions } from "../../server/expressions/expressions.js";

const ORGANIZATION = "organization";
const scope: ValueScope = {
  trigger: {
    n: 5,
    name: "Ada",
    items: [
      { price: 3, quantity: 1 },
      { price: 7, quantity: 2 },
    ],
    long: `${"a".repeat(40)}b`,
    lambda: { _jsonata_lambda: true, arguments: [], body: { type: "string", value: "escaped" } },
  },
  vars: { limit: 4 },
  outputs: { fetch: { status: 200, body: { ok: true } }, "my-block": { x: 1 } },
  nameToId: { "My fetch": "fetch" },
};

const expressions = createExpressions();
/** Has time to run out of memory on a busy machine too. */
const patient = createExpressions({ timeoutMs: 8_000, maxProcesses: 1 });
const evaluate = (text: string, by = expressions) => by.evaluate(ORGANIZATION, text, scope);
const failure = (text: string, by = expressions): Promise<BlockError> =>
  evaluate(text, by).then(
    (value) => Promise.reject(new Error(`${text} gave ${JSON.stringify(value)}`)),
    (error: unknown) => {
      expect(error).toBeInstanceOf(BlockError);
      return error as BlockError;
    },
  );
afterAll(() => Promise.all([expressions.close(), patient.close()]));

describe("an expression", () => {
  it.each<[string, unknown]>([
    ["1 + 1", 2],
    ["{{trigger.n}} > 4", true],
    ["trigger.n > 4 and {{fetch.status}} = 200", true],
    ["trigger.items[price > {{vars.limit}}].quantity", 2],
    ["trigger.items.price", [3, 7]],
    ["[trigger.items[price > 1].price]", [3, 7]],
    ["[trigger.items[price > 4].price]", [7]],
    ["[trigger.items[price > 9].price]", []],
    ["$sum(trigger.items.(price * quantity))", 17],
    ["trigger.items^(>price).quantity", [2, 1]],
    ["$map(trigger.items, function($item) { $item.price > vars.limit })", [false, true]],
    [
      "trigger.items.{ 'p': price, 'limit': $$.vars.limit }",
      [
        { p: 3, limit: 4 },
        { p: 7, limit: 4 },
      ],
    ],
    ["trigger.items.%.n", [5, 5]],
    ["`My fetch`.status", 200],
    ["{{My fetch.status}} + 1", 201],
    ["{{my-block.x}} + 1", 2],
    ["$.fetch.body", { ok: true }],
    ["($total := trigger.n * 2; $total + $$.vars.limit)", 14],
    ["'Hello ' & {{trigger.name}} & \"!\"", "Hello Ada!"],
    ["trigger.items[quantity = 1]", { price: 3, quantity: 1 }],
    ["trigger.items[quantity = 1][]", [{ price: 3, quantity: 1 }]],
    ["{ 'a': [], 'b': null }", { a: [], b: null }],
  ])("%s gives its value as plain JSON", async (text, value) => {
    const found = await evaluate(text);
    expect(found).toEqual(value);
    if (Array.isArray(found)) expect(Object.keys(found)).toEqual(found.map((_, index) => String(index)));
  });

  it("gives null where there is nothing", async () => {
    for (const text of ["trigger.nope", "missing.x", "{{trigger.nope}}", "trigger.items[price > 100]"]) {
      expect(await evaluate(text), text).toBeNull();
    }
  });

  it("that is one reference is the value itself, without another process", async () => {
    expect(await evaluate("{{trigger.items}}")).toBe((scope.trigger as { items: unknown }).items);
  });

  it("sees a name as the data only outside of paths, predicates and other places of their own", async () => {
    expect(await evaluate("trigger.items[limit = 4]")).toBeNull();
    expect(await evaluate("trigger.(n + $$.vars.limit)")).toBe(9);
  });

  it("keeps nothing of one evaluation for the next", async () => {
    expect(await evaluate("($seen := $exists($kept); $kept := 1; $seen)")).toBe(false);
    expect(await evaluate("($seen := $exists($kept); $kept := 1; $seen)")).toBe(false);
  });

  it("that fails says where and why, in the words that were written", async () => {
    expect(await failure("{{trigger.name}} + 1")).toMatchObject({
      code: "expression_failed",
      isRetryable: false,
      message: expect.stringMatching(
        /left side of the "\+" operator must evaluate to a number, near character 18/,
      ),
    });
    expect((await failure("1 +")).message).toContain("Unexpected end of expression, near character 3");
    expect((await failure("{{trigger.n}}(1)")).message).not.toMatch(/[\u{E000}]/u);
    expect((await failure("$error('out of stock')")).message).toContain("out of stock");
    for (const text of ["1 +", "'a' + 1"]) expect((await failure(text)).message).not.toContain("at ");
  });

  it("that gives a function gives no value", async () => {
    for (const text of ["$sum", "{ 'f': $sum }", "function($x) { $x }"]) {
      expect((await failure(text)).message, text).toContain("function");
    }
  });
});

describe("an expression reaches nothing but its data", () => {
  it.each([
    "trigger.constructor",
    "trigger.__proto__",
    "trigger.n.constructor",
    "trigger.name.length",
    "trigger.items.constructor.constructor",
    "$lookup(trigger, 'constructor')",
    "$sum.constructor",
    "$sum.implementation",
    "$match('a', /a/).next.constructor",
    "process",
    "process.env",
    "globalThis",
    "require",
    "fetch.constructor",
  ])("%s is nothing", async (text) => {
    expect(await evaluate(text)).toBeNull();
  });

  it.each([
    "$eval('1')",
    "$constructor('return process')()",
    "trigger.lambda()",
    "($f := trigger.lambda; $f())",
    "$sum.constructor('return process')()",
    "$$",
    "$",
    "*",
    "**.status",
  ])("%s fails", async (text) => {
    expect(await failure(text)).toMatchObject({ code: "expression_failed" });
  });

  it("cannot change what others see", async () => {
    await evaluate("trigger ~> |$|{ '__proto__': { 'polluted': 1 }, 'n': 6 }|");
    await evaluate("$merge([{ '__proto__': { 'polluted': 1 } }, { 'constructor': { 'prototype': 1 } }])");
    expect(await evaluate("[trigger.polluted, {}.polluted, vars.polluted]")).toEqual([]);
    expect(await evaluate("trigger.n")).toBe(5);
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  });

  it("brings along what it references and nothing else", async () => {
    const unread = { toJSON: () => expect.unreachable("was sent") };
    const guarded = { ...scope, outputs: { ...scope.outputs, unread }, vars: { limit: 4, unread } };
    const trigger = { n: 5, unread };
    expect(await expressions.evaluate(ORGANIZATION, "trigger.n + vars.limit", { ...guarded, trigger })).toBe(
      9,
    );
    expect(
      await expressions.evaluate(ORGANIZATION, "{{trigger.n}} + {{vars.limit}}", { ...guarded, trigger }),
    ).toBe(9);
  });
});

describe("an expression that takes too much", () => {
  it.each([
    ["endless recursion", "($f := function($n) { 1 + $f($n + 1) }; $f(0))", "expression_failed"],
    ["an endless loop", "($f := function($n) { $f($n + 1) }; $f(0))", "expression_timeout"],
    ["a regular expression that never ends", "$contains(trigger.long, /(a+)+$/)", "expression_timeout"],
    ["a huge range", "[1..10000000]", "expression_too_large"],
    ["lists beyond the memory", "$map([1..100], function($i) { [1..900000] })", "expression_too_large"],
    [
      "texts beyond the memory",
      "$map([1..100], function($i) { $pad('a', 100000000 + $i) })",
      "expression_too_large",
    ],
    ["a text of a gigabyte", "$pad('a', 1000000000)", "expression_too_large"],
    ["a result of more than 1 MiB", "$pad('a', 1048576)", "expression_too_large"],
    ["deep nesting", `${"(".repeat(900)}1${")".repeat(900)}`, "expression_failed"],
    ["nesting that cannot even be read", "[".repeat(50_000), "expression_failed"],
  ])("because of %s ends cleanly, and the next one works", async (_what, text, code) => {
    const startedAt = performance.now();
    const by = code === "expression_too_large" ? patient : expressions;
    expect((await failure(text, by)).code).toBe(code);
    expect(performance.now() - startedAt).toBeLessThan(15_000);
    expect(await evaluate("trigger.n + 1", by)).toBe(6);
  });

  it("holds up the others only as long as its time", async () => {
    const texts = Array.from({ length: 20 }, (_, index) => `${index} + trigger.n`);
    const slow = [1, 2, 3].map(() => failure("$contains(trigger.long, /(a+)+$/)"));
    expect(await Promise.all(texts.map((text) => evaluate(text)))).toEqual(
      texts.map((_, index) => index + 5),
    );
    expect((await Promise.all(slow)).map(({ code }) => code)).toEqual(Array(3).fill("expression_timeout"));
  });

  it("has the time that it is given", async () => {
    const hasty = createExpressions({ timeoutMs: 100, maxProcesses: 1 });
    try {
      await expect(
        hasty.evaluate(ORGANIZATION, "($f := function($n) { $f($n + 1) }; $f(0))", scope),
      ).rejects.toMatchObject({
        code: "expression_timeout",
        message: expect.stringContaining("longer than 100 ms; make it simpler"),
      });
    } finally {
      await hasty.close();
    }
  });
});

describe("evaluations that wait", () => {
  it("are taken from one organization after the other", async () => {
    const pool = new EvaluatorPool(1);
    const order: string[] = [];
    const ask = async (organizationId: string) => {
      const all = { source: "1", operands: [], labels: [], input: {}, timeoutMs: 8_000, maxBytes: 10 };
      expect(await pool.evaluate(organizationId, all)).toEqual({ json: "1" });
      order.push(organizationId);
    };
    await Promise.all(["a", "a", "a", "a", "a", "b", "b", "c"].map(ask));
    await pool.close();
    // The first found the process free.
    expect(order.join(" ")).toBe("a a b c a b a a");
  });
});

describe("closing", () => {
  it("fails what is being evaluated and what waits, and everything later", async () => {
    const closing = createExpressions({ maxProcesses: 1 });
    expect(await closing.evaluate(ORGANIZATION, "1 + 1", scope)).toBe(2);
    const open = ["$contains(trigger.long, /(a+)+$/)", "1 + 1"].map((text) =>
      closing.evaluate(ORGANIZATION, text, scope).catch((error: unknown) => error),
    );
    await closing.close();
    for (const error of [
      ...(await Promise.all(open)),
      await closing.evaluate(ORGANIZATION, "1 + 1", scope).catch((e) => e),
    ]) {
      expect(error).toMatchObject({ code: "expression_failed", isRetryable: true });
    }
    expect(await closing.evaluate(ORGANIZATION, "{{trigger.n}}", scope)).toBe(5);
  });
});
