import { TRPCError } from "@trpc/server";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { AppError } from "../../server/errors/app-error.js";
import { describeErrors } from "../../server/errors/describe-errors.js";
import { toErrorBody } from "../../server/errors/error-body.js";
import { type ErrorCode, errorRow, errorTable } from "../../server/errors/error-table.js";

const codes = Object.keys(errorTable) as ErrorCode[];

describe("toErrorBody", () => {
  it.each(codes)("answers %s with its status, and repeats the request id from 500 on", (code) => {
    const { status, body } = toErrorBody(
      new AppError(code, { message: "Why.", details: { more: 1 } }),
      "request-1",
    );
    expect(status).toBe(errorRow(code).status);
    expect(body).toEqual({
      error: code,
      message: "Why.",
      more: 1,
      ...(status >= 500 ? { requestId: "request-1" } : {}),
    });
  });

  it("finds an AppError that a library has wrapped", () => {
    const wrapped = new TRPCError({ code: "INTERNAL_SERVER_ERROR", cause: new AppError("conflict") });
    expect(toErrorBody(wrapped, null).body.error).toBe("conflict");
  });

  it("names every issue of an input that its schema refused", () => {
    const { error } = z.object({ a: z.array(z.int()), b: z.string() }).safeParse({ a: [1.5] });
    const { status, body } = toErrorBody(new TRPCError({ code: "BAD_REQUEST", cause: error }), null);
    expect(status).toBe(400);
    expect(body).toMatchObject({
      error: "invalid_body",
      issues: [{ path: ["a", 0] }, { path: ["b"] }],
    });
    expect(body.message).toMatch(/^a\.0: /);
  });

  it("takes a schema failure inside the server for the server's own fault", () => {
    const { error } = z.string().safeParse(1);
    expect(toErrorBody(error, null).body.error).toBe("internal_error");
    expect(toErrorBody(new TRPCError({ code: "INTERNAL_SERVER_ERROR", cause: error }), null).status).toBe(
      500,
    );
  });

  it.each(["ECONNREFUSED", "CONNECTION_CLOSED", "57P01", "08006", "53300"])(
    "answers a lost database (%s) with unavailable, however deep the cause",
    (code) => {
      const cause = new Error("outer", { cause: Object.assign(new Error("inner"), { code }) });
      expect(toErrorBody(cause, null)).toMatchObject({ status: 503, body: { error: "unavailable" } });
    },
  );

  it.each([new Error("secret"), "secret", { message: "secret" }, null, undefined])(
    "tells nothing of what it does not know",
    (cause) => {
      const { status, body } = toErrorBody(cause, "request-1");
      expect(status).toBe(500);
      expect(body).toEqual({
        error: "internal_error",
        message: errorRow("internal_error").message,
        requestId: "request-1",
      });
    },
  );
});

describe("the error table", () => {
  it("says of every code what to do, in whole sentences", () => {
    for (const { message, remedy, status, code } of describeErrors()) {
      expect([code, message]).toEqual([code, expect.stringMatching(/^[A-Z].+\.$/)]);
      expect([code, remedy]).toEqual([code, expect.stringMatching(/^[A-Z].+\.$/)]);
      expect(status).toBeGreaterThanOrEqual(400);
    }
  });
});
