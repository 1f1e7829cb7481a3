import { once } from "node:events";
import { gzipSync } from "node:zlib";
import { afterEach, describe, expect, it } from "vitest";
import { parseRetryAfter } from "../../server/connectors/builtin/http-request.js";
import type { JsonObject } from "../../server/connectors/define-connector.js";
import { anywhere, closeServers, type Echo, echo, failure, send, serve } from "../support/http-block.js";

afterEach(closeServers);

describe("an answer of the http block", () => {
  it("is parsed when the content type is JSON, suffixes included", async () => {
    const { origin } = await serve((_request, response) => {
      response.setHeader("content-type", "application/problem+json; charset=utf-8");
      response.end('{"ä":[1]}');
    });
    const output = await send({ url: origin });
    expect(output).toMatchObject({ status: 200, body: { ä: [1] } });
    expect(output.headers).toMatchObject({ "content-type": "application/problem+json; charset=utf-8" });
  });

  it("is text for any other content type and for JSON that does not parse", async () => {
    const { origin } = await serve((request, response) => {
      response.setHeader("content-type", request.url === "/broken" ? "application/json" : "text/plain");
      response.end(request.url === "/broken" ? "{" : "[1]");
    });
    expect(await send({ url: origin })).toMatchObject({ body: "[1]" });
    expect(await send({ url: `${origin}/broken` })).toMatchObject({ body: "{" });
  });

  it("is an output for 4xx other than 429", async () => {
    const { origin } = await serve((_request, response) => response.writeHead(404).end("gone"));
    expect(await send({ url: origin })).toMatchObject({ status: 404, body: "gone" });
  });

  it("is decompressed", async () => {
    const { origin } = await serve((_request, response) => {
      response.setHeader("content-encoding", "gzip").end(gzipSync("hello"));
    });
    expect(await send({ url: origin })).toMatchObject({ body: "hello" });
  });

  it("beyond 1 MiB fails for good, compressed or not, announced or not", async () => {
    const big = "x".repeat(1_048_577);
    const { origin } = await serve((request, response) => {
      if (request.url === "/gzip") response.setHeader("content-encoding", "gzip").end(gzipSync(big));
      else response.end(big);
    });
    for (const path of ["/gzip", "/plain"]) {
      const error = await failure({ url: origin + path });
      expect(error).toMatchObject({ code: "http_response_too_large", isRetryable: false });
    }
    const { origin: fits } = await serve((_request, response) => response.end(big.slice(1)));
    expect((await send({ url: fits })).body).toHaveLength(1_048_576);
  });
});

describe("a request of the http block", () => {
  it("carries method, headers and a JSON body with its content type", async () => {
    const { origin } = await serve(echo);
    const output = await send({
      url: `${origin}/orders?a=1`,
      method: "POST",
      headers: { "X-Count": 3, Authorization: "Bearer t" },
      body: { total: 5 },
    });
    expect(output.body).toMatchObject({
      method: "POST",
      url: "/orders?a=1",
      body: '{"total":5}',
      headers: { "x-count": "3", authorization: "Bearer t", "content-type": "application/json" },
    });
  });

  it("sends a string body as it is and keeps a content type that was set", async () => {
    const { origin } = await serve(echo);
    const headers = { "Content-Type": "application/x-www-form-urlencoded" };
    const { body } = await send({ url: origin, method: "PUT", headers, body: "a=1" });
    expect(body).toMatchObject({ body: "a=1", headers: { "content-type": headers["Content-Type"] } });
  });

  it("carries the block's Idempotency-Key unless it is a GET or sets its own", async () => {
    const { origin } = await serve(echo);
    const keyOf = async (params: JsonObject) =>
      ((await send({ url: origin, ...params })).body as Echo).headers["idempotency-key"];
    expect(await keyOf({ method: "POST" })).toBe("run:call");
    expect(await keyOf({ method: "DELETE", headers: { "idempotency-key": "mine" } })).toBe("mine");
    expect(await keyOf({})).toBeUndefined();
  });

  it("that HTTP cannot carry fails for good and never echoes a header value", async () => {
    const { origin } = await serve(echo);
    const secret = "s3cret\nx";
    const bad: JsonObject[] = [
      { headers: { "x-token": secret } },
      { headers: { "bad name": "s3cret" } },
      { headers: { "transfer-encoding": "s3cret" } },
      { body: { a: 1 } },
    ];
    for (const params of bad) {
      const error = await failure({ url: origin, ...params });
      expect(error.isRetryable).toBe(false);
      expect(error.message).toMatch(/^(headers|body): /);
      expect(error.message).not.toContain("s3cret");
    }
  });

  it("takes only full http and https addresses without a user name or password", async () => {
    for (const url of ["ftp://example.com/", "/path", "example.com", "file:///etc/passwd", "javascript:1"]) {
      expect(anywhere.params.safeParse({ url }).success, url).toBe(false);
    }
    const error = await failure({ url: "http://user:pass@127.0.0.1/" });
    expect(error).toMatchObject({ code: "http_invalid_url", isRetryable: false });
    expect(error.message).not.toMatch(/user:|pass@/);
  });
});

describe("a failure of the http block", () => {
  it("is retryable for 5xx and 429 and honours Retry-After", async () => {
    const { origin } = await serve((request, response) => {
      response.writeHead(Number(request.url?.slice(1)), { "retry-after": "7" }).end("no");
    });
    for (const status of [500, 503, 429]) {
      const error = await failure({ url: `${origin}/${status}` });
      expect(error).toMatchObject({ code: "http_status", isRetryable: true, retryAfterMs: 7_000 });
      expect(error.message).toContain(String(status));
    }
  });

  it("is retryable when nobody listens, when the connection breaks and when the body stops", async () => {
    const { origin: closed } = await serve(echo);
    await closeServers();
    const { origin } = await serve((request, response) => {
      if (request.url === "/reset") request.socket.destroy();
      else response.writeHead(200, { "content-length": "10" }).write("abc", () => response.destroy());
    });
    for (const url of [closed, `${origin}/reset`, `${origin}/stop`]) {
      const error = await failure({ url });
      expect(error, url).toMatchObject({ code: "http_network_error", isRetryable: true, retryAfterMs: null });
    }
  });

  it("names method and origin but neither path nor query", async () => {
    const { origin } = await serve((_request, response) => response.writeHead(500).end());
    const { message } = await failure({ url: `${origin}/bot-token/x?key=k` });
    expect(message).toBe(`GET ${origin} answered 500.`);
  });

  it("is a retryable timeout when headers or body take longer than timeoutMs", async () => {
    const { origin } = await serve((request, response) => {
      if (request.url === "/body") response.write("a");
    });
    for (const path of ["/headers", "/body"]) {
      const error = await failure({ url: origin + path, timeoutMs: 50 });
      expect(error).toMatchObject({ code: "http_timeout", isRetryable: true });
    }
  });

  it("is the reason of the context's signal when that aborts, and the request ends", async () => {
    const aborted = new AbortController();
    const reason = new Error("canceled");
    const { origin, server } = await serve(() => aborted.abort(reason));
    const connected = once(server, "connection");
    await expect(send({ url: origin }, anywhere, aborted.signal)).rejects.toBe(reason);
    const [socket] = await connected;
    if (!socket.closed) await once(socket, "close");
    await expect(send({ url: origin }, anywhere, aborted.signal)).rejects.toBe(reason);
  });
});

describe("Retry-After", () => {
  it("is read as seconds or HTTP date, capped at a day, and ignored when unreadable", () => {
    const now = new Date("2026-01-01T00:00:00Z");
    expect(parseRetryAfter("120", now)).toBe(120_000);
    expect(parseRetryAfter("Thu, 01 Jan 2026 00:00:30 GMT", now)).toBe(30_000);
    expect(parseRetryAfter("Wed, 31 Dec 2025 00:00:30 GMT", now)).toBe(0);
    expect(parseRetryAfter("99999999999999", now)).toBe(86_400_000);
    for (const value of [null, "", "-5", "soon", "1.5", "Xxx, nonsense GMT"]) {
      expect(parseRetryAfter(value, now), String(value)).toBeNull();
    }
  });
});
