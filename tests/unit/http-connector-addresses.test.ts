import { once } from "node:events";
import type { RequestListener } from "node:http";
import { type AddressInfo, createServer } from "node:net";
import { type Agent, fetch, Headers, type HeadersInit, MockAgent } from "undici";
import { afterEach, describe, expect, it } from "vitest";
import { isPublicAddress, openGuardedSocket } from "../../server/connectors/builtin/address-guard.js";
import { guardedAgent } from "../../server/connectors/builtin/guarded-agent.js";
import { httpConnector } from "../../server/connectors/builtin/http.js";
import { isOtherPort } from "../../server/connectors/builtin/http-ports.js";
import { closeServers, type Echo, echo, failure, send, serve } from "../support/http-block.js";

afterEach(closeServers);

const publicOnly = httpConnector(guardedAgent(isPublicAddress));

describe("a redirect", () => {
  const redirectTo = (status: number, location: string): RequestListener => {
    return (request, response) => {
      if (request.url === "/start") response.writeHead(status, { location }).end();
      else echo(request, response);
    };
  };

  it("keeps method and body on 307 and 308, and turns a POST into a GET on 301, 302 and 303", async () => {
    for (const [status, method] of [
      [301, "GET"],
      [302, "GET"],
      [303, "GET"],
      [307, "POST"],
      [308, "POST"],
    ] as const) {
      const { origin } = await serve(redirectTo(status, "/end"));
      const output = await send({ url: `${origin}/start`, method: "POST", body: { a: 1 } });
      const seen = output.body as Echo;
      expect(seen, String(status)).toMatchObject({
        method,
        url: "/end",
        body: method === "GET" ? "" : '{"a":1}',
      });
      expect(seen.headers["content-type"]).toBe(method === "GET" ? undefined : "application/json");
    }
  });

  it("keeps PUT on 301 and 302 and turns it into a GET on 303", async () => {
    for (const [status, method] of [
      [301, "PUT"],
      [303, "GET"],
    ] as const) {
      const { origin } = await serve(redirectTo(status, "/end"));
      expect((await send({ url: `${origin}/start`, method: "PUT", body: "b" })).body).toMatchObject({
        method,
      });
    }
  });

  it("keeps every header on its host and takes to another one only those that anyone may see", async () => {
    const open = { accept: "text/plain", "accept-language": "de", "user-agent": "tester" };
    const headers = { ...open, authorization: "Bearer t", cookie: "a=1", "x-api-key": "k" };
    const { origin: same } = await serve(redirectTo(302, "/end"));
    const stays = (await send({ url: `${same}/start`, headers })).body as Echo;
    expect(stays.headers).toMatchObject(headers);

    const { origin: elsewhere } = await serve(echo);
    for (const [status, method] of [
      [302, "POST"],
      [307, "POST"],
      [308, "GET"],
    ] as const) {
      const { origin: crossing } = await serve(redirectTo(status, `${elsewhere}/end`));
      const leaves = (await send({ url: `${crossing}/start`, method, headers })).body as Echo;
      expect(leaves.headers).toMatchObject(open);
      for (const name of ["authorization", "cookie", "x-api-key", "idempotency-key"]) {
        expect(leaves.headers, String(status)).not.toHaveProperty(name);
      }
    }
  });

  it("takes no body to another host: refused when it would be sent again, dropped when it becomes a GET", async () => {
    let bodies = "";
    const { origin: elsewhere } = await serve(async (request, response) => {
      for await (const chunk of request) bodies += String(chunk);
      response.end("seen");
    });
    for (const [status, method] of [
      [307, "POST"],
      [308, "PATCH"],
      [302, "PUT"],
    ] as const) {
      const { origin } = await serve(redirectTo(status, `${elsewhere}/end`));
      const error = await failure({ url: `${origin}/start`, method, body: { a: "s3cret" } });
      expect(error).toMatchObject({ code: "http_redirect_refused", isRetryable: false });
      expect(error.message).toBe(
        `url: ${origin} redirects to ${elsewhere}, to which the body is not sent on; call the new address directly.`,
      );
    }
    const { origin } = await serve(redirectTo(303, `${elsewhere}/end`));
    expect(await send({ url: `${origin}/start`, method: "POST", body: "s3cret" })).toMatchObject({
      body: "seen",
    });
    expect(bodies).toBe("");
  });

  it("counts from https to http as another host, and from http to https as the same", async () => {
    const mock = new MockAgent();
    mock.disableNetConnect();
    const block = httpConnector(mock as unknown as Agent);
    const headers = { "x-api-key": "k" };
    const answer = ({ headers: seen }: { headers?: unknown }) =>
      new Headers(seen as HeadersInit).get("x-api-key") ?? "none";
    for (const [from, to, seen] of [
      ["http", "https", "k"],
      ["https", "http", "none"],
    ]) {
      const location = `${to}://a.example/end`;
      mock.get(`${from}://a.example`).intercept({ path: "/" }).reply(302, "", { headers: { location } });
      mock.get(`${to}://a.example`).intercept({ path: "/end" }).reply(200, answer);
      expect(await send({ url: `${from}://a.example/`, headers }, block)).toMatchObject({ body: seen });
    }
  });

  it("is followed five times, not six", async () => {
    const { origin } = await serve((request, response) => {
      const left = Number(request.url?.slice(1));
      if (left > 0) response.writeHead(302, { location: `/${left - 1}` }).end();
      else response.end("there");
    });
    expect(await send({ url: `${origin}/5` })).toMatchObject({ status: 200, body: "there" });
    const error = await failure({ url: `${origin}/6` });
    expect(error).toMatchObject({ code: "http_too_many_redirects", isRetryable: false });
  });

  it("to another protocol or with a password in it fails for good; without a location it is an output", async () => {
    const { origin } = await serve((request, response) => {
      const location = { "/ftp": "ftp://127.0.0.1/", "/password": "http://u:s3cret@127.0.0.1/" }[
        request.url ?? ""
      ];
      response.writeHead(302, location === undefined ? {} : { location }).end();
    });
    for (const path of ["/ftp", "/password"]) {
      const error = await failure({ url: origin + path });
      expect(error).toMatchObject({ code: "http_invalid_url", isRetryable: false });
      expect(error.message).not.toContain("s3cret");
    }
    expect(await send({ url: `${origin}/none` })).toMatchObject({ status: 302 });
  });

  it("to an address that is not allowed is refused before anything is sent there", async () => {
    const firstOnly = httpConnector(guardedAgent((address) => address === "127.0.0.1"));
    let hits = 0;
    const { origin: target } = await serve((_request, response) => {
      hits += 1;
      response.end();
    }, "127.0.0.2");
    const { origin } = await serve(redirectTo(302, `${target}/inside`));
    expect(await failure({ url: `${origin}/start` }, firstOnly)).toMatchObject({
      code: "http_address_refused",
    });
    expect(hits).toBe(0);
    expect(await send({ url: `${origin}/start` })).toMatchObject({ status: 200 });
    expect(hits).toBe(1);
  });
});

describe("an address whose port is not for HTTP", () => {
  it("is refused for good, with its remedy, also behind a redirect", async () => {
    const { origin } = await serve((_request, response) =>
      response.writeHead(302, { location: "http://127.0.0.1:6000/" }).end(),
    );
    for (const url of ["http://127.0.0.1:25/", "http://127.0.0.1:4190/", "http://127.0.0.1:6667/", origin]) {
      const error = await failure({ url });
      expect(error, url).toMatchObject({ code: "http_invalid_url", isRetryable: false });
      expect(error.message).toMatch(
        /^url: http:\/\/127\.0\.0\.1:(25|4190|6667|6000) has a port .*use an address/,
      );
    }
  });
});

describe("the ports that are not for HTTP", () => {
  it("are those that fetch refuses", async () => {
    const agent = new MockAgent();
    agent.disableNetConnect();
    const isRefusedByFetch = async (port: number) => {
      const error = await fetch(`http://127.0.0.1:${port}/`, { dispatcher: agent }).catch((reason) => reason);
      return error.cause.message === "bad port";
    };
    // None is higher.
    for (let port = 1; port <= 10_100; port += 1) {
      const isOther = isOtherPort(new URL(`https://127.0.0.1:${port}/`));
      if (isOther !== (await isRefusedByFetch(port))) expect.fail(`They differ at port ${port}.`);
    }
  });
});

describe("without HTTP_ALLOW_PRIVATE the http block", () => {
  it("refuses the loopback address in every notation, and the server hears nothing", async () => {
    let connections = 0;
    const { origin, server } = await serve(echo);
    server.on("connection", () => {
      connections += 1;
    });
    const { port } = new URL(origin);
    const hosts = [
      "127.0.0.1",
      "127.1",
      "0x7f000001",
      "0x7f.0.0.1",
      "2130706433",
      "017700000001",
      "127.0.0.1.",
      "0.0.0.0",
      "localhost",
      "LOCALHOST",
      "[::1]",
      "[::]",
      "[::ffff:127.0.0.1]",
      "[::ffff:7f00:1]",
      "[::127.0.0.1]",
    ];
    for (const host of hosts) {
      const error = await failure({ url: `http://${host}:${port}/` }, publicOnly);
      expect(error, host).toMatchObject({ code: "http_address_refused", isRetryable: false });
      expect(error.message).toContain("HTTP_ALLOW_PRIVATE");
    }
    expect(connections).toBe(0);
    expect(await send({ url: origin.replace("127.0.0.1", "2130706433") })).toMatchObject({ status: 200 });
    expect(connections).toBe(1);
  });

  it("counts as public only what is", () => {
    const inside = [
      ...["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254", "100.64.0.1"],
      ...["100.100.100.200", "192.0.0.192", "198.18.0.1", "224.0.0.1", "255.255.255.255", "240.0.0.1"],
      ...["168.63.129.16", "0.0.0.0", "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1", "::", "::1"],
      ...["::ffff:10.0.0.1", "::10.0.0.1", "64:ff9b::a00:1", "64:ff9b:1::1", "2002:a00:1::", "2001::1"],
      ...["2001:db8::1", "fec0::1", "100::1"],
    ];
    for (const address of inside) expect(isPublicAddress(address), address).toBe(false);
    for (const address of ["1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "::ffff:1.1.1.1"]) {
      expect(isPublicAddress(address), address).toBe(true);
    }
  });
});

describe("an opened socket", () => {
  it("may fail before anybody listens to it", async () => {
    const server = createServer((socket) => {
      socket.once("data", () => socket.resetAndDestroy());
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const caller = { type: "email", parameter: "SMTP_URL" };
    const socket = await openGuardedSocket({ host: "127.0.0.1", port }, () => true, caller);
    const closed = new Promise<boolean>((resolve) => {
      socket.once("close", resolve);
    });
    socket.write("x");
    expect(await closed).toBe(true);
    server.close();
  });
});
