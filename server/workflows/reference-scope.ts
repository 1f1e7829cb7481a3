import type { BlockTypes } from "./block-types.js";
import { type Block, type Connection, isCaught, type WorkflowDocument } from "./document.js";
import { excerpt } from "./excerpt.js";
import { Graph } from "./graph.js";
import { EACH_HANDLE, LOOP_TYPE, type LoopPaths, loopPathsOf } from "./loop-paths.js";
import { nearestNames } from "./nearest-names.js";
import type { Reference } from "./references.js";
import type { ValidationCode } from "./validation-error.js";
import { kindOf, kindsAt, type ValueKinds } from "./value-kind.js";

/** Most expressions in one document, and most characters of them, so that reading them takes no long time. */
const MAX_EXPRESSIONS = 5_000;
const MAX_EXPRESSION_CHARACTERS = 100_000;

/** From where a reference looks, and whether it may look at secrets. */
export interface Viewpoint {
  /** Whether the block's output exists by then. */
  isUpstream(id: string): boolean;
  readonly areSecretsAllowed: boolean;
  /** Ids of the loops around the place, outermost first. */
  readonly loops: readonly string[];
}

/** What a reference gives: a value of these kinds, or a problem with a sentence that ends without a full stop. */
export type Sight =
  | { readonly kinds: ValueKinds }
  | { readonly code: ValidationCode; readonly error: string };

/** Answers what references in one document can see. A block is named by its id first, then by its name. */
export class ReferenceScope {
  readonly #document: WorkflowDocument;
  readonly #blockTypes: BlockTypes;
  readonly #byId = new Map<string, Block>();
  readonly #byName = new Map<string, Block[]>();
  readonly #kindsByOutput = new Map<string, ValueKinds>();
  /** Only what runs passes anything on. */
  readonly #enabledGraph: Graph;
  readonly #ancestors = new Map<string, ReadonlySet<string>>();
  readonly #loops: LoopPaths;
  readonly #variableNames: readonly string[];
  #expressions = 0;
  #expressionCharacters = 0;

  constructor(document: WorkflowDocument, blockTypes: BlockTypes) {
    this.#document = document;
    this.#blockTypes = blockTypes;
    for (const block of document.blocks) {
      if (!this.#byId.has(block.id)) this.#byId.set(block.id, block);
      if (block.name !== undefined)
        this.#byName.set(block.name, [...(this.#byName.get(block.name) ?? []), block]);
    }
    this.#loops = loopPathsOf(document);
    this.#variableNames = Object.keys(document.variables);
    const runs = (id: string) => this.#byId.get(id)?.enabled === true;
    this.#enabledGraph = new Graph(
      document.connections.filter(({ source, target }) => runs(source) && runs(target)),
    );
  }

  /** Counts an expression of the document; says what is too much once they are too many or too long together. */
  refuseExpression(text: string): string | null {
    this.#expressions += 1;
    this.#expressionCharacters += text.length;
    if (this.#expressions > MAX_EXPRESSIONS) {
      return `The workflow has more than ${MAX_EXPRESSIONS} expressions; take some out.`;
    }
    return this.#expressionCharacters > MAX_EXPRESSION_CHARACTERS
      ? `The expressions of the workflow have more than ${MAX_EXPRESSION_CHARACTERS} characters; shorten them.`
      : null;
  }

  /** Blocks that paths of different loops lead to. */
  get loopConflicts(): readonly string[] {
    return this.#loops.conflicts;
  }

  /** Where the parameters of a block look from. */
  before(id: string): Omit<Viewpoint, "areSecretsAllowed"> {
    return { isUpstream: this.#upstreamOf(id), loops: this.#loops.of(id) };
  }

  /** Where a condition looks from: it is read when its source has ended, into the body of a loop once per item. */
  along({ source, sourceHandle }: Connection): Viewpoint {
    const block = this.#byId.get(source);
    const isBefore = this.#upstreamOf(source);
    const around = this.#loops.of(source);
    const isIntoBody = block?.type === LOOP_TYPE && sourceHandle === EACH_HANDLE;
    return {
      isUpstream: (id) => (id === source && block?.enabled === true) || isBefore(id),
      loops: isIntoBody ? [...around, source] : around,
      areSecretsAllowed: false,
    };
  }

  /** Whether enabled blocks lead from the other to the block; what leads to a block is found once and kept. */
  #upstreamOf(id: string): (other: string) => boolean {
    return (other) => {
      const ancestors = this.#ancestors.get(id) ?? this.#enabledGraph.ancestorsOf(id);
      this.#ancestors.set(id, ancestors);
      return ancestors.has(other);
    };
  }

  /** What the reference gives where it stands. */
  look(reference: Reference, viewpoint: Viewpoint): Sight {
    switch (reference.source) {
      case "trigger":
        return { kinds: "any" };
      case "secrets":
        return viewpoint.areSecretsAllowed
          ? { kinds: ["string"] }
          : {
              code: "secret_not_allowed",
              error:
                "secrets may only be used in parameters that are marked for them; read GET /api/connectors/{type}",
            };
      case "vars":
        return this.#lookAtVariable(reference);
      case "block":
        return this.#lookAtBlock(reference, viewpoint);
    }
  }

  #lookAtVariable({ name, path }: Reference): Sight {
    let value: unknown = this.#document.variables;
    for (const step of [name, ...path]) {
      if (typeof value !== "object" || value === null || !Object.hasOwn(value, step)) {
        const names = nearestNames(name, this.#variableNames);
        const hint =
          names.length === 0
            ? "the document has no variables"
            : `the nearest variables are ${names.join(", ")}`;
        return { code: "reference_variable_not_found", error: `there is no such variable; ${hint}` };
      }
      value = (value as Record<string | number, unknown>)[step];
    }
    return { kinds: [kindOf(value)] };
  }

  #lookAtBlock(reference: Reference, { isUpstream, loops }: Viewpoint): Sight {
    const { name, path } = reference;
    const named = this.#byName.get(name) ?? [];
    const block = this.#byId.get(name) ?? named[0];
    if (block === undefined) {
      const nearest = nearestNames(name, [...this.#byId.keys()]);
      return {
        code: "reference_block_not_found",
        error: `there is no block "${excerpt(name)}"; the nearest ids are ${nearest.join(", ")}`,
      };
    }
    if (!this.#byId.has(name) && named.length > 1) {
      const ids = named.map(({ id }) => id).slice(0, 10);
      return {
        code: "reference_ambiguous",
        error: `"${name}" is the name of ${named.length} blocks; use an id: ${ids.join(", ")}`,
      };
    }
    const hiding = this.#loops.of(block.id).find((loop, index) => loops[index] !== loop);
    if (hiding !== undefined) {
      return {
        code: "reference_inside_loop",
        error: `block "${block.id}" runs once per item of "${hiding}" and is not seen outside of it; read the results of "${hiding}"`,
      };
    }
    if (!isUpstream(block.id)) {
      const remedy = block.enabled
        ? `connect "${block.id}" so that it leads here through enabled blocks`
        : `"${block.id}" is disabled and gives no output; enable it or take the reference out`;
      return { code: "reference_not_upstream", error: `block "${block.id}" is not upstream; ${remedy}` };
    }
    return block.type === LOOP_TYPE
      ? this.#lookAtLoop(block, path, loops.includes(block.id))
      : this.#lookAtOutput(block, path);
  }

  /** A loop gives its item inside of its body and its outputs after it. */
  #lookAtLoop(block: Block, path: Reference["path"], isInside: boolean): Sight {
    const [first] = path;
    const isOfItem = first === "item" || first === "index";
    if (!isInside && !isOfItem) return this.#lookAtOutput(block, path);
    if (isInside && first === undefined) return { kinds: ["object"] };
    if (isInside && first === "item") return { kinds: "any" };
    if (isInside && first === "index" && path.length === 1) return { kinds: ["number"] };
    return {
      code: "reference_output_not_declared",
      error: isInside
        ? `inside of its body "${block.id}" gives item and index, and its outputs only after it`
        : `"${block.id}" gives item and index only inside of its body`,
    };
  }

  #lookAtOutput(block: Block, path: Reference["path"]): Sight {
    const type = this.#blockTypes.get(block.type);
    if (type === undefined || type.hasOpenOutputs) return { kinds: "any" };
    if (path[0] === "error" && isCaught(block)) {
      return { kinds: path.length === 1 ? ["object"] : ["string"] };
    }
    const key = JSON.stringify([block.type, ...path]);
    const kinds = this.#kindsByOutput.get(key) ?? kindsAt(type.outputs, path);
    if (kinds !== null) {
      this.#kindsByOutput.set(key, kinds);
      return { kinds };
    }
    if (path[0] === "error" && !Object.hasOwn(type.outputs.shape, "error")) {
      const error = `"${block.id}" gives error only with onError "branch" or "continue"; update its onError`;
      return { code: "error_not_caught", error };
    }
    const declared = Object.keys(type.outputs.shape);
    return {
      code: "reference_output_not_declared",
      error: `${type.type} declares no such output; it declares ${declared.join(", ") || "none"}`,
    };
  }
}
