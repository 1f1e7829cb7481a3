import { stat } from "node:fs/promises";
import { extname, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { z } from "zod";
import { ConfigError } from "../config.js";
import { RetryPolicy } from "../workflows/document.js";
import type { ComputeConnector } from "./define-connector.js";

const method = z.custom((value) => typeof value === "function", "is not a function");

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
  run: method,
});

/**
 * Imports the modules in order and returns their connectors. A path is relative to `cwd`; a module
 * default-exports one connector or an array of them.
 * @throws ConfigError naming the module and what is wrong with it.
 */
export async function loadConnectors(
  modulePaths: readonly string[],
  cwd: string,
): Promise<ComputeConnector[]> {
  const connectors: ComputeConnector[] = [];
  const moduleOfType = new Map<string, string>();
  for (const path of modulePaths) {
    for (const connector of await loadModule(path, cwd)) {
      const other = moduleOfType.get(connector.type);
      if (other !== undefined) {
        throw moduleError(path, `its connector type "${connector.type}" is already defined by ${other}`);
      }
      moduleOfType.set(connector.type, path);
      connectors.push(connector);
    }
  }
  return connectors;
}

async function loadModule(path: string, cwd: string): Promise<ComputeConnector[]> {
  const file = resolve(cwd, path);
  await checkFile(path, file);
  let loaded: { default?: unknown };
  try {
    loaded = await import(pathToFileURL(file).href);
  } catch (cause) {
    throw moduleError(path, `it cannot be imported: ${String(cause)}`, cause);
  }
  if (loaded.default === undefined) {
    throw moduleError(path, "it has no default export; export one connector or an array of them");
  }
  const exported: unknown[] = Array.isArray(loaded.default) ? loaded.default : [loaded.default];
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

function moduleError(path: string, problem: string, cause?: unknown): Error {
  return new ConfigError(`Connector module ${path}: ${problem}.`, { cause });
}
