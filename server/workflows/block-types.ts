import { z } from "zod";
import { marksOf } from "../connectors/define-connector.js";

/** What the edit loop and validation know of a block type. */
export interface BlockType {
  readonly type: string;
  readonly kind: "trigger" | "compute" | "wait";
  readonly params: z.ZodObject;
  readonly outputs: z.ZodObject;
  /** The output is not declared, so a reference may name any path of it; a trigger's output is the run's input. */
  readonly hasOpenOutputs: boolean;
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
export function parameterUse(type: BlockType, name: string): ParameterUse {
  const schema = Object.hasOwn(type.params.shape, name) ? type.params.shape[name] : undefined;
  if (!(schema instanceof z.ZodType)) return isOpen(type.params) ? "plain" : "unknown";
  const marks = marksOf(schema);
  if (marks.isHidden) return "hidden";
  return marks.isSecret ? "secret" : "plain";
}

/** The parameters that a document may set, in the order of the schema. */
export function visibleParameters(type: BlockType): string[] {
  return Object.keys(type.params.shape).filter((name) => parameterUse(type, name) !== "hidden");
}

function isOpen(schema: z.ZodObject): boolean {
  const { catchall } = schema.def;
  return catchall !== undefined && !(catchall instanceof z.ZodNever);
}
