import type { oas31 } from "zod-openapi";

/** Values that are data, not schemas. */
const dataKeys = new Set(["example", "examples", "default", "enum", "const"]);

/** Name that stands for any JSON value. */
const JSON_VALUE = "JsonValue";
const UNNAMED = /^__schema\d+$/;
const UNNAMED_REFERENCE = /^#\/components\/schemas\/__schema\d+$/;

/**
 * The same part of a document, easier to read and to generate from: answers may gain fields, so nothing forbids
 * further ones; a `format` says what a long pattern repeats; the unnamed schemas of "any JSON value" are one.
 */
export function tidySchemas<T>(part: T, isByName = false): T {
  if (Array.isArray(part)) return part.map((item) => tidySchemas(item)) as T;
  if (typeof part !== "object" || part === null) return part;
  const entries = Object.entries(part).flatMap(([key, value]): [string, unknown][] => {
    if (isByName) return [[key, tidySchemas(value)]];
    if (isNoise(key, value, part)) return [];
    if (dataKeys.has(key)) return [[key, value]];
    if (key === "$ref" && UNNAMED_REFERENCE.test(value)) return [[key, `#/components/schemas/${JSON_VALUE}`]];
    return [[key, tidySchemas(value, key === "properties")]];
  });
  return Object.fromEntries(entries) as T;
}

function isNoise(key: string, value: unknown, owner: object): boolean {
  switch (key) {
    case "additionalProperties":
      return value === false;
    case "pattern":
      return "format" in owner;
    case "propertyNames":
      return JSON.stringify(value) === '{"type":"string"}';
    default:
      return false;
  }
}

type Components = Record<string, oas31.SchemaObject | oas31.ReferenceObject>;

const self = { $ref: `#/components/schemas/${JSON_VALUE}` };
const recursiveJson = JSON.stringify({
  anyOf: [
    { type: "string" },
    { type: "number" },
    { type: "boolean" },
    { type: "null" },
    { type: "array", items: self },
    { type: "object", additionalProperties: self },
  ],
});

/**
 * Schema components, tidied. Zod's `json()` has no name of its own and refers to itself, which generators of types
 * cannot follow; it becomes a schema that allows anything.
 * @throws Error when another recursive schema has no id.
 */
export function tidyComponents(schemas: Components): Components {
  const tidied = Object.entries(schemas).map(([name, schema]): [string, Components[string]] => {
    const tidy = tidySchemas(schema);
    if (!UNNAMED.test(name)) return [name, tidy];
    if (JSON.stringify(tidy) !== recursiveJson) {
      throw new Error("A recursive schema has no name: give it an id with .meta({ id }).");
    }
    return [JSON_VALUE, { description: "Any JSON value." }];
  });
  return Object.fromEntries(tidied);
}
