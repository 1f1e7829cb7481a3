import { BlockError } from "../../connectors/define-connector.js";
import { parseTemplate, type Reference, soleReference } from "../../workflows/references.js";

/** Most characters of JSON that references may bring into one value, so that a small document cannot make a huge one. */
export const MAX_RESOLVED_CHARACTERS = 4_194_304;

/** Where references look. */
export interface ValueScope {
  /** The run's input. */
  readonly trigger: unknown;
  /** The document's variables. */
  readonly vars: Readonly<Record<string, unknown>>;
  /** Outputs by block id; a block without an output yet is absent. */
  readonly outputs: Readonly<Record<string, unknown>>;
  /** Ids of named blocks; a name that is also an id means the id. */
  readonly nameToId: Readonly<Record<string, string>>;
  /** The secret, or null where secrets are not allowed; `path` leads to the text. Without it every secret is null. */
  readonly secrets?: (name: string, path: Path) => string | null;
}

/** Keys and indexes from the root of a value, outermost first; read it before the next one is asked for. */
export type Path = readonly (string | number)[];

/**
 * Fills every reference of a JSON value and returns a new value; object keys stay as they are. A string that is one
 * reference becomes the value itself, null when it is missing. Inside longer text strings stand as they are,
 * null and missing values as nothing, anything else as JSON. One pass: what a reference brings in is never read as
 * a template. Only own properties are reached. Texts at paths that `isLiteral` names stay as they are.
 * @throws BlockError `value_too_large`, and what `scope.secrets` throws.
 */
export function resolveValue(
  value: unknown,
  scope: ValueScope,
  isLiteral: (path: Path) => boolean = () => false,
): unknown {
  let remaining = MAX_RESOLVED_CHARACTERS;
  const path: (string | number)[] = [];

  const bringIn = (reference: Reference): unknown => {
    const found = look(reference, scope, path) ?? null;
    remaining -= countCharacters(found, remaining);
    if (remaining < 0) {
      throw new BlockError(
        "value_too_large",
        `${reference.text} makes the value larger than ${MAX_RESOLVED_CHARACTERS} characters; reference less of it.`,
      );
    }
    return found;
  };

  const resolveText = (text: string): unknown => {
    const parts = parseTemplate(text);
    const sole = soleReference(parts);
    if (sole !== null) return bringIn(sole);
    return parts.map((part) => (part.kind === "text" ? part.text : toText(bringIn(part)))).join("");
  };

  const resolveAt = (key: string | number, item: unknown): unknown => {
    path.push(key);
    const resolved = resolve(item);
    path.pop();
    return resolved;
  };

  const resolve = (item: unknown): unknown => {
    if (typeof item === "string") return isLiteral(path) ? item : resolveText(item);
    if (Array.isArray(item)) return item.map((entry, index) => resolveAt(index, entry));
    if (typeof item !== "object" || item === null) return item;
    return Object.fromEntries(Object.entries(item).map(([key, entry]) => [key, resolveAt(key, entry)]));
  };

  return resolve(value);
}

function look(reference: Reference, scope: ValueScope, at: Path): unknown {
  const { source, name, path } = reference;
  switch (source) {
    case "trigger":
      return follow(scope.trigger, path);
    case "vars":
      return follow(scope.vars, [name, ...path]);
    case "secrets":
      return scope.secrets?.(name, at);
    case "block": {
      const id = Object.hasOwn(scope.outputs, name) ? name : own(scope.nameToId, name);
      return typeof id === "string" ? follow(scope.outputs, [id, ...path]) : undefined;
    }
  }
}

function follow(start: unknown, path: readonly (string | number)[]): unknown {
  return path.reduce(own, start);
}

function own(value: unknown, key: string | number): unknown {
  if (typeof value !== "object" || value === null || !Object.hasOwn(value, key)) return undefined;
  return Reflect.get(value, key);
}

function toText(value: unknown): string {
  if (typeof value === "string") return value;
  return value === null ? "" : JSON.stringify(value);
}

/** Length of a value as JSON, escapes aside; stops counting once it is beyond `limit`. */
function countCharacters(value: unknown, limit: number): number {
  if (typeof value === "string") return value.length + 2;
  if (typeof value !== "object" || value === null) return String(value).length;
  let count = 2;
  const isArray = Array.isArray(value);
  for (const [key, item] of Object.entries(value)) {
    count += (isArray ? 1 : key.length + 4) + countCharacters(item, limit - count);
    if (count > limit) break;
  }
  return count;
}
