import { z } from "zod";
import { Block, Connection, Metadata, RetryPolicy, Settings } from "./document.js";
import { excerpt } from "./excerpt.js";
import { nearestNames } from "./nearest-names.js";
import { describeIssue, fieldName } from "./schema-issue.js";

/** Most parameters, variables or settings in one operation. */
const MAX_ENTRIES = 100;
/** Deepest nesting of objects and arrays in one operation. */
const MAX_DEPTH = 64;
/** Most mistakes named in one reason. */
const MAX_NAMED_MISTAKES = 3;

const BlockId = z.string();

const values = (what: string) =>
  z
    .record(z.string(), z.json())
    .refine(
      (entries) => Object.keys(entries).length <= MAX_ENTRIES,
      `holds more than ${MAX_ENTRIES} ${what}`,
    );

/** What `add` and `update` may set on a block; `null` clears what is optional, and `null` in `params` removes one. */
const settings = {
  name: Block.shape.name.nullish(),
  params: values("parameters").optional(),
  enabled: z.boolean().optional(),
  position: Block.shape.position.nullish(),
  retry: z.strictObject(RetryPolicy.shape).nullish(),
  timeoutMs: Block.shape.timeoutMs.nullish(),
  onError: Block.shape.onError.nullish(),
  join: Block.shape.join.nullish(),
};

/** Puts a new block at the end of the list. */
export const AddOperation = z.strictObject({
  operation_type: z.literal("add"),
  block_id: BlockId,
  type: Block.shape.type,
  ...settings,
});
export type AddOperation = z.infer<typeof AddOperation>;

/** Changes a block: `params` are merged one by one, every other field is replaced. */
export const UpdateOperation = z.strictObject({
  operation_type: z.literal(["update", "edit"]),
  block_id: BlockId,
  ...settings,
});
export type UpdateOperation = z.infer<typeof UpdateOperation>;

/** Takes a block and its connections out. */
export const RemoveOperation = z.strictObject({
  operation_type: z.literal(["remove", "delete"]),
  block_id: BlockId,
});
export type RemoveOperation = z.infer<typeof RemoveOperation>;

/** Adds a connection from `block_id` to `target_block_id`. */
export const ConnectOperation = z.strictObject({
  operation_type: z.literal("connect"),
  block_id: BlockId,
  target_block_id: BlockId,
  source_handle: Connection.shape.sourceHandle.nullish(),
  condition: Connection.shape.condition.nullish(),
});
export type ConnectOperation = z.infer<typeof ConnectOperation>;

/**
 * Removes the connection with this `source_handle`. Without one: the connection that has none or, if there is no
 * such connection, every connection between the two blocks.
 */
export const DisconnectOperation = z.strictObject({
  operation_type: z.literal("disconnect"),
  block_id: BlockId,
  target_block_id: BlockId,
  source_handle: Connection.shape.sourceHandle.nullish(),
});
export type DisconnectOperation = z.infer<typeof DisconnectOperation>;

/**
 * Sets what concerns the whole workflow, key by key: `settings`, `variables` and `metadata` keep what is not named, and
 * null removes a key or, of metadata, gives it back its default.
 */
export const ConfigureOperation = z.strictObject({
  operation_type: z.literal("configure"),
  settings: z
    .strictObject({
      deadlineMs: Settings.shape.deadlineMs.nullable(),
      onFailure: Settings.shape.onFailure.nullable(),
    })
    .partial()
    .optional(),
  variables: values("variables").optional(),
  metadata: z
    .strictObject({
      name: Metadata.shape.name.unwrap().nullable(),
      description: Metadata.shape.description.unwrap().nullable(),
      tags: Metadata.shape.tags.unwrap().nullable(),
    })
    .partial()
    .optional(),
});
export type ConfigureOperation = z.infer<typeof ConfigureOperation>;

/** One edit operation, in the shape that is applied; `edit` and `delete` are synonyms of `update` and `remove`. */
export const EditOperation = z
  .discriminatedUnion("operation_type", [
    AddOperation,
    UpdateOperation,
    RemoveOperation,
    ConnectOperation,
    DisconnectOperation,
    ConfigureOperation,
  ])
  .meta({ id: "EditOperation" });
export type EditOperation = z.infer<typeof EditOperation>;

const schemaByType = new Map(
  EditOperation.options.flatMap((schema) =>
    [...schema.shape.operation_type.values].map((type) => [type as string, schema] as const),
  ),
);

/** Either an operation that can be applied, or a sentence that says what is wrong with it and what was expected. */
export type ParsedOperation =
  | { readonly isValid: true; readonly operation: EditOperation }
  | { readonly isValid: false; readonly reason: string };

/** Reads one operation by itself. Never throws, however the value looks. */
export function parseOperation(raw: unknown): ParsedOperation {
  const known = [...schemaByType.keys()].join(", ");
  if (!isObject(raw))
    return malformed(`The operation must be an object with operation_type, one of ${known}.`);
  const type = raw.operation_type;
  if (typeof type !== "string")
    return malformed(`operation_type is missing or no string; send one of ${known}.`);
  const schema = schemaByType.get(type);
  if (schema === undefined)
    return malformed(`operation_type "${excerpt(type)}" is not known; send one of ${known}.`);
  const obstacle = findObstacle(raw, 0);
  if (obstacle !== null) return malformed(obstacle);
  const parsed = schema.safeParse(raw);
  if (!parsed.success) return malformed(describeMistakes(raw, parsed.error.issues, schema));
  return { isValid: true, operation: parsed.data };
}

/** `operation_type` and `block_id` as they were sent, cut when too long to be repeated; null where unreadable. */
export function identifyOperation(raw: unknown): { operation_type: string | null; block_id: string | null } {
  const read = (key: string) => {
    const value = isObject(raw) ? raw[key] : undefined;
    return typeof value === "string" ? excerpt(value) : null;
  };
  return { operation_type: read("operation_type"), block_id: read("block_id") };
}

function malformed(reason: string): ParsedOperation {
  return { isValid: false, reason };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** What no schema would report: nesting that a recursive parser cannot walk, and a key that would vanish silently. */
function findObstacle(value: unknown, depth: number): string | null {
  if (typeof value !== "object" || value === null) return null;
  if (depth > MAX_DEPTH)
    return `The operation is nested deeper than ${MAX_DEPTH} levels; flatten its params.`;
  if (Object.hasOwn(value, "__proto__")) return "The operation holds a key named __proto__; rename it.";
  for (const item of Object.values(value)) {
    const obstacle = findObstacle(item, depth + 1);
    if (obstacle !== null) return obstacle;
  }
  return null;
}

type OperationSchema = (typeof EditOperation.options)[number];
type Issue = z.core.$ZodIssue;

/** Names the first mistakes, counts the rest and ends with the expected shape. */
function describeMistakes(
  raw: Record<string, unknown>,
  issues: readonly Issue[],
  schema: OperationSchema,
): string {
  const mistakes = issues.flatMap((issue): Issue[] =>
    issue.code === "unrecognized_keys" ? issue.keys.map((key) => ({ ...issue, keys: [key] })) : [issue],
  );
  const named = mistakes
    .slice(0, MAX_NAMED_MISTAKES)
    .map((issue) => excerpt(describeMistake(raw, issue, schema), 300));
  const rest = mistakes.length - named.length;
  return `${named.join("; ")}${rest > 0 ? `; and ${rest} more` : ""}. ${describeShape(schema)}`;
}

function describeMistake(raw: Record<string, unknown>, issue: Issue, schema: OperationSchema): string {
  const [field] = issue.path;
  if (issue.code === "unrecognized_keys" && issue.path.length < 2) {
    return describeStrayField(issue.keys.join(), field, schema);
  }
  const isMissing = issue.path.length === 1 && raw[String(field)] === undefined;
  return isMissing ? `${String(field)} is missing` : `${fieldName(issue.path)}: ${describeIssue(issue)}`;
}

/** Names the field that comes nearest to one that the operation, or its object at `field`, does not have. */
function describeStrayField(key: string, field: PropertyKey | undefined, schema: OperationSchema): string {
  const [operation] = schema.shape.operation_type.values;
  const inner = field === undefined ? schema : unwrap(schema.shape[field as keyof typeof schema.shape]);
  const names = inner instanceof z.ZodObject ? Object.keys(inner.shape) : [];
  const written = field === undefined ? excerpt(key).replace(/([a-z])([A-Z])/g, "$1_$2") : excerpt(key);
  const [nearest] = nearestNames(written, names, 1);
  return `"${excerpt(key)}" is not a field of ${field === undefined ? operation : String(field)}, the nearest is ${nearest}`;
}

function unwrap(schema: z.core.$ZodType | undefined): z.core.$ZodType | undefined {
  return schema instanceof z.ZodOptional || schema instanceof z.ZodNullable
    ? unwrap(schema.unwrap())
    : schema;
}

/** The fields in one sentence; a question mark follows those that may be left out. */
function describeShape(schema: OperationSchema): string {
  const fields = Object.entries(schema.shape).map(([name, field]) =>
    field.safeParse(undefined).success ? `${name}?` : name,
  );
  return `Expected {${fields.join(", ")}}.`;
}
