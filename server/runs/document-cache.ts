import { LRUCache } from "lru-cache";
import type { Db } from "../db/client.js";
import type { WorkflowDocument } from "../workflows/document.js";

/** The document of a version by the version's own id, or null. */
export type FindDocument = (
  db: Db,
  organizationId: string,
  versionId: string,
) => Promise<WorkflowDocument | null>;

/**
 * Finds documents of versions and keeps them, up to 64 MB of JSON; versions never change. The same version gives the
 * same object. Callers know the version from a row of the organization.
 */
export function keepDocuments(find: FindDocument): FindDocument {
  const documents = new LRUCache<string, WorkflowDocument>({
    maxSize: 64 * 1_048_576,
    sizeCalculation: (document) => JSON.stringify(document).length,
  });
  return async (db, organizationId, versionId) => {
    const known = documents.get(versionId);
    if (known !== undefined) return known;
    const document = await find(db, organizationId, versionId);
    if (document !== null) documents.set(versionId, document);
    return document;
  };
}
