import type { oas31 } from "zod-openapi";
import { permissions } from "./principal.js";

/** An object whose properties are all present, but for those named `optional`. */
export function shape(
  properties: Readonly<Record<string, oas31.SchemaObject>>,
  optional: readonly string[] = [],
): oas31.SchemaObject {
  const required = Object.keys(properties).filter((name) => !optional.includes(name));
  return { type: "object", properties: { ...properties }, ...(required.length === 0 ? {} : { required }) };
}

/** A string with a description. */
export function text(description: string): oas31.SchemaObject {
  return { type: "string", description };
}

const id = text("Opaque id.");
const date: oas31.SchemaObject = { type: "string", format: "date-time" };
const dateOrNull: oas31.SchemaObject = { type: ["string", "null"], format: "date-time" };
const textOrNull: oas31.SchemaObject = { type: ["string", "null"] };
const flag: oas31.SchemaObject = { type: "boolean" };

/** What a key may do, by resource. */
const keyPermissions: oas31.SchemaObject = {
  type: "object",
  additionalProperties: { type: "array", items: { type: "string" } },
  description: `By resource, from ${permissions.join(", ")}; absent or null: everything.`,
};

const keyFields = {
  id,
  name: textOrNull,
  start: { ...textOrNull, description: "First letters of the key, to recognize it by." },
  prefix: textOrNull,
  referenceId: text("The organization that owns the key."),
  permissions: { ...keyPermissions, type: ["object", "null"] },
  expiresAt: dateOrNull,
  createdAt: date,
} satisfies Record<string, oas31.SchemaObject>;
const storedKeyFields = { ...keyFields, enabled: flag, lastRequest: dateOrNull, updatedAt: date };

const user = shape({
  id,
  name: { type: "string" },
  email: { type: "string", format: "email" },
  emailVerified: flag,
  image: textOrNull,
  createdAt: date,
  updatedAt: date,
});
const session = shape({
  id,
  token: text("For Authorization: Bearer."),
  userId: id,
  activeOrganizationId: {
    ...textOrNull,
    description: "The organization that requests of this session act in.",
  },
  ipAddress: textOrNull,
  userAgent: textOrNull,
  expiresAt: date,
  createdAt: date,
  updatedAt: date,
});
const organization = shape(
  {
    id,
    name: { type: "string" },
    slug: text("Unique on this server."),
    logo: textOrNull,
    metadata: { type: ["object", "null"], additionalProperties: true },
    createdAt: date,
  },
  ["metadata"],
);

/** Schemas of bodies and answers of the auth routes. */
export const authSchemas = {
  id,
  user,
  organization,
  email: { type: "string", format: "email" },
  password: { type: "string", minLength: 8, maxLength: 128 },
  currentSession: {
    anyOf: [shape({ session, user }), { type: "null" }],
    description: "Null without a session.",
  },
  rememberMe: {
    type: "boolean",
    default: true,
    description: "False: the session ends after a day and never slides.",
  },
  signedUp: shape({ token: text("Session token for Authorization: Bearer."), user }),
  signedIn: shape({ redirect: flag, token: text("Session token for Authorization: Bearer."), user }),
  success: shape({ success: flag }),
  organizations: { type: "array", items: organization },
  keyPermissions,
  verifiedKey: shape({ valid: { type: "boolean" }, error: { type: "null" }, key: shape(keyFields) }),
  mintedKey: shape({ ...storedKeyFields, key: text("The secret. It is shown this once.") }),
  keyList: shape({
    apiKeys: { type: "array", items: shape(storedKeyFields) },
    total: { type: "integer" },
  }),
} satisfies Record<string, oas31.SchemaObject>;

const at = "2026-11-22T17:42:21.862Z";
const exampleUser = {
  id: "hz4EMGqRoaT43yqnGRbcyXDiQGO6W6AG",
  name: "Ada Lovelace",
  email: "ada@example.com",
  emailVerified: false,
  image: null,
  createdAt: at,
  updatedAt: at,
};
const exampleOrganization = {
  id: "SJuY8iJOPIL0uIFFbu7p4mHFGr58IppF",
  name: "Ada Lovelace",
  slug: "ada-lovelace-518f620e568bffcf",
  logo: null,
  metadata: null,
  createdAt: at,
};
const exampleKey = {
  id: "KlAHyapEj2MalG57N365EaQYpNyGbxlD",
  name: "ci",
  start: "fk_jFaYo",
  prefix: "fk_",
  referenceId: exampleOrganization.id,
  permissions: { workflows: ["read", "write"], runs: ["read", "write"] },
  expiresAt: null,
  createdAt: at,
};

/** Values that fit the schemas. */
export const authExamples = {
  user: exampleUser,
  organization: exampleOrganization,
  session: {
    id: "2eO8PWaXcVq0m1yC3sUuE7kTzRb9LdNf",
    token: "E8GXe3yg2UE5O8O1tgn2m8QHT5Wsk2cJ",
    userId: exampleUser.id,
    activeOrganizationId: exampleOrganization.id,
    ipAddress: "203.0.113.7",
    userAgent: "curl/8.5.0",
    expiresAt: "2026-11-29T17:42:21.862Z",
    createdAt: at,
    updatedAt: at,
  },
  key: exampleKey,
  storedKey: { ...exampleKey, enabled: true, lastRequest: null, updatedAt: at },
} as const;
