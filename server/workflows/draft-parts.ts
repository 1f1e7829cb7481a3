import { Metadata, type Settings, type WorkflowDocument } from "./document.js";
import type { ConfigureOperation } from "./edit-operation.js";

type Patches = Pick<ConfigureOperation, "settings" | "variables" | "metadata">;

/**
 * Settings, variables and metadata of a document that takes one change after another. They are copied once, not with
 * every change: each may have tens of thousands of entries.
 */
export class DraftParts {
  readonly #whole: WorkflowDocument;
  #entries: Readonly<Record<keyof Patches, Map<string, unknown>>> | null = null;

  constructor(whole: WorkflowDocument) {
    this.#whole = whole;
  }

  /** Goes over each part key by key; null removes one. */
  change(patches: Patches): void {
    const { settings = {}, variables, metadata } = this.#whole;
    this.#entries ??= {
      settings: new Map(Object.entries(settings)),
      variables: new Map(Object.entries(variables)),
      metadata: new Map(Object.entries(metadata)),
    };
    for (const part of ["settings", "variables", "metadata"] as const) {
      for (const [key, value] of Object.entries(patches[part] ?? {})) {
        if (value === null) this.#entries[part].delete(key);
        else if (value !== undefined) this.#entries[part].set(key, value);
      }
    }
  }

  /** The document with the parts as they are now. */
  toDocument(): WorkflowDocument {
    if (this.#entries === null) return this.#whole;
    const { settings: _, ...whole } = this.#whole;
    const { settings, variables, metadata } = this.#entries;
    return {
      ...whole,
      metadata: Metadata.parse(Object.fromEntries(metadata)),
      variables: Object.fromEntries(variables) as WorkflowDocument["variables"],
      ...(settings.size === 0 ? {} : { settings: Object.fromEntries(settings) as Settings }),
    };
  }
}
