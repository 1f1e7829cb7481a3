import { LRUCache } from "lru-cache";
import type { Database } from "../db/client.js";
import type { LoadedRun } from "../engine/engine.js";
import type { WorkflowDocument } from "../workflows/document.js";
import type { WorkflowService } from "../workflows/service.js";
import { findRunInput } from "./store.js";

/**
 * Loads what the engine walks: the pinned document with the run's input. Versions never change, so their documents
 * are kept, up to 64 MB of JSON.
 */
export function createRunLoader(database: Database, workflows: Pick<WorkflowService, "findDocument">) {
  const documents = new LRUCache<string, WorkflowDocument>({
    maxSize: 64 * 1_048_576,
    sizeCalculation: (document) => JSON.stringify(document).length,
  });
  return async (organizationId: string, runId: string): Promise<LoadedRun | null> => {
    const run = await findRunInput(database.db, organizationId, runId);
    if (run === null) return null;
    const document =
      documents.get(run.versionId) ??
      (await workflows.findDocument(database.db, organizationId, run.versionId));
    if (document === null) return null;
    documents.set(run.versionId, document);
    return { document, input: run.input, trigger: run.trigger };
  };
}
