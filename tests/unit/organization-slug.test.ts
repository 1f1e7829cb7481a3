import { expect, it } from "vitest";
import { uniqueSlug } from "../../server/auth/active-organization.js";

it("a slug is readable ASCII, never the same twice, and exists for every name", () => {
  expect(uniqueSlug("Ada Lovelace")).toMatch(/^ada-lovelace-[0-9a-f]{16}$/);
  expect(uniqueSlug("Élodie  Ünal!")).toMatch(/^elodie-unal-[0-9a-f]{16}$/);
  expect(uniqueSlug("Ада")).toMatch(/^personal-[0-9a-f]{16}$/);
  expect(uniqueSlug("x".repeat(5_000)).length).toBeLessThan(60);
  expect(uniqueSlug("Ada")).not.toBe(uniqueSlug("Ada"));
});
