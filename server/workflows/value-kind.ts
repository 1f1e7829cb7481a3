import { z } from "zod";

const everyKind = ["string", "number", "boolean", "object", "array", "null"] as const;

/** What a JSON value can be. */
export type ValueKind = (typeof everyKind)[number];

/** The kinds that a value may have; `any` when nothing is known about it. */
export type ValueKinds = readonly ValueKind[] | "any";

/** The kind of a JSON value. */
export function kindOf(value: unknown): ValueKind {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  const type = typeof value;
  return type === "string" || type === "number" || type === "boolean" ? type : "object";
}

type JsonSchema = z.core.JSONSchema.JSONSchema;

const jsonSchemas = new WeakMap<z.ZodType, JsonSchema>();

/** The kinds that the schema's output may have at the path, or null when it declares no such path. */
export function kindsAt(schema: z.ZodType, path: readonly (string | number)[]): ValueKinds | null {
  const root = jsonSchemas.get(schema) ?? z.toJSONSchema(schema, { io: "output", unrepresentable: "any" });
  jsonSchemas.set(schema, root);
  let alternatives = alternativesOf(root, root);
  for (const step of path) {
    // What may be anything holds anything.
    if (alternatives.some((each) => ownKinds(each) === "any")) return "any";
    alternatives = alternatives
      .flatMap((each) => childrenOf(each, step))
      .flatMap((each) => alternativesOf(each, root));
  }
  if (alternatives.length === 0) return null;
  const kinds = new Set(alternatives.map(ownKinds).flatMap((each) => (each === "any" ? everyKind : each)));
  return kinds.size === everyKind.length ? "any" : [...kinds];
}

/** Follows local `$ref`s and opens unions; a schema that is met again on the way adds nothing. */
function alternativesOf(schema: JsonSchema, root: JsonSchema, seen = new Set<JsonSchema>()): JsonSchema[] {
  if (seen.has(schema)) return [];
  seen.add(schema);
  if (schema.$ref === "#") return alternativesOf(root, root, seen);
  if (schema.$ref !== undefined) {
    const target = root.$defs?.[schema.$ref.replace("#/$defs/", "")];
    return target === undefined ? [{}] : alternativesOf(target, root, seen);
  }
  const options = schema.anyOf ?? schema.oneOf;
  if (options === undefined) return [schema];
  return options.flatMap((option) => (typeof option === "boolean" ? [] : alternativesOf(option, root, seen)));
}

function childrenOf(schema: JsonSchema, step: string | number): JsonSchema[] {
  const kinds = ownKinds(schema);
  if (kinds === "any") return [{}];
  const children: (JsonSchema | boolean | undefined)[] = [];
  if (kinds.includes("object")) {
    const properties = schema.properties ?? {};
    const key = String(step);
    children.push(Object.hasOwn(properties, key) ? properties[key] : (schema.additionalProperties ?? true));
  }
  if (kinds.includes("array") && /^\d+$/.test(String(step))) {
    children.push(schema.prefixItems?.[Number(step)] ?? itemsOf(schema));
  }
  return children.flatMap((child) => (child === true ? [{}] : typeof child === "object" ? [child] : []));
}

function itemsOf({ items }: JsonSchema): JsonSchema | boolean {
  return Array.isArray(items) ? true : (items ?? true);
}

function ownKinds(schema: JsonSchema): ValueKinds {
  if (schema.type !== undefined) {
    return [schema.type].flat().map((type) => (type === "integer" ? "number" : (type as ValueKind)));
  }
  const values = schema.const === undefined ? schema.enum : [schema.const];
  return values === undefined ? "any" : values.map(kindOf);
}
