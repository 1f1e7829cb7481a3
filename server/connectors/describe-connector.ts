import { z } from "zod";
import { type Connector, type JsonObject, type Marks, marksOf } from "./define-connector.js";

/** What a list of connectors shows. */
export interface ConnectorSummary {
  readonly type: string;
  readonly name: string;
  readonly description: string;
  readonly category: string;
  readonly kind: Connector["kind"];
}

/** How a form asks for a parameter; `code` takes JSON, `expression` JSONata. */
export type InputType =
  | "short-input"
  | "long-input"
  | "dropdown"
  | "switch"
  | "number"
  | "code"
  | "expression";

/** One field of a form: a visible parameter. */
export interface SubBlock {
  /** Key in the block's `params`. */
  readonly id: string;
  readonly title: string;
  readonly type: InputType;
  readonly required: boolean;
  /** Whether `{{secrets.NAME}}` is allowed in it. */
  readonly isSecretCapable: boolean;
  readonly description?: string;
  /** The values of a dropdown. */
  readonly options?: string[];
  /** What an absent parameter means. */
  readonly default?: unknown;
}

const jsonTypes = ["string", "number", "integer", "boolean", "object", "array"] as const;

/** One output that later blocks may reference; `any` where more than one JSON type is possible. */
export interface OutputField {
  readonly type: (typeof jsonTypes)[number] | "any";
  readonly description?: string;
}

/** Everything a client needs to fill in a block of this type. */
export interface ConnectorDetail extends ConnectorSummary {
  /** JSON Schema (2020-12) of `params`, references aside. */
  readonly params: Record<string, unknown>;
  readonly subBlocks: SubBlock[];
  readonly outputs: Record<string, OutputField>;
  /** What a connection from such a block may have as `sourceHandle`, before params add to it; null: any. */
  readonly handles: string[] | null;
  readonly examples: { title: string; params: JsonObject }[];
}

/** The summary of a connector. */
export function summarizeConnector(connector: Connector): ConnectorSummary {
  const { type, name, description, category, kind } = connector;
  return { type, name, description, category, kind };
}

/** The full description of a connector, without a trace of hidden parameters. */
export function describeConnector(connector: Connector): ConnectorDetail {
  const params = toJsonSchema(connector.params, "input");
  const outputs = toJsonSchema(connector.outputs, "output");
  return {
    ...summarizeConnector(connector),
    params: { ...params },
    subBlocks: propertiesOf(params).map(([id, schema]) => {
      const { isExpression = false, isSecret = false } = marksAt(connector.params, id);
      return {
        id,
        title: schema.title ?? toTitle(id),
        type: isExpression ? "expression" : inputType(schema),
        required: params.required?.includes(id) ?? false,
        isSecretCapable: isSecret,
        ...(schema.description === undefined ? {} : { description: schema.description }),
        ...(schema.enum === undefined ? {} : { options: schema.enum.map(String) }),
        ...(schema.default === undefined ? {} : { default: schema.default }),
      };
    }),
    outputs: Object.fromEntries(
      propertiesOf(outputs).map(([name, schema]) => [
        name,
        {
          type: typeName(schema),
          ...(schema.description === undefined ? {} : { description: schema.description }),
        },
      ]),
    ),
    handles: connector.exits === undefined ? null : [...connector.exits.of({}), "error"],
    examples: connector.examples.map((example) => ({
      title: example.title,
      params: Object.fromEntries(
        Object.entries(example.params).filter(([id]) => marksAt(connector.params, id).isHidden !== true),
      ),
    })),
  };
}

type JsonSchema = z.core.JSONSchema.BaseSchema;

function toJsonSchema(schema: z.ZodObject, io: "input" | "output"): JsonSchema {
  return z.toJSONSchema(schema, {
    io,
    unrepresentable: "any",
    override: ({ zodSchema, jsonSchema }) => {
      if (zodSchema instanceof z.core.$ZodObject) removeHidden(zodSchema, jsonSchema);
    },
  });
}

function removeHidden(schema: z.core.$ZodObject, jsonSchema: JsonSchema): void {
  for (const [name, property] of Object.entries(schema._zod.def.shape)) {
    if (!marksOf(property).isHidden) continue;
    delete jsonSchema.properties?.[name];
    if (jsonSchema.required === undefined) continue;
    jsonSchema.required = jsonSchema.required.filter((required) => required !== name);
  }
}

function propertiesOf(schema: JsonSchema): [string, JsonSchema][] {
  return Object.entries(schema.properties ?? {}).map(([name, property]) => [
    name,
    typeof property === "boolean" ? {} : property,
  ]);
}

/** Text is long when it may hold more than a thousand characters and has no format. */
function inputType(schema: JsonSchema): InputType {
  if (schema.enum !== undefined) return "dropdown";
  switch (typeName(schema)) {
    case "boolean":
      return "switch";
    case "number":
    case "integer":
      return "number";
    case "string":
      return schema.format === undefined && (schema.maxLength ?? 0) > 1_000 ? "long-input" : "short-input";
    default:
      return "code";
  }
}

function typeName(schema: JsonSchema): OutputField["type"] {
  const types = new Set(typesOf(schema));
  types.delete("null");
  return types.size === 1 ? (jsonTypes.find((type) => types.has(type)) ?? "any") : "any";
}

function typesOf(schema: JsonSchema): string[] {
  const alternatives = schema.anyOf ?? schema.oneOf;
  if (alternatives !== undefined) return alternatives.flatMap(typesOf);
  return [schema.type ?? "any"].flat();
}

function marksAt(params: z.ZodObject, id: string): Partial<Marks> {
  const schema = Object.hasOwn(params.shape, id) ? params.shape[id] : undefined;
  return schema === undefined ? {} : marksOf(schema);
}

/** `timeoutMs` and `timeout_ms` become `Timeout ms`. */
function toTitle(id: string): string {
  const words = id
    .replace(/([a-z0-9])([A-Z])/g, "$1 $2")
    .replaceAll("_", " ")
    .toLowerCase();
  return words.charAt(0).toUpperCase() + words.slice(1);
}
