import { type BlockType, type BlockTypes, parameterUse, visibleParameters } from "./block-types.js";
import { checkParams, type ParamProblem, type TemplateValue } from "./check-params.js";
import { parseCondition } from "./condition.js";
import type { Block, Connection, WorkflowDocument } from "./document.js";
import { findCycles, Graph } from "./graph.js";
import { excerpt, nearestNames } from "./nearest-names.js";
import { ReferenceScope, type Viewpoint } from "./reference-scope.js";
import { parseTemplate, soleReference, type TemplatePart } from "./references.js";
import { fieldName } from "./schema-issue.js";
import type { ValidationCode, ValidationError } from "./validation-error.js";

export type { ValidationError } from "./validation-error.js";

/** Most errors reported at once. */
const MAX_ERRORS = 1_000;

type Path = readonly (string | number)[];

/**
 * Everything that keeps the document from running, in a stable order: block by block, then the connections, then
 * cycles; the first 1,000. The parameters of disabled blocks are not looked at. Empty means that it can run.
 */
export function validateDocument(document: WorkflowDocument, blockTypes: BlockTypes): ValidationError[] {
  const errors: ValidationError[] = [];
  for (const error of findErrors(document, blockTypes)) {
    errors.push(error);
    if (errors.length === MAX_ERRORS) break;
  }
  return errors;
}

function* findErrors(document: WorkflowDocument, blockTypes: BlockTypes): Generator<ValidationError> {
  const scope = new ReferenceScope(document, blockTypes);
  const byId = new Map<string, Block>();
  for (const block of document.blocks) {
    if (byId.has(block.id)) {
      yield errorAt(
        block,
        "duplicate_block_id",
        `Block id "${block.id}" is used twice; give one of them another id.`,
      );
    } else byId.set(block.id, block);
    yield* checkBlock(block, blockTypes, scope);
  }
  yield* checkConnections(document.connections, byId, blockTypes, scope);
  for (const cycle of findCycles([...byId.keys()], new Graph(document.connections))) {
    const [first = ""] = cycle;
    const way = [...cycle, first].slice(0, 20).join(" → ");
    yield {
      ...errorAt(byId.get(first), "cycle", `The blocks ${way} form a cycle; disconnect one of them.`),
      value: cycle,
    };
  }
}

function* checkBlock(
  block: Block,
  blockTypes: BlockTypes,
  scope: ReferenceScope,
): Generator<ValidationError> {
  const type = blockTypes.get(block.type);
  if (type === undefined) {
    const nearest = nearestNames(block.type, blockTypes.types());
    yield errorAt(
      block,
      "block_type_not_registered",
      `Block type "${block.type}" is not registered; the nearest types are ${nearest.join(", ")}.`,
    );
    return;
  }
  if (!block.enabled) return;
  yield* checkNames(block, type);
  const templates: TemplateValue[] = [];
  const isUpstream = scope.upstreamOf(block.id);
  for (const [path, text] of textsIn(block.params, [])) {
    const parts = parseTemplate(text);
    if (!parts.some((part) => part.kind === "reference" || part.problem !== null)) continue;
    const areSecretsAllowed = parameterUse(type, String(path[0])) === "secret";
    const { errors, kinds } = readTemplate(parts, scope, { isUpstream, areSecretsAllowed });
    templates.push({ path, kinds });
    for (const [code, error] of errors) {
      yield {
        ...errorAt(block, code, `${fieldName(path)}: ${error}`),
        field: fieldName(path),
        value: excerpt(text),
      };
    }
  }
  for (const problem of checkParams(type, block.params, templates)) yield paramError(block, type, problem);
}

/** Parameters that may not be there at all. */
function* checkNames(block: Block, type: BlockType): Generator<ValidationError> {
  for (const name of Object.keys(block.params)) {
    const use = parameterUse(type, name);
    const shown = excerpt(name);
    if (use === "hidden") {
      const error = `${shown} of ${type.type} is filled by the server; remove it by an update that sets it to null.`;
      yield { ...errorAt(block, "hidden_param_in_input", error), field: shown };
    }
    if (use === "unknown") {
      const nearest = nearestNames(name, visibleParameters(type));
      const hint = nearest.length === 0 ? "it takes none" : `the nearest are ${nearest.join(", ")}`;
      const error = `${shown} is not a parameter of ${type.type}; ${hint}. Remove it by setting it to null.`;
      yield { ...errorAt(block, "unknown_param", error), field: shown };
    }
  }
}

/** What is wrong in a template, and the kinds of its value; nothing is said about a value that is wrong anyway. */
function readTemplate(parts: readonly TemplatePart[], scope: ReferenceScope, viewpoint: Viewpoint) {
  const errors = new Map<string, readonly [ValidationCode, string]>();
  const sole = soleReference(parts);
  let kinds: TemplateValue["kinds"] = ["string"];
  for (const part of parts) {
    if (part.kind === "text") {
      if (part.problem !== null) errors.set(part.text, ["malformed_reference", part.problem]);
      continue;
    }
    const sight = scope.look(part, viewpoint);
    if ("code" in sight) errors.set(part.text, [sight.code, `${excerpt(part.text)}: ${sight.error}.`]);
    else if (part === sole) kinds = sight.kinds;
  }
  return { errors: errors.values(), kinds: errors.size > 0 ? "any" : kinds } as const;
}

function paramError(
  block: Block,
  type: BlockType,
  { path, expected, template }: ParamProblem,
): ValidationError {
  const field = excerpt(fieldName(path), 200);
  const value = valueAt(block.params, path);
  const shown = parameterUse(type, String(path[0])) === "plain" ? shortValue(value) : {};
  if (template !== null) {
    const kinds = template.kinds === "any" ? "unknown" : template.kinds.join(" or ");
    const error = `${field}: ${expected.replace(/, received .*$/, "")}, but the template gives ${kinds}; use another output.`;
    return { ...errorAt(block, "reference_type_mismatch", error), field, ...shown };
  }
  if (path.length === 1 && value === undefined) {
    const error = `${field} is required by ${type.type} and not set; set it by an update.`;
    return { ...errorAt(block, "missing_param", error), field };
  }
  const error = `${field === "" ? "params" : field}: ${expected}; set it by an update.`;
  return { ...errorAt(block, "invalid_param", error), ...(field === "" ? {} : { field }), ...shown };
}

function* checkConnections(
  connections: readonly Connection[],
  byId: ReadonlyMap<string, Block>,
  blockTypes: BlockTypes,
  scope: ReferenceScope,
): Generator<ValidationError> {
  const seen = new Set<string>();
  for (const [index, connection] of connections.entries()) {
    const { source, target, sourceHandle } = connection;
    const [from, to] = [byId.get(source), byId.get(target)];
    const field = `connections[${index}]`;
    const at = (code: ValidationCode, error: string) => ({
      ...errorAt(from ?? to, code, `${field} "${source}" → "${target}": ${error}`),
      field,
    });
    if (from === undefined) yield at("invalid_edge_source", "the source is no block; add it or disconnect.");
    if (to === undefined) yield at("invalid_edge_target", "the target is no block; add it or disconnect.");
    else if (blockTypes.get(to.type)?.kind === "trigger") {
      yield at("invalid_edge_target", "the target is a trigger, which nothing can lead to; disconnect.");
    }
    const key = JSON.stringify([source, target, sourceHandle]);
    if (seen.has(key))
      yield at("duplicate_connection", "this connection is there twice; disconnect and connect once.");
    seen.add(key);
    if (connection.condition !== undefined)
      yield* checkCondition(connection, `${field}.condition`, from, scope);
  }
}

/** A condition is read when its source has ended, so it sees the source and what is upstream of it. */
function* checkCondition(
  { source, condition = "" }: Connection,
  field: string,
  block: Block | undefined,
  scope: ReferenceScope,
): Generator<ValidationError> {
  const problem = parseCondition(condition);
  const isBefore = scope.upstreamOf(source);
  const isUpstream = (id: string) => (id === source && block?.enabled === true) || isBefore(id);
  const viewpoint = { isUpstream, areSecretsAllowed: false };
  const errors: Iterable<readonly [ValidationCode, string]> =
    problem === null
      ? readTemplate(parseTemplate(condition), scope, viewpoint).errors
      : [["invalid_condition", problem]];
  for (const [code, error] of errors) {
    yield { ...errorAt(block, code, `${field}: ${error}`), field, value: excerpt(condition) };
  }
}

/** Every text in a value with its path. */
function* textsIn(value: unknown, path: Path): Generator<[Path, string]> {
  if (typeof value === "string") {
    if (value.includes("{{")) yield [path, value];
  } else if (typeof value === "object" && value !== null) {
    const entries = Array.isArray(value) ? value.entries() : Object.entries(value);
    for (const [key, item] of entries) yield* textsIn(item, [...path, key]);
  }
}

function valueAt(root: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (value, step) =>
      typeof value === "object" && value !== null && Object.hasOwn(value, step)
        ? Reflect.get(value, step)
        : undefined,
    root,
  );
}

function shortValue(value: unknown): { value?: string | number | boolean | null } {
  if (typeof value === "string") return { value: excerpt(value) };
  return typeof value === "number" || typeof value === "boolean" || value === null ? { value } : {};
}

function errorAt(block: Block | undefined, code: ValidationCode, error: string): ValidationError {
  return { block_id: block?.id ?? null, block_type: block?.type ?? null, code, error };
}
