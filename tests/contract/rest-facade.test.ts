import { describe, expect, it } from "vitest";
import { json, useScratchDoors } from "./scratch-requests.js";

const { rest, trpc, url } = useScratchDoors();

describe("success", () => {
  it("answers with the declared status, Location and ETag", async () => {
    const answer = await rest("POST", "/things", '{"name":"lamp"}');
    expect(answer.status).toBe(201);
    expect(answer.headers.get("location")).toBe("/api/things/a b");
    expect(answer.headers.get("etag")).toBe('"7"');
    expect(answer.headers.get("cache-control")).toBe("no-store");
    expect(answer.body).toEqual({ id: "a b", version: 7, thing: { name: "lamp", enabled: true } });
  });

  it("answers 204 without a body", async () => {
    const answer = await rest("DELETE", "/things/1", null, {});
    expect(answer.status).toBe(204);
    expect(answer.text).toBe("");
  });

  it("decodes the path, once", async () => {
    expect((await rest("GET", "/things/a%2Fb%20c")).body).toEqual({ id: "a/b c" });
    expect((await rest("GET", "/things/a%252F")).body).toEqual({ id: "a%2F" });
  });

  it("answers HEAD as GET without the body", async () => {
    const answer = await rest("HEAD", "/things/1", null, {});
    expect(answer.status).toBe(200);
    expect(answer.headers.get("content-type")).toContain("application/json");
    expect(answer.text).toBe("");
  });

  it("names the methods of a path on OPTIONS", async () => {
    const answer = await rest("OPTIONS", "/things/1", null, {});
    expect(answer.status).toBe(204);
    expect(answer.headers.get("allow")).toBe("GET, PUT, DELETE, HEAD, OPTIONS");
  });
});

describe("bodies", () => {
  it.each([
    ["a charset", "application/json; charset=utf-8"],
    ["a charset in capitals and quotes", 'Application/JSON;charset="UTF-8"'],
    ["a JSON suffix", "application/merge-patch+json"],
  ])("are read with %s in the content type", async (_, contentType) => {
    const answer = await rest("POST", "/things", '{"name":"Lämpchen"}', { "content-type": contentType });
    expect(answer.body.thing.name).toBe("Lämpchen");
  });

  it("are read in the charset they name", async () => {
    const body = Buffer.from('{"name":"L\u00e4mpchen"}', "latin1");
    const answer = await rest("POST", "/things", body, {
      "content-type": "application/json; charset=iso-8859-1",
    });
    expect(answer.body.thing.name).toBe("Lämpchen");
  });

  it.each([
    ["no body and no content type", null, {}],
    ["an empty body with a content type", "", json],
    ["an empty body of another type", "", { "content-type": "text/plain" }],
  ])("may be absent where no field is required: %s", async (_, body, headers) => {
    const answer = await rest("POST", "/things/1/run", body, headers);
    expect(answer.status).toBe(202);
    expect(answer.body).toEqual({ idempotencyKey: null, input: {} });
  });

  it.each([
    ["malformed JSON", '{"name":', json],
    ["an array", "[1]", json],
    ["a text", '"lamp"', json],
    ["null", "null", json],
    ["another content type", "name=lamp", { "content-type": "application/x-www-form-urlencoded" }],
    ["an unknown charset", "{}", { "content-type": "application/json; charset=none-such" }],
    ["bytes that are not UTF-8", Buffer.from([0x7b, 0xff, 0x7d]), json],
  ])("are refused with invalid_body: %s", async (_, body, headers) => {
    const answer = await rest("POST", "/things", body, headers as Record<string, string>);
    expect(answer.status).toBe(400);
    expect(answer.body).toMatchObject({
      error: "invalid_body",
      issues: [{ path: [], code: "invalid_json" }],
    });
  });

  it("name every issue by its path", async () => {
    const answer = await rest("POST", "/things", '{"enabled":"yes"}');
    expect(answer.body.issues.map((issue: { path: unknown }) => issue.path)).toEqual([["name"], ["enabled"]]);
    expect(answer.body.message).toContain("name: ");
  });

  it("above 1 MiB are payload_too_large over both doors", async () => {
    const name = "x".repeat(1_048_577);
    const overRest = await rest("POST", "/things", JSON.stringify({ name }));
    const overTrpc = await trpc("create", { name });
    expect(overRest.status).toBe(413);
    expect(overRest.body).toEqual({
      error: "payload_too_large",
      message: "The request body is larger than 1 MiB.",
      limitBytes: 1_048_576,
    });
    expect(overTrpc.status).toBe(413);
    expect(overTrpc.body.error.data).toMatchObject(overRest.body);
  });

  it("of just under 1 MiB are read", async () => {
    const answer = await rest("POST", "/things", JSON.stringify({ name: "x".repeat(1_048_000) }));
    expect(answer.body.issues[0].code).toBe("too_big");
  });
});

describe("unknown paths and methods", () => {
  it.each([
    "/api",
    "/api/none",
    "/api/things/1/none",
    "/none",
    "/api/%zz",
    "/trpcx",
    "/docs/none",
    "/docs/%zz",
  ])("are JSON 404 not_found: %s", async (path) => {
    const response = await fetch(url() + path, { headers: { "x-api-key": "full" } });
    expect(response.status).toBe(404);
    expect(response.headers.get("content-type")).toContain("application/json");
    expect(((await response.json()) as { error: string }).error).toBe("not_found");
  });

  it("a known path names its methods when asked with another one", async () => {
    const answer = await rest("PATCH", "/things/1", "{not json");
    expect(answer.status).toBe(404);
    expect(answer.body).toEqual({ error: "not_found", message: "This path answers GET, PUT, DELETE only." });
    expect(answer.headers.get("allow")).toContain("GET");
  });
});

describe("order of checks", () => {
  it.each([
    ["nobody", 401],
    ["exhausted", 429],
    ["reader", 403],
    ["full", 400],
  ])("a malformed body of %s is %i", async (key, status) => {
    const overRest = await rest("POST", "/things", "{", { ...json, "x-api-key": key });
    const overTrpc = await trpc("create", "{", key);
    expect(overRest.status).toBe(status);
    expect(overTrpc.status).toBe(status);
    expect(overTrpc.body.error.data).toMatchObject(overRest.body);
  });

  it("a 429 tells when to come back and a 401 how to authenticate", async () => {
    const limited = await rest("GET", "/things", null, { "x-api-key": "exhausted" });
    expect(limited.headers.get("retry-after")).toBe("2");
    expect(limited.body.retryAfterMs).toBe(1_200);
    const unknown = await rest("GET", "/things", null, { "x-api-key": "nobody" });
    expect(unknown.headers.get("www-authenticate")).toBe("Bearer");
  });
});
