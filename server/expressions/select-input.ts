import type { ValueScope } from "../engine/blocks/resolve-values.js";
import type { DataRead } from "./find-reads.js";

/** What is read below a value; null means all of it. */
type Tree = Map<string, Tree> | null;

/** The data that the paths read and, as far as objects lead to it, nothing else; what is missing is absent. */
export function selectInput(reads: readonly DataRead[], scope: ValueScope): Record<string, unknown> {
  const tree: Tree = new Map();
  for (const { root, path } of reads) plant(tree, [root, ...path]);
  return Object.fromEntries(
    [...tree].flatMap(([root, below]) => {
      const value = lookUp(root, scope);
      return value === undefined ? [] : [[root, select(value, below)]];
    }),
  );
}

function lookUp(root: string, { trigger, vars, outputs, nameToId }: ValueScope): unknown {
  if (root === "trigger") return trigger;
  if (root === "vars") return vars;
  const id = Object.hasOwn(outputs, root) ? root : Object.hasOwn(nameToId, root) ? nameToId[root] : undefined;
  return id !== undefined && Object.hasOwn(outputs, id) ? outputs[id] : undefined;
}

function plant(tree: Map<string, Tree>, [key = "", ...rest]: readonly string[]): void {
  const known = tree.get(key);
  if (known === null) return;
  if (rest.length === 0) {
    tree.set(key, null);
    return;
  }
  const below = known ?? new Map<string, Tree>();
  tree.set(key, below);
  plant(below, rest);
}

function select(value: unknown, tree: Tree): unknown {
  if (tree === null || typeof value !== "object" || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(
    [...tree].flatMap(([key, below]) =>
      Object.hasOwn(value, key) ? [[key, select(Reflect.get(value, key), below)]] : [],
    ),
  );
}
