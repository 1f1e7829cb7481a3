/** Values that are data, not schemas. */
const dataKeys = new Set(["example", "examples", "default", "enum", "const"]);

/** Name that stands for any JSON value. */
const JSON_VALUE = "JsonValue";
const UNNAMED = /^__schema\d+$/;
const UNNAMED_REFERENCE = /^#\/components\/schemas\/__schema\d+$/;

/**
 * The same part of a document, easier to read and to generate from: answers may gain fields, so nothing forbids
 * further ones; a `format` says what a long pattern repeats; the unnamed schemas of "any JSON value" become one.
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

/**
 * Schema components, tidied. Zod's `json()` has no name of its own; it is the only recursive schema that may do
 * without.
 * @throws Error when another recursive schema has no id.
 */
export function tidyComponents<Schema>(schemas: Readonly<Record<string, Schema>>): Record<string, Schema> {
  const unnamed = new Set<string>();
  const tidied = Object.entries(schemas).map(([name, schema]): [string, Schema] => {
    const tidy = tidySchemas(schema);
    if (!UNNAMED.test(name)) return [name, tidy];
    unnamed.add(JSON.stringify(tidy));
    return [JSON_VALUE, tidy];
  });
  if (unnamed.size > 1) throw new Error("A recursive schema has no name: give it an id with .meta({ id }).");
  return Object.fromEntries(tidied);
}
