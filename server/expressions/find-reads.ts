import { isOperandName } from "./operands.js";
import { standardFunctions } from "./standard-functions.js";

/** A bare path that reads the data: its root name and the names that follow as far as they are certain. */
export interface DataRead {
  readonly root: string;
  readonly path: readonly string[];
}

/** A node of JSONata's tree, as far as it is walked. */
export interface Node {
  readonly type: string;
  readonly value?: unknown;
  readonly steps?: readonly Node[];
  readonly stages?: readonly Node[];
  readonly predicate?: readonly Node[];
  readonly group?: { readonly lhs: readonly (readonly Node[])[] };
  readonly terms?: readonly { readonly expression: Node }[];
  readonly focus?: string;
  readonly index?: string;
  readonly expr?: Node;
  readonly arguments?: readonly Node[];
  readonly procedure?: Node;
  readonly body?: Node;
  readonly expressions?: readonly Node[];
  readonly expression?: Node;
  readonly condition?: Node;
  readonly then?: Node;
  readonly else?: Node;
  readonly pattern?: Node;
  readonly update?: Node;
  readonly delete?: Node;
  readonly lhs?: Node | readonly (readonly Node[])[];
  readonly rhs?: Node;
}

/** What an expression reads and uses. */
export interface Findings {
  readonly reads: readonly DataRead[];
  /** Names of the variables that it looks at, without `$`. */
  readonly variables: ReadonlySet<string>;
  /** One sentence when it reads what cannot be told, or calls what is not there. */
  readonly problem: string | null;
}

/** Finds the root paths and variables of a parsed expression. */
export function findReads(tree: Node): Findings {
  const search = new Search();
  search.walk(tree, true);
  return search.findings();
}

const READS_EVERYTHING =
  "It reads all data at once; name what it reads, such as trigger.items or a block's id.";

class Search {
  readonly #reads: DataRead[] = [];
  readonly #variables = new Set<string>();
  readonly #bound = new Set<string>();
  #problem: string | null = null;
  #climbs = false;

  findings(): Findings {
    const unknown = [...this.#variables].find(
      (name) => !isOperandName(name) && !this.#bound.has(name) && !standardFunctions.has(name),
    );
    const problem =
      unknown === undefined
        ? null
        : `$${unknown} is neither a function nor a variable of this expression; bind it with $${unknown} := ….`;
    return {
      // A parent operator may lead from any path back to what lies beside it.
      reads: this.#climbs ? this.#reads.map(({ root }) => ({ root, path: [] })) : this.#reads,
      variables: this.#variables,
      problem: this.#problem ?? problem,
    };
  }

  /** `isRoot` says that a bare name looks into the data itself and not into what an outer path has come to. */
  walk(node: Node | undefined, isRoot: boolean): void {
    if (node === undefined) return;
    if (node.type === "path") this.#walkPath(node.steps ?? [], isRoot);
    else this.#walkOther(node, isRoot);
    this.#walkAll(node.predicate, false);
    this.#walkAll(node.stages, false);
    for (const pair of node.group?.lhs ?? []) this.#walkAll(pair, false);
    for (const name of [node.focus, node.index]) if (name !== undefined) this.#bound.add(name);
  }

  #walkAll(nodes: readonly Node[] | undefined, isRoot: boolean): void {
    for (const node of nodes ?? []) this.walk(node, isRoot);
  }

  #walkPath(steps: readonly Node[], isRoot: boolean): void {
    const [first] = steps;
    const isData = first?.type === "variable" && (first.value === "$" || (first.value === "" && isRoot));
    if (isData) this.#read(steps.slice(1));
    else if (isRoot && first?.type === "name") this.#read(steps);
    for (const [index, step] of steps.entries()) {
      if (index === 0 && isData) continue;
      this.walk(step, index === 0 && isRoot);
    }
  }

  /** The steps from the data on. */
  #read([root, ...rest]: readonly Node[]): void {
    if (root?.type !== "name" || root.focus !== undefined) {
      this.#problem ??= READS_EVERYTHING;
      return;
    }
    const path: string[] = [];
    let last = root;
    for (const step of rest) {
      const leadsOn = last.stages === undefined && last.predicate === undefined && last.index === undefined;
      if (!leadsOn || step.type !== "name" || step.focus !== undefined) break;
      path.push(String(step.value));
      last = step;
    }
    this.#reads.push({ root: String(root.value), path });
  }

  #walkOther(node: Node, isRoot: boolean): void {
    switch (node.type) {
      case "variable":
        if (node.value === "$" || (node.value === "" && isRoot)) this.#problem ??= READS_EVERYTHING;
        else if (node.value !== "") this.#variables.add(String(node.value));
        break;
      case "wildcard":
      case "descendant":
        if (isRoot) this.#problem ??= READS_EVERYTHING;
        break;
      case "parent":
        this.#climbs = true;
        break;
      case "index":
        this.#bound.add(String(node.value));
        break;
      case "filter":
        this.walk(node.expr, false);
        break;
      case "sort":
        for (const { expression } of node.terms ?? []) this.walk(expression, false);
        break;
      case "transform":
        for (const part of [node.pattern, node.update, node.delete]) this.walk(part, false);
        break;
      default:
        this.#walkParts(node, isRoot);
    }
  }

  /** What is evaluated where the node itself is, bodies of functions included. */
  #walkParts(node: Node, isRoot: boolean): void {
    if (node.type === "bind" && isNode(node.lhs)) this.#bound.add(String(node.lhs.value));
    if (node.type === "lambda") {
      for (const { value } of node.arguments ?? []) this.#bound.add(String(value));
    } else this.#walkAll(node.arguments, isRoot);
    if (node.procedure !== undefined) this.#walkProcedure(node.procedure, isRoot);
    this.#walkAll(node.expressions, isRoot);
    if (isNode(node.lhs)) this.walk(node.lhs, isRoot);
    else for (const pair of node.lhs ?? []) this.#walkAll(pair, isRoot);
    const { rhs, body, expression, condition } = node;
    for (const part of [rhs, body, expression, condition, node.then, node.else]) this.walk(part, isRoot);
  }

  #walkProcedure(procedure: Node, isRoot: boolean): void {
    const [first, ...rest] = procedure.steps ?? [];
    const name = first?.type === "name" && rest.length === 0 ? String(first.value) : null;
    if (name === null) this.walk(procedure, isRoot);
    else this.#problem ??= `${name}(…) calls no function; functions start with $, such as $${name}(…).`;
  }
}

function isNode(value: Node["lhs"]): value is Node {
  return value !== undefined && "type" in value;
}
