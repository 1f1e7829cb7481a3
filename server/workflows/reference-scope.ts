import type { BlockTypes } from "./block-types.js";
import type { Block, WorkflowDocument } from "./document.js";
import { Graph } from "./graph.js";
import { excerpt, nearestNames } from "./nearest-names.js";
import type { Reference } from "./references.js";
import type { ValidationCode } from "./validation-error.js";
import { kindOf, kindsAt, type ValueKinds } from "./value-kind.js";

/** From where a reference looks, and whether it may look at secrets. */
export interface Viewpoint {
  /** Whether the block's output exists by then. */
  isUpstream(id: string): boolean;
  readonly areSecretsAllowed: boolean;
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

  constructor(document: WorkflowDocument, blockTypes: BlockTypes) {
    this.#document = document;
    this.#blockTypes = blockTypes;
    for (const block of document.blocks) {
      if (!this.#byId.has(block.id)) this.#byId.set(block.id, block);
      if (block.name !== undefined)
        this.#byName.set(block.name, [...(this.#byName.get(block.name) ?? []), block]);
    }
    const runs = (id: string) => this.#byId.get(id)?.enabled === true;
    this.#enabledGraph = new Graph(
      document.connections.filter(({ source, target }) => runs(source) && runs(target)),
    );
  }

  /** Whether enabled blocks lead from the first to the second; the answer is found once and kept. */
  upstreamOf(id: string): (other: string) => boolean {
    let ancestors: ReadonlySet<string> | null = null;
    return (other) => {
      if (this.#enabledGraph.hasEdge({ source: other, target: id })) return true;
      ancestors ??= this.#enabledGraph.ancestorsOf(id);
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
        const names = nearestNames(name, Object.keys(this.#document.variables));
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

  #lookAtBlock(reference: Reference, { isUpstream }: Viewpoint): Sight {
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
    if (!isUpstream(block.id)) {
      const remedy = block.enabled
        ? `connect "${block.id}" so that it leads here through enabled blocks`
        : `"${block.id}" is disabled and gives no output; enable it or take the reference out`;
      return { code: "reference_not_upstream", error: `block "${block.id}" is not upstream; ${remedy}` };
    }
    return this.#lookAtOutput(block, path);
  }

  #lookAtOutput(block: Block, path: Reference["path"]): Sight {
    const type = this.#blockTypes.get(block.type);
    if (type === undefined || type.hasOpenOutputs) return { kinds: "any" };
    if (path[0] === "error" && (block.onError === "continue" || block.onError === "branch")) {
      return { kinds: path.length === 1 ? ["object"] : ["string"] };
    }
    const key = JSON.stringify([block.type, ...path]);
    const kinds = this.#kindsByOutput.get(key) ?? kindsAt(type.outputs, path);
    if (kinds !== null) {
      this.#kindsByOutput.set(key, kinds);
      return { kinds };
    }
    const declared = Object.keys(type.outputs.shape);
    return {
      code: "reference_output_not_declared",
      error: `${type.type} declares no such output; it declares ${declared.join(", ") || "none"}`,
    };
  }
}
