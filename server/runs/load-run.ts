import type { Database } from "../db/client.js";
import type { LoadedRun } from "../engine/engine.js";
import type { FindDocument } from "./document-cache.js";
import { findRunInput } from "./store.js";

/**
 * Loads what the engine walks: the pinned document with the run's input. `findDocument` keeps documents, so that a
 * version gives the same object.
 */
export function createRunLoader(database: Database, findDocument: FindDocument) {
  return async (organizationId: string, runId: string): Promise<LoadedRun | null> => {
    const run = await findRunInput(database.db, organizationId, runId);
    if (run === null) return null;
    const document = await findDocument(database.db, organizationId, run.versionId);
    if (document === null) return null;
    return { document, input: run.input, trigger: run.trigger, startedBy: run.startedBy };
  };
}
