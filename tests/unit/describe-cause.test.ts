import { expect, it } from "vitest";
import { describeCause } from "../../server/errors/describe-cause.js";

it("a cause is described by its innermost error, without the parameters of the statement", () => {
  const inner = Object.assign(new Error("duplicate key"), { code: "23505" });
  const outer = new Error("Failed query: insert … params: secret-token", { cause: inner });
  expect(describeCause(outer)).toBe("Error 23505: duplicate key");
  expect(describeCause("Invalid password")).toBe("Invalid password");
  expect(describeCause({ token: "secret" })).toBe("object");
});
