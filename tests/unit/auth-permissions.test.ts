import { describe, expect, it } from "vitest";
import { KeyPermissions, permissionsOfKey, permissionsOfRoles } from "../../server/auth/permissions.js";
import { permissions } from "../../server/auth/principal.js";

describe("permissionsOfRoles", () => {
  it("lets owners, admins and members do everything, alone or together", () => {
    for (const roles of ["owner", "admin", "member", "owner,member", "nobody, admin"]) {
      expect([...permissionsOfRoles(roles)], roles).toEqual([...permissions]);
    }
  });

  it("lets an unknown role do nothing, whatever its name", () => {
    for (const roles of ["", "nobody", "constructor", "__proto__", "OWNER"]) {
      expect(permissionsOfRoles(roles).size, roles).toBe(0);
    }
  });
});

describe("permissionsOfKey", () => {
  it("is everything for null and exactly the named ones else", () => {
    expect([...permissionsOfKey(null)]).toEqual([...permissions]);
    expect([...permissionsOfKey('{"workflows":["read"],"runs":["read","write"]}')]).toEqual([
      "workflows:read",
      "runs:read",
      "runs:write",
    ]);
    expect(permissionsOfKey("{}").size).toBe(0);
  });

  it("ignores names that are no permission, and is nothing for another shape", () => {
    expect([...permissionsOfKey('{"workflows":["read","fly"],"moon":["read"]}')]).toEqual(["workflows:read"]);
    for (const stored of ["[]", "5", '"all"', '{"workflows":"read"}', "null"]) {
      expect(permissionsOfKey(stored).size, stored).toBe(0);
    }
  });
});

describe("KeyPermissions", () => {
  it("names the permission that does not exist and those that do", () => {
    const issue = KeyPermissions.safeParse({ workflows: ["read", "fly"] }).error?.issues[0];
    expect(issue?.message).toContain("workflows:fly");
    expect(issue?.message).toContain("workflows:read");
  });
});
