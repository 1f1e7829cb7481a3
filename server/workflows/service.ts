import type { Principal } from "../auth/principal.js";
import type { Catalogue } from "../connectors/catalogue.js";
import type { Database, Db, Transaction } from "../db/client.js";
import { type Page, type PageRequest, pageWindow } from "../db/page.js";
import { worstCaseSteps } from "../engine/steps/step-budget.js";
import { AppError } from "../errors/app-error.js";
import { applyEditOperations } from "./apply-edit-operations.js";
import { Metadata, type PartialMetadata, type WorkflowDocument } from "./document.js";
import { summarizeEdit } from "./edit-summary.js";
import type { SkippedItem } from "./skip-reasons.js";
import * as store from "./store.js";
import { validateDocument } from "./validate-document.js";
import type { ValidationError } from "./validation-error.js";
import * as versions from "./version-store.js";

/** Largest document, in bytes of JSON. */
const MAX_DOCUMENT_BYTES = 1_048_576;

/** A workflow as clients read it. */
export type Workflow = Omit<store.StoredWorkflow, "versionId">;

/** Answer of a batch of edit operations. */
export interface EditResult {
  /** True when nothing was skipped and the document has no validation errors. */
  readonly ok: boolean;
  readonly workflow: WorkflowDocument;
  readonly version: number;
  /** How many operations took effect. */
  readonly applied: number;
  readonly validation_errors: ValidationError[];
  readonly skipped_items: SkippedItem[];
  /** One text that a person or a model can read as it is. */
  readonly summary: string;
}

export interface WorkflowServiceOptions {
  readonly database: Database;
  readonly catalogue: Catalogue;
  readonly now: () => Date;
  /** Called in the transaction that removes a workflow, so that what starts runs of it stops with it. */
  readonly onRemoved: (tx: Transaction, organizationId: string, workflowId: string) => Promise<void>;
}

/** Workflows of an organization: documents, their versions and the edit loop. */
export class WorkflowService {
  readonly #options: WorkflowServiceOptions;

  constructor(options: WorkflowServiceOptions) {
    this.#options = options;
  }

  /** Creates version 1; `metadata` goes over the document's own. A document with validation errors is kept as a draft. */
  async create(
    principal: Principal,
    input: { readonly metadata?: PartialMetadata | undefined; readonly workflow: WorkflowDocument },
  ): Promise<Workflow> {
    const metadata = Metadata.parse({ ...input.workflow.metadata, ...input.metadata });
    const document: WorkflowDocument = { ...input.workflow, metadata };
    assertSize(document);
    const { versionId: _, ...created } = await store.insertWorkflow(
      this.#options.database.db,
      principal.organizationId,
      {
        document,
        createdBy: principal.id,
        now: this.#options.now(),
      },
    );
    return created;
  }

  /** @throws AppError `invalid_body` for a bad cursor. */
  list(
    principal: Principal,
    request: PageRequest & { readonly search?: string | undefined; readonly tag?: string | undefined },
  ): Promise<Page<store.WorkflowSummary>> {
    return store.listWorkflows(
      this.#options.database.db,
      principal.organizationId,
      pageWindow(request),
      request,
    );
  }

  /** @throws AppError `not_found`. */
  async get(principal: Principal, id: string): Promise<Workflow> {
    const found = await store.findWorkflow(this.#options.database.db, principal.organizationId, id);
    if (found === null) throw new AppError("not_found");
    const { versionId: _, ...workflow } = found;
    return workflow;
  }

  /** Writes the document as the next version. @throws AppError `not_found`, `version_mismatch`. */
  replace(
    principal: Principal,
    input: {
      readonly id: string;
      readonly workflow: WorkflowDocument;
      readonly expectedVersion?: number | undefined;
    },
  ): Promise<Workflow> {
    return this.#change(principal, input, async () => ({ next: input.workflow, answer: replaceWith }));
  }

  /**
   * Applies a batch to the newest document under its lock: bad operations are skipped and explained, the others
   * land. A batch that changes nothing, or a dry run, leaves the version as it was.
   * @throws AppError `not_found`, `version_mismatch`, `limit_exceeded` (document larger than 1 MiB).
   */
  edit(
    principal: Principal,
    input: {
      readonly id: string;
      readonly ops: readonly unknown[];
      readonly dryRun?: boolean | undefined;
      readonly expectedVersion?: number | undefined;
    },
  ): Promise<EditResult> {
    return this.#change(principal, input, async (head) => {
      const isDryRun = input.dryRun === true;
      const result = applyEditOperations(head.workflow, input.ops, this.#options.catalogue);
      if (isDryRun && result.isChanged) assertSize(result.document);
      const errors = this.validate(result.document);
      return {
        next: result.isChanged && !isDryRun ? result.document : null,
        answer: ({ version }) => ({
          ok: result.skipped.length === 0 && errors.length === 0,
          workflow: result.document,
          version,
          applied: result.applied,
          validation_errors: errors,
          skipped_items: result.skipped,
          summary: summarizeEdit({ ...result, validationErrors: errors, isDryRun }),
        }),
      };
    });
  }

  /** Soft: running runs finish, what starts runs of it stops. @throws AppError `not_found`. */
  async remove(principal: Principal, id: string): Promise<void> {
    await this.#options.database.transaction(async (tx) => {
      const isRemoved = await store.removeWorkflow(tx.db, principal.organizationId, id, this.#options.now());
      if (!isRemoved) throw new AppError("not_found");
      await this.#options.onRemoved(tx, principal.organizationId, id);
    });
  }

  /** @throws AppError `not_found`; `invalid_body` for a bad cursor. */
  async listVersions(principal: Principal, { id, ...request }: PageRequest & { readonly id: string }) {
    const window = pageWindow(request, (text) => /^\d{1,9}$/.test(text));
    const head = await versions.findVersion(this.#options.database.db, principal.organizationId, id, null);
    if (head === null) throw new AppError("not_found");
    return versions.listVersions(this.#options.database.db, principal.organizationId, id, window);
  }

  /** @throws AppError `not_found`. */
  async getVersion(principal: Principal, input: { readonly id: string; readonly version: number }) {
    const found = await versions.findSnapshot(
      this.#options.database.db,
      principal.organizationId,
      input.id,
      input.version,
    );
    if (found === null) throw new AppError("not_found");
    return { id: input.id, ...found };
  }

  /** Writes an old snapshot as the next version. @throws AppError `not_found`, `version_mismatch`. */
  restore(
    principal: Principal,
    input: { readonly id: string; readonly version: number; readonly expectedVersion?: number | undefined },
  ): Promise<Workflow> {
    return this.#change(principal, input, async (_head, tx) => {
      const found = await versions.findSnapshot(tx.db, principal.organizationId, input.id, input.version);
      if (found === null) throw new AppError("not_found");
      return { next: found.workflow, answer: replaceWith };
    });
  }

  /** Everything that keeps a document from running on this server. */
  validate(document: WorkflowDocument): ValidationError[] {
    const { catalogue } = this.#options;
    return validateDocument(document, catalogue, (each) => worstCaseSteps(each, catalogue));
  }

  /** Keeps the workflow from being removed until the transaction ends; false when it is not there. */
  hold(tx: Transaction, organizationId: string, id: string): Promise<boolean> {
    return store.holdWorkflow(tx.db, organizationId, id);
  }

  /** Which version a run is pinned to, or null when the workflow or the numbered version is not there. */
  findVersion(db: Db, organizationId: string, id: string, version: number | null) {
    return versions.findVersion(db, organizationId, id, version);
  }

  /** The newest versions of those of the workflows, of any organizations, that are there. */
  findNewest(db: Db, keys: readonly versions.WorkflowKey[]) {
    return versions.findNewest(db, keys);
  }

  /** The documents of versions of any organizations by the version's own id, also of removed workflows. */
  findDocuments(db: Db, keys: readonly versions.VersionKey[]) {
    return versions.findDocuments(db, keys);
  }

  /** The document of a version by the version's own id, also of a removed workflow, or null. */
  findDocument(db: Db, organizationId: string, versionId: string): Promise<WorkflowDocument | null> {
    return versions.findDocument(db, organizationId, versionId);
  }

  /** Runs `decide` on the locked head and writes what it returns as the next version; null writes nothing. */
  async #change<T>(
    principal: Principal,
    { id, expectedVersion }: { readonly id: string; readonly expectedVersion?: number | undefined },
    decide: (
      head: store.StoredWorkflow,
      tx: Transaction,
    ) => Promise<{ next: WorkflowDocument | null; answer: (saved: Workflow) => T }>,
  ): Promise<T> {
    return this.#options.database.transaction(async (tx) => {
      const head = await store.lockWorkflow(tx.db, principal.organizationId, id);
      if (head === null) throw new AppError("not_found");
      if (expectedVersion !== undefined && expectedVersion !== head.version) {
        throw new AppError("version_mismatch", { details: { current: head.version } });
      }
      const { versionId: _, ...current } = head;
      const { next, answer } = await decide(head, tx);
      if (next === null) return answer(current);
      assertSize(next);
      const saved = { ...current, workflow: next, version: head.version + 1, updatedAt: this.#options.now() };
      await store.insertVersion(tx.db, principal.organizationId, id, {
        document: next,
        version: saved.version,
        createdBy: principal.id,
        now: saved.updatedAt,
      });
      return answer(saved);
    });
  }
}

const replaceWith = (saved: Workflow) => saved;

function assertSize(document: WorkflowDocument): void {
  const bytes = Buffer.byteLength(JSON.stringify(document));
  if (bytes > MAX_DOCUMENT_BYTES) {
    throw new AppError("limit_exceeded", {
      message: `The document would have ${bytes} bytes; the limit is ${MAX_DOCUMENT_BYTES}: take something out, or move blocks into a workflow that run_workflow starts.`,
      details: { limit: MAX_DOCUMENT_BYTES },
    });
  }
}
