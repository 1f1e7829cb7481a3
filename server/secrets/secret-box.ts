import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from "node:crypto";

const ALGORITHM = "aes-256-gcm";
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** A key for secrets: 32 bytes under a name that rows carry. */
export interface SecretKey {
  readonly id: string;
  readonly key: Buffer;
}

/** Whose secret it is and how it is called; a sealed value opens for these only. */
export interface SecretLabel {
  readonly organizationId: string;
  readonly name: string;
}

/** An encrypted value: nonce, ciphertext and tag in Base64, and the key that opens it. */
export interface SealedSecret {
  readonly keyId: string;
  readonly sealed: string;
}

/** A sealed value that cannot be opened; `message` is a clause that names the key. */
export class UnreadableSecretError extends Error {
  override readonly name = "UnreadableSecretError";
}

/** Encrypts under the first key and decrypts under any. */
export interface SecretBox {
  /** Key that new values are sealed with. */
  readonly keyId: string;
  /** Keys that open values but seal none any more. */
  readonly olderKeyIds: readonly string[];
  seal(label: SecretLabel, value: string): SealedSecret;
  /** @throws UnreadableSecretError for an unknown key and for what was not sealed under this label. */
  open(label: SecretLabel, secret: SealedSecret): string;
  /** The same value under the first key; null when it cannot be opened. */
  reseal(label: SecretLabel, secret: SealedSecret): SealedSecret | null;
}

/**
 * Seals with AES-256-GCM under a random nonce of 96 bits; organization and name are authenticated with the value, so
 * that a copied row does not open.
 */
export function createSecretBox(keys: readonly [SecretKey, ...SecretKey[]]): SecretBox {
  const [first, ...older] = keys;
  const byId = new Map(keys.map(({ id, key }) => [id, key]));
  const box: SecretBox = {
    keyId: first.id,
    olderKeyIds: older.map(({ id }) => id),

    seal(label, value) {
      const nonce = randomBytes(NONCE_BYTES);
      const cipher = createCipheriv(ALGORITHM, first.key, nonce).setAAD(encodeLabel(label));
      const text = Buffer.concat([cipher.update(value, "utf8"), cipher.final()]);
      return {
        keyId: first.id,
        sealed: Buffer.concat([nonce, text, cipher.getAuthTag()]).toString("base64"),
      };
    },

    open(label, { keyId, sealed }) {
      const key = byId.get(keyId);
      if (key === undefined) throw new UnreadableSecretError(`its key ${keyId} is not in SECRETS_KEYS`);
      const bytes = Buffer.from(sealed, "base64");
      try {
        const decipher = createDecipheriv(ALGORITHM, key, bytes.subarray(0, NONCE_BYTES), {
          authTagLength: TAG_BYTES,
        });
        decipher.setAAD(encodeLabel(label)).setAuthTag(bytes.subarray(-TAG_BYTES));
        const text = decipher.update(bytes.subarray(NONCE_BYTES, -TAG_BYTES));
        return Buffer.concat([text, decipher.final()]).toString("utf8");
      } catch {
        throw new UnreadableSecretError(`what is stored was not sealed for it under the key ${keyId}`);
      }
    },

    reseal(label, secret) {
      try {
        return box.seal(label, box.open(label, secret));
      } catch (error) {
        if (error instanceof UnreadableSecretError) return null;
        throw error;
      }
    },
  };
  return box;
}

/**
 * The keys of a server: those of `SECRETS_KEYS`, then one that is derived from the authentication secret, so that
 * values sealed before `SECRETS_KEYS` was set still open.
 */
export function secretKeys(
  configured: readonly { readonly id: string; readonly key: string }[],
  authSecret: string,
): [SecretKey, ...SecretKey[]] {
  const key = Buffer.from(hkdfSync("sha256", authSecret, "", "flowkeep secrets", 32));
  const fingerprint = createHash("sha256").update(key).digest("hex").slice(0, 12);
  const derived = { id: `auth_${fingerprint}`, key };
  const [first, ...others] = configured.map((each) => ({
    id: each.id,
    key: Buffer.from(each.key, "base64"),
  }));
  return first === undefined ? [derived] : [first, ...others, derived];
}

/** Both parts with their lengths in front, so that no two labels look alike. */
function encodeLabel({ organizationId, name }: SecretLabel): Buffer {
  return Buffer.concat(
    [organizationId, name].flatMap((part) => {
      const bytes = Buffer.from(part);
      const length = Buffer.alloc(4);
      length.writeUInt32BE(bytes.length);
      return [length, bytes];
    }),
  );
}
