import { describe, expect, it } from "vitest";
import { type AuthErrorFacts, authError, translateAuthError } from "../../server/auth/auth-error.js";

const facts: AuthErrorFacts = { path: "/sign-in/email", isEmailKnown: true, concealsAccounts: false };
const body = (code: string, message = "x") => JSON.stringify({ code, message });

describe("translateAuthError", () => {
  it("keeps the status and every field of a code that the contract does not rename", () => {
    const text = JSON.stringify({ code: "PASSWORD_TOO_SHORT", message: "Password too short", minimum: 8 });
    expect(translateAuthError(400, text, facts)).toEqual({ status: 400, body: JSON.parse(text) });
  });

  it("drops whatever better-auth says in a 5xx", () => {
    const answer = translateAuthError(
      500,
      body("FAILED", "Failed query: insert into user params: secret"),
      facts,
    );
    expect(answer).toEqual(authError(500));
    expect(JSON.stringify(answer)).not.toContain("secret");
  });

  it("gives an answer without code, without JSON or without body the code of its status", () => {
    expect(translateAuthError(404, "Not Found", facts).body.code).toBe("NOT_FOUND");
    expect(translateAuthError(401, "", facts).body.code).toBe("UNAUTHORIZED");
    expect(translateAuthError(400, '{"message":"ROLE_NOT_FOUND: x"}', facts).body).toEqual({
      code: "INVALID_BODY",
      message: "ROLE_NOT_FOUND: x",
    });
    expect(translateAuthError(418, "null", facts).body).toEqual({
      code: "BAD_REQUEST",
      message: expect.any(String),
    });
  });

  it("takes a failed creation for a taken address only when the address is taken", () => {
    const code = (isEmailKnown: boolean) =>
      translateAuthError(422, body("FAILED_TO_CREATE_USER"), { ...facts, isEmailKnown }).body.code;
    expect(code(true)).toBe("USER_ALREADY_EXISTS");
    expect(code(false)).toBe("FAILED_TO_CREATE_USER");
  });

  it("hides foreign keys behind a missing one, on the routes that take a key's id only", () => {
    const code = (path: string) =>
      translateAuthError(403, body("USER_NOT_MEMBER_OF_ORGANIZATION"), { ...facts, path });
    expect(code("/api-key/delete")).toMatchObject({ status: 404, body: { code: "KEY_NOT_FOUND" } });
    expect(code("/api-key/create")).toMatchObject({
      status: 403,
      body: { code: "USER_NOT_MEMBER_OF_ORGANIZATION" },
    });
  });
});
