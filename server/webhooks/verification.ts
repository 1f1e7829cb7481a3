import { z } from "zod";

/** Longest secret, in characters. */
export const MAX_SECRET_LENGTH = 500;

const headerProblem = "must be the name of an HTTP header, of at most 100 characters";
const HeaderName = z
  .string(headerProblem)
  .max(100, headerProblem)
  .regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/, headerProblem)
  .toLowerCase();

const toleranceProblem = "must be a whole number from 1 to 86400";
const ToleranceSeconds = z.int(toleranceProblem).min(1, toleranceProblem).max(86_400, toleranceProblem);
const prefixProblem = "must be a text of at most 50 characters";

/** The end of a sentence about options that a type does not have; other issues have their own words. */
const unknownOption = {
  error: ({ code, keys }: { readonly code: string; readonly keys?: unknown }) =>
    code === "unrecognized_keys" ? `has no option ${String(keys)} for this type; leave it out` : undefined,
};

const Hmac = z.strictObject(
  {
    type: z.literal("hmac"),
    algorithm: z.enum(["sha256", "sha512", "sha1"], "must be sha256, sha512 or sha1").default("sha256"),
    header: HeaderName.meta({ description: "Header that carries the signature." }),
    encoding: z.enum(["hex", "base64"], "must be hex or base64").default("hex"),
    prefix: z
      .string(prefixProblem)
      .max(50, prefixProblem)
      .default("")
      .meta({ description: "Text before the signature, such as sha256=." }),
    timestampHeader: HeaderName.optional().meta({
      description:
        "Header with the Unix time in seconds or milliseconds; the signature is then over `{timestamp}.{body}`, otherwise over the body.",
    }),
    toleranceSeconds: ToleranceSeconds.default(300).meta({
      description: "How far the timestamp may be from now, either way.",
    }),
  },
  unknownOption,
);

const Bearer = z.strictObject(
  {
    type: z.literal("bearer"),
    header: HeaderName.default("authorization").meta({
      description:
        "In `authorization` the secret follows `Bearer `; any other header holds the secret itself.",
    }),
  },
  unknownOption,
);

const plainTypes = ["standard_webhooks", "stripe", "github", "slack", "none"] as const;
const PlainType = z.enum(plainTypes);
const Plain = z.strictObject({ type: PlainType }, unknownOption);

/** How deliveries of a webhook are verified, every default filled in. */
export type Verification = z.output<typeof Plain> | z.output<typeof Hmac> | z.output<typeof Bearer>;

/** How a webhook verifies, as clients read it. */
export const Verification = z
  .discriminatedUnion("type", [Plain, Hmac, Bearer])
  .meta({ id: "WebhookVerification" });

/** The issues of each member of a union. */
const UnionErrors = z.array(z.array(z.object({ path: z.array(z.string()), message: z.string() })));

/** The same as clients write it: a type without options may stand alone. */
export const VerificationInput = z
  .union(
    [
      z.enum([...plainTypes, "bearer"]).transform((type): Verification => Verification.parse({ type })),
      Verification,
    ],
    {
      error: (union) =>
        optionProblem(union) ??
        `must be ${plainTypes.join(", ")}, bearer, {type: bearer, header} or {type: hmac, header, …} with known options`,
    },
  )
  .meta({
    description:
      "standard_webhooks (also Svix), stripe, github, slack, {type: hmac, header, …}, bearer or {type: bearer, header}, none. None takes deliveries of anybody who knows the address.",
  });

/** What is wrong with an option of a type that is known, as the end of a sentence. */
function optionProblem({ errors }: { readonly errors?: unknown }): string | null {
  const [, withOptions] = UnionErrors.safeParse(errors).data ?? [];
  const [first] = withOptions ?? [];
  const [option] = first?.path ?? [];
  return first === undefined || option === undefined || option === "type"
    ? null
    : `its option ${option} ${first.message}`;
}

/** Where the sender's own id of a delivery stands, as a reference; the same id starts one run. */
export function defaultDeliveryKey(verification: Verification): string[] {
  switch (verification.type) {
    case "standard_webhooks":
      return ["{{request.headers.webhook-id}}", "{{request.headers.svix-id}}"];
    case "stripe":
      return ["{{request.body.id}}"];
    case "github":
      return ["{{request.headers.x-github-delivery}}"];
    case "slack":
      return ["{{request.body.event_id}}"];
    default:
      return ["{{request.headers.idempotency-key}}"];
  }
}

/** The headers that carry credentials or signatures of a verification, in lower case. */
export function credentialHeaders(verification: Verification): string[] {
  switch (verification.type) {
    case "standard_webhooks":
      return ["webhook-signature", "svix-signature"];
    case "stripe":
      return ["stripe-signature"];
    case "github":
      return ["x-hub-signature", "x-hub-signature-256"];
    case "slack":
      return ["x-slack-signature"];
    case "none":
      return [];
    default:
      return [verification.header];
  }
}

const STANDARD_SECRET = /^(?:whsec_)?([A-Za-z0-9+/]{22,171}={0,2})$/;

/** Why a text cannot be the secret of a verification, as the end of a sentence; null when it can. */
export function secretProblem({ type }: Verification, secret: string): string | null {
  if (type === "none") return "must be left out where the verification is none";
  if (type === "standard_webhooks") {
    return STANDARD_SECRET.test(secret) ? null : "must be whsec_ and 16 to 128 bytes in base64";
  }
  return /^[\x20-\x7e]{8,500}$/.test(secret) ? null : "must have 8 to 500 printable ASCII characters";
}

/** The base64 text of the key in a Standard Webhooks secret. */
export function standardKey(secret: string): string {
  return STANDARD_SECRET.exec(secret)?.[1] ?? "";
}
