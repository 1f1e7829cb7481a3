import type { Principal } from "../auth/principal.js";
import { BlockError } from "../connectors/define-connector.js";
import type { Database, Db } from "../db/client.js";
import { type Page, type PageRequest, pageWindow } from "../db/page.js";
import { AppError } from "../errors/app-error.js";
import { invalidBody } from "../errors/invalid-body.js";
import type { ResealedBatch, SealedValues } from "./rotate-keys.js";
import { type SecretBox, UnreadableSecretError } from "./secret-box.js";
import { isSecretName } from "./secret-name.js";
import * as store from "./store.js";

export type SecretKey = store.SecretKey;

/** A secret as clients see it: without its value. */
export type Secret = store.StoredSecret;

export interface SecretServiceOptions {
  readonly database: Database;
  readonly box: SecretBox;
  readonly now: () => Date;
}

/** Secrets that rotation takes at a time. */
const ROTATION_BATCH = 200;

/** Secrets of an organization; a value goes in and comes out only for a block that runs. */
export class SecretService implements SealedValues {
  readonly #options: SecretServiceOptions;

  constructor(options: SecretServiceOptions) {
    this.#options = options;
  }

  /** Creates or replaces. @throws AppError `invalid_body` for a name that no secret can have. */
  async set(
    principal: Principal,
    { name, value }: { readonly name: string; readonly value: string },
  ): Promise<Secret> {
    if (!isSecretName(name)) {
      const message = "must be 1 to 64 letters, digits or underscores and not start with a digit";
      throw invalidBody([{ path: ["name"], code: "invalid_format", message }]);
    }
    const { organizationId } = principal;
    const { database, box, now } = this.#options;
    const sealed = box.seal({ organizationId, name }, value);
    return store.upsertSecret(database.db, organizationId, {
      name,
      ...sealed,
      now: now(),
      updatedBy: principal.id,
    });
  }

  /** @throws AppError `invalid_body` for a bad cursor. */
  async list(principal: Principal, request: PageRequest): Promise<Page<Secret>> {
    const window = pageWindow(request, isSecretName);
    return store.listSecrets(this.#options.database.db, principal.organizationId, window);
  }

  /** @throws AppError `not_found`. */
  async remove(principal: Principal, name: string): Promise<void> {
    const isDeleted = await store.deleteSecret(this.#options.database.db, principal.organizationId, name);
    if (!isDeleted) throw new AppError("not_found");
  }

  /** Those of the secrets, of any organizations, that do not exist. One query. */
  findMissing(db: Db, keys: readonly SecretKey[]): Promise<SecretKey[]> {
    return store.findMissing(db, keys);
  }

  /**
   * The values by name, for the attempt of a block; a secret that does not exist is absent. One query.
   * @throws BlockError `secret_unreadable` naming the secret and its key.
   */
  async reveal(
    db: Db,
    organizationId: string,
    names: readonly string[],
  ): Promise<ReadonlyMap<string, string>> {
    const rows = await store.findSecrets(db, organizationId, names);
    return new Map(rows.map((row) => [row.name, this.#open(organizationId, row)]));
  }

  async resealSome(keyIds: readonly string[], after: readonly string[] | null): Promise<ResealedBatch> {
    const { box, database } = this.#options;
    const [organizationId = "", name = ""] = after ?? [];
    return database.transaction(async ({ db }) => {
      const position = { organizationId, name };
      const rows = await store.claimSealedUnder(db, keyIds, { after: position, limit: ROTATION_BATCH });
      let unreadable = 0;
      for (const row of rows) {
        const resealed = box.reseal(row, row);
        if (resealed === null) unreadable += 1;
        else await store.resealSecret(db, { ...row, ...resealed });
      }
      const last = rows.at(-1);
      const hasMore = rows.length === ROTATION_BATCH && last !== undefined;
      const next = hasMore ? [last.organizationId, last.name] : null;
      return { resealed: rows.length - unreadable, unreadable, next };
    });
  }

  countByKey() {
    return store.countByKey(this.#options.database.db);
  }

  #open(organizationId: string, row: Omit<store.OwnedSecret, "organizationId">): string {
    try {
      return this.#options.box.open({ organizationId, name: row.name }, row);
    } catch (error) {
      if (!(error instanceof UnreadableSecretError)) throw error;
      throw new BlockError(
        "secret_unreadable",
        `The secret ${row.name} cannot be read: ${error.message}; set it again with PUT /api/secrets/${row.name}.`,
      );
    }
  }
}
