import { AppError } from "../errors/app-error.js";
import type { Catalogue } from "./catalogue.js";
import {
  type ConnectorDetail,
  type ConnectorSummary,
  describeConnector,
  summarizeConnector,
} from "./describe-connector.js";

/** Every connector, sorted by type, as briefly or as fully as asked. */
export function listConnectors(
  catalogue: Catalogue,
  detail: "summary" | "full",
): (ConnectorSummary | ConnectorDetail)[] {
  return catalogue.list().map(detail === "full" ? describeConnector : summarizeConnector);
}

/**
 * The full description of one type.
 * @throws AppError `not_found`.
 */
export function getConnector(catalogue: Catalogue, type: string): ConnectorDetail {
  const connector = catalogue.get(type);
  if (connector === undefined) {
    throw new AppError("not_found", {
      message: "There is no connector of this type; GET /api/connectors lists them.",
    });
  }
  return describeConnector(connector);
}
