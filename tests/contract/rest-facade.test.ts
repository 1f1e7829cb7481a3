import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openScratchDoors, type ScratchDoors } from "./scratch-doors.js";

let doors: ScratchDoors;
beforeAll(async () => {
  doors = await openScratchDoors();
});
afterAll(() => doors.close());

const json = { "content-type": "application/json" };

async function rest(
  method: string,
  path: string,
  body?: string | Buffer | null,
  headers: Record<string, string> = json,
) {
  const response = await fetch(`${doors.url}/api${path}`, {
    method,
    headers: { "x-api-key": "full", ...headers },
    ...(body === undefined || body === null ? {} : { body }),
  });
  const text = await response.text();
  return {
    status: response.status,
    headers: response.headers,
    text,
    body: text === "" ? null : JSON.parse(text),
  };
}

async function trpc(path: string, input: unknown, key = "full") {
  const response = await fetch(`${doors.url}/trpc/${path}`, {
    method: "POST",
    headers: { "x-api-key": key, ...json },
    body: JSON.stringify(input),
  });
  return { status: response.status, body: JSON.parse(await response.text()) };
}

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

describe("strict types", () => {
  it('refuse {"enabled":"false"} and {"count":"5"} over both doors in either order, whatever was called before', async () => {
    const bad = [
      { name: "lamp", enabled: "false" },
      { name: "lamp", count: "5" },
      { name: "lamp", count: "" },
    ];
    for (const order of [
      ["rest", "trpc", "rest"],
      ["trpc", "rest", "trpc"],
    ]) {
      for (const door of order) {
        for (const input of bad) {
          const { status } =
            door === "rest"
              ? await rest("POST", "/things", JSON.stringify(input))
              : await trpc("create", input);
          expect(status).toBe(400);
        }
        await rest("GET", "/things?limit=5&enabled=true");
      }
    }
    const overTrpc = await fetch(`${doors.url}/trpc/list?input=${encodeURIComponent('{"limit":"5"}')}`, {
      headers: { "x-api-key": "full" },
    });
    expect(overTrpc.status).toBe(400);
  });
});

describe("queries", () => {
  it("become the numbers, booleans and arrays of the schema", async () => {
    const answer = await rest("GET", "/things?limit=5&enabled=false&labels=a&search=%C3%A4+b");
    expect(answer.body.asked).toEqual({ limit: 5, enabled: false, labels: ["a"], search: "ä b" });
    expect((await rest("GET", "/things?labels=a&labels=2")).body.asked.labels).toEqual(["a", "2"]);
    expect((await rest("GET", "/things?search=5")).body.asked.search).toBe("5");
  });

  it.each([
    "limit=abc",
    "limit=1e9",
    "limit=",
    "limit=0",
    "limit=101",
    "limit=1.5",
    "limit=5&limit=6",
    "enabled=1",
    "search=",
  ])("that do not fit are invalid_body: %s", async (query) => {
    const answer = await rest("GET", `/things?${query}`);
    expect(answer.status).toBe(400);
    expect(answer.body.error).toBe("invalid_body");
    expect(answer.body.issues[0].path[0]).toBe(query.split("=")[0]);
  });
});

describe("what cannot be stored", () => {
  it.each([
    ["a NUL in a value", { name: "a\u0000b" }],
    ["a NUL in a key", { name: "a", "b\u0000": 1 }],
    ["half a surrogate pair", { name: "\ud800" }],
  ])("is invalid_body over both doors: %s", async (_, input) => {
    for (const { status } of [
      await rest("POST", "/things", JSON.stringify(input)),
      await trpc("create", input),
    ]) {
      expect(status).toBe(400);
    }
  });

  it("is invalid_body over both doors: nesting beyond 100 levels, however deep", async () => {
    const input = `{"name":"a","deep":${"[".repeat(200_000)}${"]".repeat(200_000)}}`;
    const overRest = await rest("POST", "/things", input);
    const overTrpc = await fetch(`${doors.url}/trpc/create`, {
      method: "POST",
      headers: { "x-api-key": "full", ...json },
      body: input,
    });
    expect(overRest.body).toMatchObject({ error: "invalid_body", issues: [{ code: "too_deep" }] });
    expect(overTrpc.status).toBe(400);
  });

  it("is invalid_body in a query and names nothing in a path", async () => {
    expect((await rest("GET", "/things?search=%00")).status).toBe(400);
    expect((await rest("GET", "/things/%00")).status).toBe(404);
  });
});

describe("ids of the wrong shape", () => {
  it.each([
    "/things/123456789012345678901",
    "/things/1/versions/abc",
    "/things/1/versions/0",
    "/things/1/versions/1.5",
    "/things/%E0%A4%A",
  ])("are not_found: %s", async (path) => {
    const answer = await rest("GET", path);
    expect(answer.status).toBe(404);
    expect(answer.body.error).toBe("not_found");
  });

  it("are not_found over tRPC too, while a missing id is invalid_body", async () => {
    const ask = async (input: unknown) =>
      (
        await fetch(`${doors.url}/trpc/version?input=${encodeURIComponent(JSON.stringify(input))}`, {
          headers: { "x-api-key": "full" },
        })
      ).status;
    expect(await ask({ id: "1", version: 0 })).toBe(404);
    expect(await ask({ id: "1" })).toBe(400);
  });

  it("do not hide a bad body", async () => {
    const answer = await rest("PUT", "/things/1", '{"thing":{"name":5}}');
    expect(answer.body.error).toBe("invalid_body");
  });
});

describe("If-Match", () => {
  const put = (ifMatch: string) =>
    rest("PUT", "/things/1", '{"thing":{"name":"a"}}', { ...json, "if-match": ifMatch });

  it.each(["7", '"7"'])("is read as the expected version: %s", async (ifMatch) => {
    const answer = await put(ifMatch);
    expect(answer.status).toBe(200);
    expect(answer.headers.get("etag")).toBe('"7"');
  });

  it.each([
    "*",
    'W/"7"',
    "0",
    "-1",
    "1.5",
    "7abc",
    '"7',
    "007",
    "2147483648",
    "99999999999",
    "7, 8",
    '"7", "8"',
    "abc",
  ])("is invalid_if_match otherwise: %s", async (ifMatch) => {
    const answer = await put(ifMatch);
    expect(answer.status).toBe(400);
    expect(answer.body.error).toBe("invalid_if_match");
  });

  it("is ignored where nothing is versioned", async () => {
    expect((await rest("POST", "/things", '{"name":"a"}', { ...json, "if-match": "*" })).status).toBe(201);
  });
});

describe("Idempotency-Key", () => {
  const run = (header: string, body = "{}") =>
    rest("POST", "/things/1/run", body, { ...json, "idempotency-key": header });

  it("is read into the input", async () => {
    expect((await run("order-1")).body.idempotencyKey).toBe("order-1");
    expect((await run("order-1", '{"idempotencyKey":"order-1"}')).body.idempotencyKey).toBe("order-1");
  });

  it.each([["a".repeat(256)], ["a b"]])(
    "is invalid_body unless it has 1 to 255 visible characters",
    async (header) => {
      const answer = await run(header);
      expect(answer.body).toMatchObject({ error: "invalid_body", issues: [{ path: ["idempotencyKey"] }] });
    },
  );

  it("must not contradict the body", async () => {
    const answer = await run("order-1", '{"idempotencyKey":"order-2"}');
    expect(answer.body).toMatchObject({ error: "invalid_body", issues: [{ code: "contradicts_header" }] });
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
    const response = await fetch(doors.url + path, { headers: { "x-api-key": "full" } });
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
    const overTrpc = await fetch(`${doors.url}/trpc/create`, {
      method: "POST",
      headers: { ...json, "x-api-key": key },
      body: "{",
    });
    expect(overRest.status).toBe(status);
    expect(overTrpc.status).toBe(status);
    const { data } = ((await overTrpc.json()) as { error: { data: object } }).error;
    expect(data).toMatchObject(overRest.body);
  });

  it("a 429 tells when to come back and a 401 how to authenticate", async () => {
    const limited = await rest("GET", "/things", null, { "x-api-key": "exhausted" });
    expect(limited.headers.get("retry-after")).toBe("2");
    expect(limited.body.retryAfterMs).toBe(1_200);
    const unknown = await rest("GET", "/things", null, { "x-api-key": "nobody" });
    expect(unknown.headers.get("www-authenticate")).toBe("Bearer");
  });
});
