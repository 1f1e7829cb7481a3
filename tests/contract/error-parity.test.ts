import { afterEach, describe, expect, it } from "vitest";
import { type ErrorCode, errorRow, errorTable } from "../../server/errors/error-table.js";
import { waitFor } from "../support/client.js";
import { INTERNAL_TEXT } from "./scratch-doors.js";
import { useScratchDoors } from "./scratch-requests.js";

const codes = Object.keys(errorTable) as ErrorCode[];
const lines: string[] = [];
const { url } = useScratchDoors(lines);
afterEach(() => {
  lines.length = 0;
});

async function post(path: string, body: string, headers: Record<string, string> = {}) {
  const response = await fetch(url() + path, {
    method: "POST",
    headers: {
      "x-api-key": "full",
      "content-type": "application/json",
      "x-request-id": "request-7",
      ...headers,
    },
    body,
  });
  return { status: response.status, headers: response.headers, body: JSON.parse(await response.text()) };
}

describe("every code of the table", () => {
  it.each(codes)("%s has the same status and body over both doors", async (code) => {
    const { status, message } = errorRow(code);
    const overRest = await post("/api/fail", JSON.stringify({ code }));
    const overTrpc = await post("/trpc/fail", JSON.stringify({ code }));
    expect(overRest.status).toBe(status);
    expect(overTrpc.status).toBe(status);
    expect(overRest.body).toEqual({
      error: code,
      message,
      hint: code,
      ...(status >= 500 ? { requestId: "request-7" } : {}),
    });
    expect(overTrpc.body.error.message).toBe(message);
    expect(overTrpc.body.error.data).toMatchObject({ ...overRest.body, httpStatus: status });
  });

  it("carries its own status in a tRPC batch, which answers 207", async () => {
    const answer = await post("/trpc/fail,fail?batch=1", '{"0":{"code":"expired"},"1":{"code":"conflict"}}');
    expect(answer.status).toBe(207);
    expect(answer.body.map((call: { error: { data: object } }) => call.error.data)).toMatchObject([
      { error: "expired", httpStatus: 410 },
      { error: "conflict", httpStatus: 409 },
    ]);
  });
});

describe("what is not in the table", () => {
  it("is internal_error without a word of its cause, which only the log tells", async () => {
    for (const path of ["/api/fail", "/trpc/fail"]) {
      const answer = await post(path, "{}");
      expect(answer.status).toBe(500);
      expect(answer.headers.get("x-request-id")).toBe("request-7");
      expect(JSON.stringify(answer.body)).not.toContain("secret_table");
      expect(JSON.stringify(answer.body)).not.toContain("stack");
      const data = answer.body.error.data ?? answer.body;
      expect(data).toMatchObject({ error: "internal_error", requestId: "request-7" });
      const logged = lines.map((line) => JSON.parse(line)).find((line) => line.error === "internal_error");
      expect(logged).toMatchObject({ requestId: "request-7", cause: `Error: ${INTERNAL_TEXT}` });
      lines.length = 0;
    }
  });

  it("a tRPC batch that is too large is invalid_body", async () => {
    const answer = await post(`/trpc/${Array(51).fill("fail").join(",")}?batch=1`, "{}");
    expect(answer.status).toBe(400);
    expect((answer.body[0] ?? answer.body).error.data.error).toBe("invalid_body");
  });

  it.each([
    ["/trpc/none", "{}", {}, 404, "not_found"],
    ["/trpc/list", "{}", {}, 404, "not_found"],
    ["/trpc/create", "name=a", { "content-type": "application/x-www-form-urlencoded" }, 400, "invalid_body"],
    ["/trpc/create", "[1]", {}, 400, "invalid_body"],
    ["/trpc/%zz", "{}", {}, 400, "invalid_body"],
  ])("of tRPC is told in the table's words: POST %s %s", async (path, body, headers, status, code) => {
    const answer = await post(path, body, headers as Record<string, string>);
    expect(answer.status).toBe(status);
    expect(answer.body.error.data).toMatchObject({ error: code, httpStatus: status });
  });
});

describe("a method that tRPC does not know", () => {
  it.each(["PUT", "PATCH", "DELETE", "OPTIONS"])("is JSON 404 with Allow: %s", async (method) => {
    const response = await fetch(`${url()}/trpc/create`, { method });
    expect(response.status).toBe(404);
    expect(response.headers.get("allow")).toBe("GET, HEAD, POST");
    expect(((await response.json()) as { error: string }).error).toBe("not_found");
  });
});

describe("x-request-id", () => {
  it.each(["/health", "/ready", "/none", "/api/open", "/trpc/open", "/openapi.json", "/docs"])(
    "is on every response, new when none was sent: %s",
    async (path) => {
      const first = await fetch(url() + path);
      const second = await fetch(url() + path);
      expect(first.headers.get("x-request-id")).toMatch(/^[\da-f-]{36}$/);
      expect(first.headers.get("x-request-id")).not.toBe(second.headers.get("x-request-id"));
    },
  );

  it.each(["a b", "x".repeat(129), "<script>"])("is not taken over when it is not sane", async (sent) => {
    const response = await fetch(`${url()}/health`, { headers: { "x-request-id": sent } });
    expect(response.headers.get("x-request-id")).toMatch(/^[\da-f-]{36}$/);
  });
});

describe("the request log", () => {
  it("tells method, route pattern, status and organization, never query, body or key", async () => {
    await fetch(`${url()}/api/things/42?search=hidden-query`, {
      method: "PUT",
      headers: { "x-api-key": "full", "content-type": "application/json" },
      body: '{"thing":{"name":"hidden-body"}}',
    });
    // Requests of the tests before may be logged only now.
    const line = await waitFor(
      async () => lines.find((each) => each.includes("/api/things/")) ?? "",
      (found) => found !== "",
    );
    expect(JSON.parse(line)).toMatchObject({
      method: "PUT",
      route: "/api/things/{id}",
      status: 200,
      organizationId: "org_1",
    });
    expect(line).not.toMatch(/hidden|things\/42|"full"/);
  });
});
