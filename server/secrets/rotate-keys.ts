import type { Logger } from "pino";
import type { SecretBox } from "./secret-box.js";

/** What one batch of a rotation did. */
export interface ResealedBatch {
  readonly resealed: number;
  /** Left as they are because they cannot be opened. */
  readonly unreadable: number;
  /** Where to go on; null at the end. */
  readonly next: readonly string[] | null;
}

/** A noun that keeps sealed values, of all organizations. */
export interface SealedValues {
  /** Seals some of those under the given keys anew, in one transaction; `after` is the `next` of the batch before. */
  resealSome(keyIds: readonly string[], after: readonly string[] | null): Promise<ResealedBatch>;
  /** How many values there are under each key. */
  countByKey(): Promise<readonly { readonly keyId: string; readonly count: number }[]>;
}

export interface RotateKeysOptions {
  readonly box: SecretBox;
  /** By the name that the log shows. */
  readonly values: Readonly<Record<string, SealedValues>>;
  readonly logger: Logger;
  /** Asked between batches. */
  readonly isOver: () => boolean;
}

/**
 * Seals everything anew that is sealed under an older key, in small transactions beside running work, and tells the
 * log how many, as well as what is under a key that nobody gave.
 */
export async function rotateKeys({ box, values, logger, isOver }: RotateKeysOptions): Promise<void> {
  for (const [kind, sealed] of Object.entries(values)) {
    const counts = { resealed: 0, unreadable: 0 };
    let after: readonly string[] | null = null;
    do {
      if (isOver() || box.olderKeyIds.length === 0) break;
      const batch: ResealedBatch = await sealed.resealSome(box.olderKeyIds, after);
      counts.resealed += batch.resealed;
      counts.unreadable += batch.unreadable;
      after = batch.next;
    } while (after !== null);
    if (counts.resealed + counts.unreadable > 0) {
      logger.info(
        { kind, ...counts, keyId: box.keyId },
        "Sealed values were sealed anew under the first key.",
      );
    }
    if (isOver()) return;
    const known = new Set([box.keyId, ...box.olderKeyIds]);
    for (const { keyId, count } of await sealed.countByKey()) {
      if (known.has(keyId)) continue;
      logger.warn({ kind, keyId, count }, "Values are sealed under a key that SECRETS_KEYS does not hold.");
    }
  }
}
