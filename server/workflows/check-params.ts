import type { z } from "zod";
import { BlockError } from "../connectors/block-error.js";
import { type BlockType, parameterUse } from "./block-types.js";
import { kindOf, type ValueKind, type ValueKinds } from "./value-kind.js";

type Path = readonly PropertyKey[];
type Issue = z.core.$ZodIssue;

/** A text in the parameters that gets its value only when the block runs. */
export interface TemplateValue {
  readonly path: Path;
  readonly kinds: ValueKinds;
}

/** One thing in the parameters that their schema does not take. */
export interface ParamProblem {
  readonly path: Path;
  /** What their schema says of it; described where it is shown, because there may be tens of thousands. */
  readonly issue: Issue;
  readonly template: TemplateValue | null;
}

/** A value of each kind that coercing schemas take as well. */
const samples: Readonly<Record<ValueKind, unknown>> = {
  string: "1",
  number: 1,
  boolean: true,
  object: {},
  array: [],
  null: null,
};

/** Where the templates are: a tree along their paths. */
interface TemplateTree {
  template: TemplateValue | null;
  children: Map<PropertyKey, TemplateTree> | null;
}

/**
 * What the type's schema does not take, hidden and unknown parameters aside. A template stands for any value of its
 * kinds: it is at fault only when no kind fits; formats, ranges and its inside are left to the run.
 */
export function checkParams(
  type: BlockType,
  params: object,
  templates: readonly TemplateValue[],
): ParamProblem[] {
  const tree = plantTree(templates);
  const problems = problemsOf(type, params, tree, 0);
  const blamed = new Set(problems.map(({ template }) => template).filter((template) => template !== null));
  // Another round tries another kind of each template; what is not blamed in every round can fit.
  for (let round = 1; [...blamed].some(({ kinds }) => round < kinds.length); round += 1) {
    const again = new Set(problemsOf(type, params, tree, round).map(({ template }) => template));
    for (const template of blamed) if (!again.has(template)) blamed.delete(template);
  }
  return problems.filter(({ template }) => template === null || blamed.has(template));
}

/** What the type's own rules refuse, each with the parameter to blame; none is asked about a parameter of `open`. */
export function* refusedParams(
  type: BlockType,
  params: Readonly<Record<string, unknown>>,
  open: ReadonlySet<string>,
): Generator<{ readonly field: string; readonly error: string }> {
  for (const { of, refuse } of type.checks ?? []) {
    if (of.some((name) => open.has(name))) continue;
    try {
      const parsed = of.map((name) => [name, type.params.shape[name]?.safeParse(params[name])] as const);
      if (parsed.some(([, result]) => result?.success !== true)) continue;
      const answer: unknown = refuse(
        Object.fromEntries(parsed.map(([name, result]) => [name, result?.data])),
      );
      // A rule that answers later is no rule, and its failure is nobody's.
      if (answer instanceof Promise) answer.catch(() => undefined);
    } catch (error) {
      // Whatever else a rule throws says nothing of the parameters; the run itself will tell.
      if (error instanceof BlockError) yield { field: of[0], error: error.message };
    }
  }
}

function plantTree(templates: readonly TemplateValue[]): TemplateTree {
  const root: TemplateTree = { template: null, children: null };
  for (const template of templates) {
    let node = root;
    for (const step of template.path) {
      node.children ??= new Map();
      const next = node.children.get(step) ?? { template: null, children: null };
      node.children.set(step, next);
      node = next;
    }
    node.template = template;
  }
  return root;
}

function problemsOf(type: BlockType, params: object, tree: TemplateTree, round: number): ParamProblem[] {
  return parseIssues(type.params, fill(params, tree, round))
    .filter(({ code, path: [name] }) => {
      if (name === undefined) return code !== "unrecognized_keys";
      return parameterUse(type, String(name)) !== "hidden";
    })
    .flatMap((issue) => judge(issue, [], tree, round));
}

/** A schema that throws or needs to wait cannot be asked before the run; the run itself will tell. */
function parseIssues(schema: z.ZodType, value: unknown): readonly Issue[] {
  try {
    return schema.safeParse(value).error?.issues ?? [];
  } catch {
    return [];
  }
}

/** Holds an issue against a literal value, against a template, or against nobody. */
function judge(issue: Issue, base: Path, tree: TemplateTree, round: number): ParamProblem[] {
  const path = [...base, ...issue.path];
  const { template, isOnTheWay } = findTemplate(path, tree);
  const problem = { path, issue, template };
  if (template !== null) {
    const isRoot = path.length === template.path.length;
    const isAtFault =
      isRoot && template.kinds !== "any" && isWrongKind(issue, kindOf(sampleOf(template, round)));
    return isAtFault ? [problem] : [];
  }
  if (!isOnTheWay) return [problem];
  if (issue.code === "custom") return [];
  if (issue.code !== "invalid_union") return [problem];
  const options = issue.errors.map((errors) => errors.flatMap((error) => judge(error, path, tree, round)));
  if (options.some((problems) => problems.length === 0)) return [];
  // The option that the value follows farthest is the one that was meant.
  return options.sort((a, b) => depthOf(b) - depthOf(a))[0] ?? [];
}

function depthOf(problems: readonly ParamProblem[]): number {
  return problems.reduce((deepest, { path }) => Math.max(deepest, path.length), 0);
}

/** The template at the path or above it, or else whether the path leads to one. */
function findTemplate(
  path: Path,
  tree: TemplateTree,
): { template: TemplateValue | null; isOnTheWay: boolean } {
  let node: TemplateTree | undefined = tree;
  for (const step of path) {
    if (node === undefined || node.template !== null) break;
    node = node.children?.get(step);
  }
  return { template: node?.template ?? null, isOnTheWay: (node?.children ?? null) !== null };
}

/** Whether the issue says that no value of this kind would do, rather than that the sample would not. */
function isWrongKind(issue: Issue, kind: ValueKind): boolean {
  switch (issue.code) {
    case "invalid_type":
      return true;
    case "invalid_value":
      return issue.values.every((value) => kindOf(value) !== kind);
    case "invalid_union":
      return (
        issue.errors.length > 0 &&
        issue.errors.every((errors) =>
          errors.some((error) => error.path.length === 0 && isWrongKind(error, kind)),
        )
      );
    default:
      return false;
  }
}

function sampleOf({ kinds }: TemplateValue, round: number): unknown {
  const kind = kinds === "any" ? "string" : kinds[Math.min(round, kinds.length - 1)];
  return samples[kind ?? "null"];
}

/** The value with samples in place of the templates; what holds none is not copied. */
function fill(value: unknown, tree: TemplateTree | undefined, round: number): unknown {
  if (tree === undefined) return value;
  if (tree.template !== null) return sampleOf(tree.template, round);
  const { children } = tree;
  if (children === null || typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map((item, index) => fill(item, children.get(index), round));
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [key, fill(item, children.get(key), round)]),
  );
}
