import { z } from "zod";
import { type Permission, permissions } from "./principal.js";

const all: ReadonlySet<Permission> = new Set(permissions);

/** What the members of an organization may do, by role; a role that is not in the table may do nothing. */
const rolePermissions: ReadonlyMap<string, ReadonlySet<Permission>> = new Map([
  ["owner", all],
  ["admin", all],
  ["member", all],
]);

/** Everything that any of the comma-separated roles of a membership may do. */
export function permissionsOfRoles(roles: string): ReadonlySet<Permission> {
  return new Set(roles.split(",").flatMap((role) => [...(rolePermissions.get(role.trim()) ?? [])]));
}

/** Permissions of an API key as clients send them, `{workflows: ["read", "write"]}`; each must be one of ours. */
export const KeyPermissions = z.record(z.string(), z.array(z.string())).superRefine((value, context) => {
  const unknown = flatten(value).find((name) => !isPermission(name));
  if (unknown === undefined) return;
  context.addIssue({
    code: "custom",
    message: `${unknown} is not a permission; use some of ${permissions.join(", ")} as {resource: [actions]}`,
  });
});

/** What a stored key may do: `null` means everything, anything else only what it names. */
export function permissionsOfKey(stored: string | null): ReadonlySet<Permission> {
  if (stored === null) return all;
  const parsed = z.record(z.string(), z.array(z.string())).safeParse(JSON.parse(stored));
  return parsed.success ? new Set(flatten(parsed.data).filter(isPermission)) : new Set();
}

function flatten(value: Readonly<Record<string, readonly string[]>>): string[] {
  return Object.entries(value).flatMap(([resource, actions]) =>
    actions.map((action) => `${resource}:${action}`),
  );
}

function isPermission(name: string): name is Permission {
  return all.has(name as Permission);
}
