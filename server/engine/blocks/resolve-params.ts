import type { z } from "zod";
import { BlockError, type Connector, type JsonObject } from "../../connectors/define-connector.js";
import { createScrub, REDACTED, type Scrub, scrubNothing } from "../../secrets/scrub.js";
import { isExpressionAt, isLiteralAt, parameterUse } from "../../workflows/block-types.js";
import type { Block } from "../../workflows/document.js";
import { asksForText, describeIssue, fieldName, TEXT_REMEDY } from "../../workflows/schema-issue.js";
import { secretUseOf } from "../../workflows/secret-use.js";
import { capJson } from "./json-output.js";
import { type Path, resolveValue, type ValueScope } from "./resolve-values.js";

/** Most bytes of an attempt's input that are kept, as JSON. */
const MAX_INPUT_BYTES = 16_384;
/** Most secrets of one attempt, and most bytes of them together: everything it leaves behind is searched for them. */
const MAX_SECRETS = 100;
const MAX_SECRETS_BYTES = 262_144;

/**
 * Values of an organization's secrets by name; a secret that does not exist is absent. Never kept beyond the attempt
 * that asked. Throws BlockError `secret_unreadable`.
 */
export type ReadSecrets = (
  organizationId: string,
  names: readonly string[],
) => Promise<ReadonlyMap<string, string>>;

/** The parameters of one attempt and what keeps their secrets out of what is recorded of it. */
export interface ResolvedParams {
  /** With every reference filled, before the schema has seen them. */
  readonly values: JsonObject;
  /** The same to be shown: secrets redacted, hidden parameters left out, 16 KiB at most. */
  readonly input: unknown;
  /** Takes the secrets that the attempt uses out of any JSON value. */
  readonly scrub: Scrub;
}

/** The parameters of a block that has none yet. */
export const noParams: ResolvedParams = { values: {}, input: null, scrub: scrubNothing };

/**
 * Fills the references of a block's parameters and its hidden parameters; secrets are read with one query and only
 * where they are allowed, expressions stay as they are. At most 100 secrets of 256 KiB together.
 * @throws BlockError `secret_missing`, `value_too_large`, and what `readSecrets` throws.
 */
export async function resolveParams(
  { block, connector }: { readonly block: Block; readonly connector: Connector },
  scope: ValueScope,
  readSecrets: (names: readonly string[]) => Promise<ReadonlyMap<string, string>>,
): Promise<ResolvedParams> {
  const { referenced, filled } = secretUseOf(connector, block.params);
  const names = [...new Set([...referenced, ...filled.map(({ secret }) => secret)])];
  if (names.length > MAX_SECRETS) throw tooManySecrets(block, `${names.length} secrets; ${MAX_SECRETS}`);
  const secrets =
    names.length === 0 ? new Map<string, string>() : await readSecrets(names).catch(toReadFailure);
  const required = [...referenced, ...filled.flatMap((each) => (each.isRequired ? each.secret : []))];
  const missing = required.find((name) => !secrets.has(name));
  if (missing !== undefined) throw secretMissing(block, missing);
  const bytes = [...secrets.values()].reduce((sum, value) => sum + Buffer.byteLength(value), 0);
  if (bytes > MAX_SECRETS_BYTES) {
    throw tooManySecrets(block, `secrets of ${bytes} bytes together; ${MAX_SECRETS_BYTES}`);
  }

  const isSecretAt = ([name]: Path) => parameterUse(connector, String(name)) === "secret";
  // Expressions are evaluated later, literal texts hold no reference.
  const isLiteral = (path: Path) => isExpressionAt(connector, path) || isLiteralAt(connector, path);
  const fill = (read: (name: string) => string | null) =>
    resolveValue(
      block.params,
      { ...scope, secrets: (name, path) => (isSecretAt(path) ? read(name) : null) },
      isLiteral,
    ) as JsonObject;

  const scrub = createScrub(secrets.values());
  const shown = secrets.size === 0 ? fill(() => null) : fill(() => REDACTED);
  const values = secrets.size === 0 ? { ...shown } : fill((name) => secrets.get(name) ?? null);
  for (const { parameter, secret } of filled) {
    const value = secrets.get(secret);
    if (value !== undefined) values[parameter] = value;
  }
  return { values, input: capJson(scrub(shown), MAX_INPUT_BYTES), scrub };
}

/**
 * The parameters as the connector's schema gives them.
 * @throws BlockError `invalid_params`; the message names the parameter, never its value.
 */
export function parseParams(connector: Connector, values: JsonObject): JsonObject {
  const parsed = connector.params.safeParse(values);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const message = issue === undefined ? "The parameters do not match their schema." : describeProblem(issue);
  throw new BlockError("invalid_params", message);
}

function describeProblem(issue: z.core.$ZodIssue): string {
  const subject = issue.path.length === 0 ? "Parameters" : `Parameter ${fieldName(issue.path)}`;
  return `${subject}: ${describeIssue(issue)}${asksForText(issue) ? `; ${TEXT_REMEDY}` : ""}.`;
}

/** What the database says is not for users. */
function toReadFailure(error: unknown): never {
  if (error instanceof BlockError) throw error;
  throw new BlockError("secret_unreadable", "The secrets of this block could not be read.", {
    isRetryable: true,
  });
}

function tooManySecrets({ id, type }: Block, usedAndAllowed: string): BlockError {
  return new BlockError(
    "value_too_large",
    `Block "${id}" (${type}) uses ${usedAndAllowed} are allowed: use fewer or shorter ones in it, or divide them ` +
      "among several blocks.",
  );
}

function secretMissing({ id, type }: Block, name: string): BlockError {
  return new BlockError(
    "secret_missing",
    `Block "${id}" (${type}) needs the secret ${name}, which the organization does not have; set it with ` +
      `PUT /api/secrets/${name}.`,
  );
}
