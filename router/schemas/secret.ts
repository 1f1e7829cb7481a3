import { z } from "zod";
import { MAX_SECRET_BYTES, SECRET_NAME_PATTERN } from "../../server/secrets/secret-name.js";
import { Id, Instant, pageInput, pageOf } from "./common.js";

/** A name in the path; the service tells whether a secret can have it. */
const SecretName = Id.meta({
  description:
    "Like an environment variable: 1 to 64 letters, digits and underscores, no digit first. Blocks reference it as {{secrets.NAME}}.",
  pattern: SECRET_NAME_PATTERN.source,
  example: "SLACK_BOT_TOKEN",
});

export const SetSecretInput = z.object({
  name: SecretName,
  value: z
    .string()
    .min(1)
    .refine(
      (value) => Buffer.byteLength(value) <= MAX_SECRET_BYTES,
      `must have at most ${MAX_SECRET_BYTES} bytes`,
    )
    .meta({ description: "Text, 64 KiB at most. It is encrypted and never shown again." }),
});

export const Secret = z
  .object({ name: z.string(), createdAt: Instant, updatedAt: Instant })
  .meta({ id: "Secret" });

export const ListSecretsInput = z.object(pageInput);

export const SecretPage = pageOf(Secret);

export const SecretNameInput = z.object({ name: SecretName });
