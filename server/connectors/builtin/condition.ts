import { z } from "zod";
import { type BlockContext, defineConnector, type Exits, expression, literal } from "../define-connector.js";

/** Taken when no branch matched. */
const ELSE = "else";
/** What a branch cannot be called: other handles of the block. */
const takenNames: readonly string[] = [ELSE, "error"];
const MAX_BRANCHES = 50;

const Branch = z.strictObject({
  name: literal(
    z
      .string()
      .regex(/^[A-Za-z0-9_][A-Za-z0-9_ -]{0,63}$/, "expected 1 to 64 letters, digits, spaces, _ or -"),
  ).describe("Handle of the branch: what connections from it have as sourceHandle."),
  when: expression(z.string().min(1).max(2_000)).describe(
    "JSONata over trigger, vars and the blocks upstream; the branch matches when the value is truthy.",
  ),
});

const params = z
  .object({
    branches: z
      .array(Branch)
      .min(1)
      .max(MAX_BRANCHES)
      .optional()
      .describe("Named branches, looked at in order; what matches none goes on at the handle else."),
    mode: z
      .enum(["first", "all"])
      .optional()
      .describe("first, the default, takes the first branch that matches; all takes every one."),
    expression: expression(z.string().min(1).max(2_000))
      .optional()
      .describe(
        "Instead of branches: one JSONata expression; the handles are true and false. Truthy counts as true.",
      ),
  })
  .superRefine(({ branches, mode, expression }, context) => {
    const refuse = (path: (string | number)[], message: string) =>
      context.addIssue({ code: "custom", path, message });
    if (branches === undefined && expression === undefined) refuse([], "give either branches or expression");
    if (branches !== undefined && expression !== undefined)
      refuse(["expression"], "give either branches or expression, not both");
    if (mode !== undefined && branches === undefined) refuse(["mode"], "is only for branches; leave it out");
    const seen = new Set<string>();
    for (const [index, { name }] of (branches ?? []).entries()) {
      const path = ["branches", index, "name"];
      if (takenNames.includes(name)) refuse(path, `"${name}" is a handle of its own; choose another name`);
      if (seen.has(name)) refuse(path, `"${name}" is used twice; choose another name`);
      seen.add(name);
    }
  });

const exits: Exits = {
  of({ branches, expression }) {
    if (expression !== undefined && branches === undefined) return ["true", "false"];
    if (branches === undefined) return ["true", "false", ELSE];
    return [...(Array.isArray(branches) ? branches.flatMap(nameOf) : []), ELSE];
  },
  taken({ matched, result }) {
    if (typeof result === "boolean") return [String(result)];
    return Array.isArray(matched) && matched.length > 0 ? matched.map(String) : [ELSE];
  },
};

/** Decides by expressions where the run goes on. */
export const condition = defineConnector({
  type: "condition",
  name: "Condition",
  description:
    "Decides where the run goes on: named branches or one expression, each JSONata. A connection from it has a branch's name, else, true or false as sourceHandle; one without sourceHandle is always taken.",
  category: "logic",
  effect: "pure",
  params,
  outputs: z.object({
    branch: z.string().nullable().describe("The first branch that matched; null when none did."),
    matched: z.array(z.string()).describe("Every branch that is taken, but else."),
    result: z.boolean().optional().describe("Of a single expression: whether its value is truthy."),
  }),
  examples: [
    {
      title: "Sort orders by their size",
      params: {
        branches: [
          { name: "large", when: "trigger.total >= 1000" },
          { name: "small", when: "trigger.total > 0" },
        ],
      },
    },
    { title: "Yes or no", params: { expression: "{{fetch.status}} = 200" } },
  ],
  exits,
  async run({ branches, mode, expression }, { evaluate }) {
    if (expression !== undefined) {
      const result = Boolean(await evaluate(expression));
      return { branch: String(result), matched: [String(result)], result };
    }
    const matched = await matching(branches ?? [], mode ?? "first", evaluate);
    return { branch: matched[0] ?? null, matched };
  },
});

async function matching(
  branches: readonly z.infer<typeof Branch>[],
  mode: "first" | "all",
  evaluate: BlockContext["evaluate"],
): Promise<string[]> {
  const matched: string[] = [];
  for (const { name, when } of branches) {
    if (!(await evaluate(when))) continue;
    matched.push(name);
    if (mode === "first") break;
  }
  return matched;
}

function nameOf(branch: unknown): string | [] {
  const name = typeof branch === "object" && branch !== null && "name" in branch ? branch.name : undefined;
  return typeof name === "string" ? name : [];
}
