import { type BlockType, parameterUse, visibleParameters } from "./block-types.js";
import type { Block } from "./document.js";
import { excerpt } from "./excerpt.js";
import { nearestNames } from "./nearest-names.js";
import { type Refusal, refusal } from "./refusal.js";

type Params = Block["params"];

/**
 * Merges parameter by parameter into `params`; null removes one, also one that the type does not know. Hidden and
 * unknown ones are refused, unless the type itself is unknown to this server.
 */
export function mergeParams(
  params: Map<string, Params[string]>,
  patch: Params,
  type: BlockType | undefined,
): { changes: number; refusals: Refusal[] } {
  const refusals: Refusal[] = [];
  for (const [name, value] of Object.entries(patch)) {
    const isRemoval = value === null && params.delete(name);
    const objection = isRemoval || type === undefined ? null : objectTo(name, type);
    if (objection !== null) refusals.push(objection);
    else if (value !== null) params.set(name, value);
  }
  return { changes: Object.keys(patch).length - refusals.length, refusals };
}

function objectTo(name: string, type: BlockType): Refusal | null {
  const shown = excerpt(name);
  switch (parameterUse(type, name)) {
    case "hidden":
      return refusal(
        "hidden_param_in_input",
        `params.${shown} of ${type.type} is filled by the server; leave it out.`,
        { param: shown },
      );
    case "unknown": {
      const nearest = nearestNames(name, visibleParameters(type));
      const hint = nearest.length === 0 ? "it takes none" : `the nearest are ${nearest.join(", ")}`;
      return refusal("unknown_param", `params.${shown} is not a parameter of ${type.type}; ${hint}.`, {
        param: shown,
        nearest,
      });
    }
    default:
      return null;
  }
}
