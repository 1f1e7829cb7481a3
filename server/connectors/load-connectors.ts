import { stat } from "node:fs/promises";
import { extname, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { z } from "zod";
import { ConfigError } from "../config.js";
import { RetryPolicy } from "../workflows/document.js";
import type { ComputeConnector, Connector } from "./define-connector.js";

const method = z.custom((value) => typeof value === "function", "is not a function");

/** Milliseconds after which a module that is still loading is named in the log. */
const SLOW_MS = 10_000;

/** What `defineConnector` makes, checked by shape because a module may have loaded another copy of this package. */
const Shape = z.object({
  kind: z.literal("compute"),
  type: z.string(),
  name: z.string(),
  description: z.string(),
  category: z.string(),
  effect: z.enum(["pure", "idempotent", "unsafe"]),
  retry: RetryPolicy,
  timeoutMs: z.int().min(1),
  params: z.instanceof(z.ZodObject),
  outputs: z.instanceof(z.ZodObject),
  examples: z.array(z.object({ title: z.string(), params: z.record(z.string(), z.unknown()) })),
  exits: z.object({ of: method, taken: method }).optional(),
  checks: z.array(z.object({ of: z.array(z.string()).min(1), refuse: method })).optional(),
  run: method,
});

/**
 * Imports the modules in order and returns their connectors, none of a type that one of `builtin` or another module
 * has. A path is relative to `cwd`; a module default-exports one connector or an array of them. One that takes long is
 * waited for, and `warn` hears of it.
 * @throws ConfigError naming the module and what is wrong with it.
 */
export async function loadConnectors(
  modulePaths: readonly string[],
  cwd: string,
  builtin: readonly Connector[] = [],
  warn: (message: string) => void = () => undefined,
): Promise<ComputeConnector[]> {
  const connectors: ComputeConnector[] = [];
  const ownerOfType = new Map(builtin.map(({ type }) => [type, "Flowkeep itself"]));
  for (const path of modulePaths) {
    for (const connector of await loadModule(path, cwd, warn)) {
      const { type } = connector;
      const owner = ownerOfType.get(type);
      if (owner !== undefined) {
        throw moduleError(
          path,
          `its connector type "${type}" is already defined by ${owner}; give it another type`,
        );
      }
      ownerOfType.set(type, path);
      connectors.push(connector);
    }
  }
  return connectors;
}

async function loadModule(
  path: string,
  cwd: string,
  warn: (message: string) => void,
): Promise<ComputeConnector[]> {
  const file = resolve(cwd, path);
  await checkFile(path, file);
  const slow = setTimeout(() => {
    warn(`Connector module ${path} is still loading: it waits at its top level; do such work inside of run.`);
  }, SLOW_MS);
  let loaded: { default?: unknown };
  try {
    loaded = await import(pathToFileURL(file).href);
  } catch (cause) {
    throw moduleError(path, `it cannot be imported: ${withRemedy(String(cause))}`, cause);
  } finally {
    clearTimeout(slow);
  }
  if (loaded.default === undefined) {
    throw moduleError(path, "it has no default export; export one connector or an array of them");
  }
  const exported: unknown[] = Array.isArray(loaded.default) ? loaded.default : [loaded.default];
  if (exported.length === 0) throw moduleError(path, "its default export is empty; export a connector");
  return exported.map((value, index) => toConnector(value, path, index));
}

async function checkFile(path: string, file: string): Promise<void> {
  if (/\.[cm]?tsx?$/.test(path)) {
    throw moduleError(path, "TypeScript is not loaded; compile it and name the .js file in CONNECTORS");
  }
  if (![".js", ".mjs"].includes(extname(path))) throw moduleError(path, "it must be a .js or .mjs file");
  const stats = await stat(file).catch(() => null);
  if (stats?.isFile() !== true) throw moduleError(path, `there is no file ${file}`);
}

function toConnector(value: unknown, path: string, index: number): ComputeConnector {
  const checked = Shape.safeParse(value);
  if (!checked.success) {
    const [issue] = checked.error.issues;
    const field = issue === undefined || issue.path.length === 0 ? "the value" : issue.path.join(".");
    throw moduleError(
      path,
      `connector ${index + 1} of its default export was not made by defineConnector (${field}: ${issue?.message})`,
    );
  }
  return value as ComputeConnector;
}

function withRemedy(problem: string): string {
  if (!problem.includes("Cannot find package 'flowkeep'")) return problem;
  return `${problem}; keep the module below the server's folder, or link that folder as node_modules/flowkeep beside it`;
}

function moduleError(path: string, problem: string, cause?: unknown): Error {
  return new ConfigError(`Connector module ${path}: ${problem.replace(/\.$/, "")}.`, { cause });
}
