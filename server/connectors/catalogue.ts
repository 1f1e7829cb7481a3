import { z } from "zod";
import { ConfigError } from "../config.js";
import type { BlockTypes } from "../workflows/block-types.js";
import type { Connector } from "./define-connector.js";

/** A connector as the edit loop, validation and the engine see it. */
export type RegisteredConnector = Connector & {
  /** The outputs are not all declared, so that a reference may name any path. */
  readonly hasOpenOutputs: boolean;
};

/** Every connector of this server, by type. */
export interface Catalogue extends BlockTypes {
  get(type: string): RegisteredConnector | undefined;
  /** All connectors, sorted by type. */
  list(): readonly RegisteredConnector[];
}

/**
 * Makes the catalogue; it never changes afterwards.
 * @throws ConfigError naming both connectors when two have the same type.
 */
export function createCatalogue(connectors: readonly Connector[]): Catalogue {
  const byType = new Map<string, RegisteredConnector>();
  for (const connector of connectors) {
    const other = byType.get(connector.type);
    if (other !== undefined) {
      throw new ConfigError(
        `Connector type "${connector.type}" is registered twice, as "${other.name}" and as "${connector.name}"; ` +
          "give one of them another type.",
      );
    }
    byType.set(connector.type, { ...connector, hasOpenOutputs: isOpen(connector.outputs) });
  }
  const types = [...byType.keys()].sort();
  const sorted = types.flatMap((type) => byType.get(type) ?? []);
  return { get: (type) => byType.get(type), list: () => sorted, types: () => types };
}

function isOpen(outputs: z.ZodObject): boolean {
  const { catchall } = outputs.def;
  return catchall !== undefined && !(catchall instanceof z.core.$ZodNever);
}
