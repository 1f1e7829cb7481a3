import { z } from "zod";
import { marksOf } from "../connectors/define-connector.js";
import { type BlockType, type BlockTypes, parameterUse } from "./block-types.js";
import type { WorkflowDocument } from "./document.js";
import { parseTemplate } from "./references.js";

/** The secrets that a block uses. */
export interface SecretUse {
  /** Names that its parameters reference where secrets are allowed, each once. */
  readonly referenced: readonly string[];
  /** Its hidden parameters that secrets fill. */
  readonly filled: readonly FilledParameter[];
}

/** A hidden parameter that a secret fills. */
export interface FilledParameter {
  readonly parameter: string;
  readonly secret: string;
  /** Without the secret the block cannot run. */
  readonly isRequired: boolean;
}

/** A secret that a block cannot run without. */
export interface NeededSecret {
  readonly blockId: string;
  readonly blockType: string;
  readonly name: string;
}

const filledByType = new WeakMap<z.ZodObject, readonly FilledParameter[]>();

/** The secrets that a block of the type uses with these parameters, as they stand in the document. */
export function secretUseOf(type: Pick<BlockType, "params">, params: object): SecretUse {
  const filled = filledByType.get(type.params) ?? filledParameters(type.params);
  filledByType.set(type.params, filled);
  const referenced = new Set<string>();
  for (const [name, value] of Object.entries(params)) {
    if (parameterUse(type, name) === "secret") collectSecrets(value, referenced);
  }
  return { referenced: [...referenced], filled };
}

/** Every secret that an enabled block of the document cannot run without, in the order of the blocks. */
export function neededSecrets(document: WorkflowDocument, blockTypes: BlockTypes): NeededSecret[] {
  return document.blocks.flatMap((block) => {
    const type = block.enabled ? blockTypes.get(block.type) : undefined;
    if (type === undefined) return [];
    const { referenced, filled } = secretUseOf(type, block.params);
    const required = filled.filter(({ isRequired }) => isRequired).map(({ secret }) => secret);
    const names = new Set([...required, ...referenced]);
    return [...names].map((name) => ({ blockId: block.id, blockType: block.type, name }));
  });
}

function filledParameters({ shape }: z.ZodObject): FilledParameter[] {
  return Object.entries(shape).flatMap(([parameter, schema]) => {
    const { isHidden, fromSecret } = marksOf(schema);
    if (!isHidden || fromSecret === null || !(schema instanceof z.ZodType)) return [];
    return [{ parameter, secret: fromSecret, isRequired: !schema.safeParse(undefined).success }];
  });
}

function collectSecrets(value: unknown, names: Set<string>): void {
  if (typeof value === "string") {
    for (const part of parseTemplate(value)) {
      if (part.kind === "reference" && part.source === "secrets") names.add(part.name);
    }
  } else if (typeof value === "object" && value !== null) {
    for (const item of Object.values(value)) collectSecrets(item, names);
  }
}
