import { z } from "zod";
import { type Exits, marksOf, type ParamCheck } from "../connectors/define-connector.js";

/** What the edit loop and validation know of a block type. */
export interface BlockType {
  readonly type: string;
  readonly kind: "trigger" | "compute" | "wait";
  readonly params: z.ZodObject;
  readonly outputs: z.ZodObject;
  /** The output is not declared, so a reference may name any path of it; a trigger's output is the run's input. */
  readonly hasOpenOutputs: boolean;
  /** The handles that connections from such a block may have; absent: any. */
  readonly exits?: Exits;
  readonly checks?: readonly ParamCheck[];
}

/** The registered block types; the catalogue of connectors implements it. */
export interface BlockTypes {
  get(type: string): BlockType | undefined;
  /** Every registered type, sorted. */
  types(): readonly string[];
}

/** How a document may use a parameter name: set it, set it and put secrets in, not set it, or not know it. */
export type ParameterUse = "plain" | "secret" | "hidden" | "unknown";

/** Says how a document may use `name` as a parameter of the type; only the schema's own keys count. */
export function parameterUse(type: Pick<BlockType, "params">, name: string): ParameterUse {
  const schema = Object.hasOwn(type.params.shape, name) ? type.params.shape[name] : undefined;
  if (!(schema instanceof z.ZodType)) return isOpen(type.params) ? "plain" : "unknown";
  const marks = marksOf(schema);
  if (marks.isHidden) return "hidden";
  return marks.isSecret ? "secret" : "plain";
}

type Path = readonly (string | number)[];

/** Whether a text at this path of a block's params is an expression, in which no template is filled. */
export function isExpressionAt(type: Pick<BlockType, "params">, path: Path): boolean {
  return leadsTo("isExpression", type.params, path);
}

/** Whether a text at this path of a block's params stands for itself: no reference is filled in it. */
export function isLiteralAt(type: Pick<BlockType, "params">, path: Path): boolean {
  return leadsTo("isLiteral", type.params, path);
}

function leadsTo(
  mark: "isExpression" | "isLiteral",
  schema: z.core.$ZodType,
  path: Path,
  depth = 0,
): boolean {
  if (marksOf(schema)[mark]) return true;
  const step = path[depth];
  return (
    step !== undefined && childrenOf(schema, step).some((child) => leadsTo(mark, child, path, depth + 1))
  );
}

/** The schemas that a value at the step may have to fit. */
function childrenOf(schema: z.core.$ZodType, step: string | number): readonly z.core.$ZodType[] {
  const { def } = (schema as z.core.$ZodTypes)._zod;
  switch (def.type) {
    case "object": {
      const own = Object.hasOwn(def.shape, step) ? def.shape[step] : def.catchall;
      return own === undefined ? [] : [own];
    }
    case "array":
      return [def.element];
    case "record":
      return [def.valueType];
    case "union":
      return def.options.flatMap((option) => childrenOf(option, step));
    case "pipe":
      return childrenOf(def.in, step);
    default:
      return "innerType" in def ? childrenOf(def.innerType, step) : [];
  }
}

/** The parameters that a document may set, in the order of the schema. */
export function visibleParameters(type: BlockType): string[] {
  return Object.keys(type.params.shape).filter((name) => parameterUse(type, name) !== "hidden");
}

function isOpen(schema: z.ZodObject): boolean {
  const { catchall } = schema.def;
  return catchall !== undefined && !(catchall instanceof z.ZodNever);
}
