import {
  type BlockType,
  type BlockTypes,
  isExpressionAt,
  isLiteralAt,
  parameterUse,
  visibleParameters,
} from "./block-types.js";
import { checkConnections } from "./check-connections.js";
import { checkLoops } from "./check-loops.js";
import { checkParams, type ParamProblem, refusedParams, type TemplateValue } from "./check-params.js";
import { checkSettings } from "./check-settings.js";
import { checkSteps, type StepsOf } from "./check-steps.js";
import type { Block, WorkflowDocument } from "./document.js";
import { excerpt } from "./excerpt.js";
import { findCycles, Graph } from "./graph.js";
import { nearestNames } from "./nearest-names.js";
import { readExpression, readLiteral, readTemplate, type TextReading } from "./read-text.js";
import { ReferenceScope } from "./reference-scope.js";
import { parseTemplate } from "./references.js";
import { asksForText, describeIssue, fieldName, TEXT_REMEDY } from "./schema-issue.js";
import { errorAt, type ValidationError } from "./validation-error.js";

/** Most errors reported at once. */
const MAX_ERRORS = 1_000;
/** What there is to say of a text that stands for itself. */
const NO_REFERENCE: TextReading = { errors: [], kinds: null };

type Path = readonly (string | number)[];

/**
 * Everything that keeps the document from running, in a stable order: block by block, then the connections, loops and
 * cycles, then the settings; the first 1,000. The parameters of disabled blocks are not looked at. Empty means that it
 * can run, as far as its steps are counted by `stepsOf`.
 */
export function validateDocument(
  document: WorkflowDocument,
  blockTypes: BlockTypes,
  stepsOf: StepsOf | null = null,
): ValidationError[] {
  const errors: ValidationError[] = [];
  for (const error of findErrors(document, blockTypes, stepsOf)) {
    errors.push(error);
    if (errors.length === MAX_ERRORS) break;
  }
  return errors;
}

function* findErrors(
  document: WorkflowDocument,
  blockTypes: BlockTypes,
  stepsOf: StepsOf | null,
): Generator<ValidationError> {
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
  yield* checkLoops(document, byId, blockTypes, scope.loopConflicts);
  for (const cycle of findCycles([...byId.keys()], new Graph(document.connections))) {
    const [first = ""] = cycle;
    const way = [...cycle, first].slice(0, 20).join(" → ");
    yield {
      ...errorAt(byId.get(first), "cycle", `The blocks ${way} form a cycle; disconnect one of them.`),
      value: cycle,
    };
  }
  if (stepsOf !== null) yield* checkSteps(stepsOf(document), byId);
  yield* checkSettings(document.settings ?? {});
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
  const before = scope.before(block.id);
  for (const [path, text] of textsIn(block.params)) {
    const { errors, kinds } = readTextAt(type, path, text, scope, before);
    if (kinds !== null) templates.push({ path: [...path], kinds });
    for (const [code, error] of errors) {
      yield {
        ...errorAt(block, code, `${fieldName(path)}: ${error}`),
        field: fieldName(path),
        value: excerpt(text),
      };
    }
  }
  const problems = checkParams(type, block.params, templates);
  for (const problem of problems) yield paramError(block, type, problem);
  const open = new Set([...templates, ...problems].map(({ path }) => String(path[0])));
  for (const { field, error } of refusedParams(type, block.params, open)) {
    yield {
      ...errorAt(block, "invalid_param", error),
      field,
      ...shownValue(type, [field], block.params[field]),
    };
  }
}

/** Reads a text as what it is at its place: an expression, a text for itself or a template. */
function readTextAt(
  type: BlockType,
  path: readonly (string | number)[],
  text: string,
  scope: ReferenceScope,
  before: ReturnType<ReferenceScope["before"]>,
): TextReading {
  if (isExpressionAt(type, path)) {
    return readExpression(text, scope, { ...before, areSecretsAllowed: false }, "invalid_expression");
  }
  if (!text.includes("{{")) return NO_REFERENCE;
  const parts = parseTemplate(text);
  if (isLiteralAt(type, path)) return readLiteral(parts);
  const areSecretsAllowed = parameterUse(type, String(path[0])) === "secret";
  return readTemplate(parts, scope, { ...before, areSecretsAllowed });
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

function paramError(block: Block, type: BlockType, { path, issue, template }: ParamProblem): ValidationError {
  const expected = describeIssue(issue);
  const field = excerpt(fieldName(path), 200);
  const value = valueAt(block.params, path);
  const shown = shownValue(type, path, value);
  if (template !== null) {
    const kinds = template.kinds === "any" ? "unknown" : template.kinds.join(" or ");
    const remedy = asksForText(issue) ? `use another output, or ${TEXT_REMEDY}` : "use another output";
    const error = `${field}: ${expected.replace(/, received .*$/, "")}, but the template gives ${kinds}; ${remedy}.`;
    return { ...errorAt(block, "reference_type_mismatch", error), field, ...shown };
  }
  if (path.length === 1 && value === undefined && issue.code !== "custom") {
    const error = `${field} is required by ${type.type} and not set; set it by an update.`;
    return { ...errorAt(block, "missing_param", error), field };
  }
  const error = `${field === "" ? "params" : field}: ${expected}; set it by an update.`;
  return { ...errorAt(block, "invalid_param", error), ...(field === "" ? {} : { field }), ...shown };
}

/** Every text in the parameters with its path, in order; read the path before the next one is asked for. */
function* textsIn(params: object): Generator<[Path, string]> {
  const path: (string | number)[] = [];
  // A generator for each level would hand every text up through all of them.
  const open = [entriesOf(params)];
  for (let entries = open.at(-1); entries !== undefined; entries = open.at(-1)) {
    const { done, value: entry } = entries.next();
    if (done === true) {
      open.pop();
      path.pop();
      continue;
    }
    const [key, value] = entry;
    path.push(key);
    if (typeof value === "string") yield [path, value];
    if (typeof value === "object" && value !== null) open.push(entriesOf(value));
    else path.pop();
  }
}

function entriesOf(value: object): Iterator<[string | number, unknown], undefined> {
  return Array.isArray(value) ? value.entries() : Object.entries(value).values();
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

/** The value where it is short and no secret. */
function shownValue(
  type: BlockType,
  path: readonly PropertyKey[],
  value: unknown,
): { value?: string | number | boolean | null } {
  if (parameterUse(type, String(path[0])) !== "plain") return {};
  if (typeof value === "string") return { value: excerpt(value) };
  return typeof value === "number" || typeof value === "boolean" || value === null ? { value } : {};
}
