import { LRUCache } from "lru-cache";
import type { Catalogue } from "../connectors/catalogue.js";
import type { Db } from "../db/client.js";
import { jsonBytes, MAX_OUTPUT_BYTES } from "../engine/blocks/json-output.js";
import { AppError } from "../errors/app-error.js";
import type { SecretKey, SecretService } from "../secrets/service.js";
import type { Settings, WorkflowDocument } from "../workflows/document.js";
import { type NeededSecret, neededSecrets } from "../workflows/secret-use.js";
import type { WorkflowService } from "../workflows/service.js";
import type { ValidationError } from "../workflows/validation-error.js";
import type { VersionKey, WorkflowKey } from "../workflows/version-store.js";
import type { RunTrigger } from "./run-kinds.js";

/** What a new run is started with, whoever starts it. */
export interface RunRequest {
  readonly workflowId: string;
  /** Absent: the newest version. */
  readonly version: number | null;
  readonly input: unknown;
  readonly trigger: RunTrigger;
  readonly idempotencyKey: string | null;
  /** User, key or schedule id. */
  readonly createdBy: string;
  /** The user who asked for it; absent: nobody known beside `createdBy`. */
  readonly requestedBy?: string | null;
  /** How many runs started each other to come to it; absent: none. */
  readonly depth?: number;
}

/** The version of a workflow that can run. */
export interface Runnable extends WorkflowKey, VersionKey {
  readonly workflowVersion: number;
  readonly settings: Settings;
}

/** A request that was checked and may be written: the version it is pinned to. */
export type CheckedRun = RunRequest & Runnable;

export interface RunChecksOptions {
  readonly catalogue: Catalogue;
  readonly workflows: WorkflowService;
  readonly secrets: Pick<SecretService, "findMissing">;
}

/** What a version asks for: versions and the catalogue never change, so it is kept. */
interface Verdict {
  readonly isEmpty: boolean;
  readonly errors: readonly ValidationError[];
  readonly secrets: readonly NeededSecret[];
  readonly settings: Settings;
}

/** What the kept verdicts take together, in verdicts with one validation error or needed secret each. */
const MAX_KEPT = 20_000;
/** Documents that are read at once: each may have a mebibyte. */
const DOCUMENTS_AT_ONCE = 20;

/** Decides whether runs may start; writes nothing. */
export class RunChecks {
  readonly #options: RunChecksOptions;
  readonly #verdicts = new LRUCache<string, Verdict>({
    maxSize: MAX_KEPT,
    sizeCalculation: ({ errors, secrets }) => 1 + errors.length + secrets.length,
  });

  constructor(options: RunChecksOptions) {
    this.#options = options;
  }

  /**
   * @throws AppError `not_found` (workflow or version), `workflow_invalid`, `dispatch_failed` (a secret is missing),
   * `payload_too_large` (the input is larger than the output of the trigger may be).
   */
  async check(db: Db, organizationId: string, request: RunRequest): Promise<CheckedRun> {
    requireStorable(request.input);
    const { workflowId, version } = request;
    const found = await this.#options.workflows.findVersion(db, organizationId, workflowId, version);
    if (found === null) throw absenceOf(request);
    const { versionId, version: workflowVersion } = found;
    const [outcome] = await this.#judge(db, [{ organizationId, workflowId, versionId, workflowVersion }]);
    if (outcome === undefined || outcome instanceof AppError) throw outcome ?? absenceOf(request);
    return { ...request, ...outcome };
  }

  /**
   * For the newest versions of workflows of any organizations, in their order: what runs of each are pinned to, or why
   * there can be none, as `check` throws it. A number of statements that does not grow with theirs, but for documents
   * that were not looked at before.
   */
  async checkNewest(db: Db, keys: readonly WorkflowKey[]): Promise<(Runnable | AppError)[]> {
    const found = await this.#options.workflows.findNewest(db, keys);
    const outcomes = await this.#judge(
      db,
      found.map(({ version: workflowVersion, ...each }) => ({ ...each, workflowVersion })),
    );
    const byKey = new Map(found.map((each, index) => [textOf(each), outcomes[index]]));
    return keys.map((key) => byKey.get(textOf(key)) ?? new AppError("not_found"));
  }

  async #judge(db: Db, versions: readonly Omit<Runnable, "settings">[]): Promise<(Runnable | AppError)[]> {
    const verdicts = await this.#verdictsOf(db, versions);
    const needed = versions.flatMap(({ organizationId }, index) =>
      (verdicts[index]?.secrets ?? []).map(({ name }) => ({ organizationId, name })),
    );
    const missing = await this.#findMissing(db, needed);
    return versions.map((version, index) => {
      const verdict = verdicts[index];
      if (verdict == null) return new AppError("not_found");
      if (verdict.isEmpty || verdict.errors.length > 0) return invalidityOf(verdict);
      const lack = verdict.secrets.find(({ name }) => missing.has(`${version.organizationId}/${name}`));
      return lack === undefined ? { ...version, settings: verdict.settings } : lackOf(lack);
    });
  }

  /** Asks the database only when a block needs a secret. */
  async #findMissing(db: Db, needed: readonly SecretKey[]): Promise<ReadonlySet<string>> {
    if (needed.length === 0) return new Set();
    const missing = await this.#options.secrets.findMissing(db, needed);
    return new Set(missing.map(({ organizationId, name }) => `${organizationId}/${name}`));
  }

  /** In the order of the versions; null for one whose document is gone. */
  async #verdictsOf(db: Db, versions: readonly VersionKey[]): Promise<(Verdict | null)[]> {
    const verdicts = versions.map(({ versionId }) => this.#verdicts.get(versionId) ?? null);
    const unknown = [...versions.entries()].filter(([index]) => verdicts[index] === null);
    for (let first = 0; first < unknown.length; first += DOCUMENTS_AT_ONCE) {
      const part = unknown.slice(first, first + DOCUMENTS_AT_ONCE);
      const documents = await this.#options.workflows.findDocuments(
        db,
        part.map(([, version]) => version),
      );
      for (const [index, { versionId }] of part) {
        const document = documents.get(versionId);
        if (document === undefined) continue;
        const verdict = this.#verdictOf(document);
        this.#verdicts.set(versionId, verdict);
        verdicts[index] = verdict;
      }
    }
    return verdicts;
  }

  #verdictOf(document: WorkflowDocument): Verdict {
    const { catalogue, workflows } = this.#options;
    return {
      isEmpty: !document.blocks.some((block) => block.enabled),
      errors: workflows.validate(document),
      secrets: neededSecrets(document, catalogue),
      settings: document.settings ?? {},
    };
  }
}

const textOf = ({ organizationId, workflowId }: WorkflowKey) => `${organizationId}/${workflowId}`;

function invalidityOf({ isEmpty, errors }: Verdict): AppError {
  return new AppError("workflow_invalid", {
    message: isEmpty
      ? "The workflow has no enabled block, so there is nothing to run."
      : `The workflow has ${errors.length} validation ${errors.length === 1 ? "error" : "errors"}: ${errors[0]?.error}`,
    details: { validation_errors: errors },
  });
}

function lackOf({ blockId, blockType, name }: NeededSecret): AppError {
  return new AppError("dispatch_failed", {
    message:
      `Block "${blockId}" (${blockType}) needs the secret ${name}, which this organization does ` +
      `not have; set it with PUT /api/secrets/${name}. No run exists.`,
  });
}

/** The same for a workflow of another organization. */
function absenceOf({ version }: RunRequest): AppError {
  if (version === null) return new AppError("not_found");
  return new AppError("not_found", {
    message: `There is no such workflow with a version ${version}; GET /api/workflows/{id}/versions lists its versions.`,
  });
}

/** The trigger's output is the input, so a larger one could only fail there. */
function requireStorable(input: unknown): void {
  const bytes = jsonBytes(input ?? {});
  if (bytes <= MAX_OUTPUT_BYTES) return;
  throw new AppError("payload_too_large", {
    message: `The input of the run has ${bytes} bytes as JSON; ${MAX_OUTPUT_BYTES} are allowed. Send less of it.`,
    details: { limitBytes: MAX_OUTPUT_BYTES },
  });
}
