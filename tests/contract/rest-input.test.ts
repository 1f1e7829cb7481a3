import { describe, expect, it } from "vitest";
import { json, useScratchDoors } from "./scratch-requests.js";

const { ask, rest, trpc } = useScratchDoors();

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
    const overTrpc = await ask("list", '{"limit":"5"}');
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
    const overTrpc = await trpc("create", input);
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
    expect((await ask("version", '{"id":"1","version":0}')).status).toBe(404);
    expect((await ask("version", '{"id":"1"}')).status).toBe(400);
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
