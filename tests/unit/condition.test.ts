import { describe, expect, it } from "vitest";
import { condition } from "../../server/connectors/builtin/condition.js";
import type { BlockContext } from "../../server/connectors/define-connector.js";
import { describeConnector } from "../../server/connectors/describe-connector.js";
import { isExpressionAt, isLiteralAt } from "../../server/workflows/block-types.js";

/** Evaluates only the literals that the tests use. */
const evaluated: string[] = [];
const context = {
  evaluate: async (text: string) => {
    evaluated.push(text);
    return JSON.parse(text) as unknown;
  },
} as BlockContext;
const decide = async (params: Record<string, unknown>) => {
  evaluated.length = 0;
  const output = await condition.run(condition.params.parse(params), context);
  return { output: condition.outputs.parse(output), taken: condition.exits?.taken(output) };
};
const branch = (name: string, when: string) => ({ name, when });

describe("the exits of a condition", () => {
  const of = (params: Record<string, unknown>) => condition.exits?.of(params);

  it("are its branches and else, or true and false", () => {
    expect(of({ branches: [branch("a", "1"), branch("b", "1")] })).toEqual(["a", "b", "else"]);
    expect(of({ expression: "1" })).toEqual(["true", "false"]);
    expect(of({})).toEqual(["true", "false", "else"]);
  });

  it("are told of any parameters, however wrong", () => {
    for (const branches of [null, "x", {}, [null, 1, {}, { name: 5 }, []]]) {
      expect(of({ branches })).toEqual(["else"]);
    }
  });

  it("are in its description", () => {
    const description = describeConnector(condition);
    expect(description.handles).toEqual(["true", "false", "else", "error"]);
    expect(description.subBlocks.map(({ id, type }) => [id, type])).toEqual([
      ["branches", "code"],
      ["mode", "dropdown"],
      ["expression", "expression"],
    ]);
  });
});

describe("a condition", () => {
  it("stops at the first branch that matches", async () => {
    const branches = [branch("a", "0"), branch("b", "1"), branch("c", "2")];
    expect(await decide({ branches })).toEqual({ output: { branch: "b", matched: ["b"] }, taken: ["b"] });
    expect(evaluated).toEqual(["0", "1"]);
  });

  it("looks at every branch with mode all", async () => {
    const branches = [branch("a", "0"), branch("b", "1"), branch("c", "2")];
    expect(await decide({ branches, mode: "all" })).toEqual({
      output: { branch: "b", matched: ["b", "c"] },
      taken: ["b", "c"],
    });
    expect(evaluated).toEqual(["0", "1", "2"]);
  });

  it.each(['""', "null", "0", "false"])("takes else, or false, for %s", async (nothing) => {
    expect((await decide({ branches: [branch("a", nothing)] })).taken).toEqual(["else"]);
    expect(await decide({ expression: nothing })).toEqual({
      output: { branch: "false", matched: ["false"], result: false },
      taken: ["false"],
    });
  });

  it("may call a branch true without being taken for a single expression", async () => {
    expect((await decide({ branches: [branch("true", "1")] })).taken).toEqual(["true"]);
    expect((await decide({ branches: [branch("true", "0")] })).taken).toEqual(["else"]);
  });
});

describe("the texts of its parameters", () => {
  it("are expressions and names, not templates", () => {
    expect(isExpressionAt(condition, ["branches", 0, "when"])).toBe(true);
    expect(isExpressionAt(condition, ["expression"])).toBe(true);
    expect(isLiteralAt(condition, ["branches", 3, "name"])).toBe(true);
    for (const path of [
      [],
      ["mode"],
      ["branches"],
      ["branches", 0],
      ["branches", 0, "name"],
      ["nothing", "x"],
    ]) {
      expect(isExpressionAt(condition, path), path.join(".")).toBe(false);
    }
  });
});
