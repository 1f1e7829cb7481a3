import { afterEach, describe, expect, it } from "vitest";
import { newClient } from "../support/client.js";
import { closeServers, echo, serve } from "../support/http-block.js";
import { startTestServer } from "../support/server.js";
import { useClient, useTestServer } from "../support/server-hooks.js";
import { block, connect, logsOf, runDocument, transform } from "../support/workflows.js";

const client = useClient(useTestServer());
afterEach(closeServers);

const http = (id: string, url: string, params = {}, more = {}) => block(id, "http", { url, ...params }, more);

/** Answers requests in turn with these statuses, the last one for all that follow, and notes when they came. */
async function answering(...answers: readonly { status: number; headers?: Record<string, string> }[]) {
  const instants: number[] = [];
  const { origin } = await serve((_request, response) => {
    const { status = 200, headers = {} } = answers[Math.min(instants.length, answers.length - 1)] ?? {};
    instants.push(Date.now());
    response.writeHead(status, { "content-type": "application/json", ...headers });
    response.end(JSON.stringify({ status }));
  });
  return { origin, instants };
}

describe("http", () => {
  it("sends method, headers and JSON body and gives status, parsed body and headers", async () => {
    const { origin } = await serve(echo);
    const run = await runDocument(
      client,
      {
        blocks: [
          http("call", `${origin}/orders/{{trigger.id}}?q=1`, {
            method: "POST",
            headers: { "x-trace": "{{trigger.id}}-{{trigger.n}}" },
            body: { n: "{{trigger.n}}", text: "n={{trigger.n}}" },
          }),
          transform("read", "{{call.status}} {{call.body.method}} {{call.headers.content-type}}"),
        ],
        connections: connect("call>read"),
      },
      { id: "a7", n: 3 },
    );
    const { call, read } = run.output.outputs;
    expect(call.status).toBe(200);
    expect(call.body).toMatchObject({
      method: "POST",
      url: "/orders/a7?q=1",
      headers: { "x-trace": "a7-3" },
    });
    expect(JSON.parse(call.body.body)).toEqual({ n: 3, text: "n=3" });
    expect(call.body.headers["idempotency-key"]).toBe(`${run.id}:call`);
    expect(read.result).toBe("200 POST application/json");
  });

  it("gives 404 as an output", async () => {
    const { origin, instants } = await answering({ status: 404 });
    const run = await runDocument(client, { blocks: [http("call", origin)] });
    expect(run).toMatchObject({
      state: "completed",
      output: { outputs: { call: { status: 404, body: { status: 404 } } } },
    });
    expect(instants).toHaveLength(1);
  });

  it("tries 500 again with growing pauses and shows every attempt in the logs", async () => {
    const { origin, instants } = await answering({ status: 500 }, { status: 500 }, { status: 200 });
    const run = await runDocument(client, {
      blocks: [http("call", origin, {}, { retry: { maxAttempts: 3, initialMs: 60, factor: 3 } })],
    });
    expect(run).toMatchObject({ state: "completed", output: { outputs: { call: { status: 200 } } } });
    const logs = await logsOf(client, run.id);
    expect(
      logs.map((row: Record<string, unknown>) => [row.name, row.blockId, row.kind, row.status, row.attempt]),
    ).toEqual([
      ["call", "call", "block", "failed", 1],
      ["call@backoff", "call", "backoff", "completed", 1],
      ["call~2", "call", "block", "failed", 2],
      ["call~2@backoff", "call", "backoff", "completed", 2],
      ["call~3", "call", "block", "completed", 3],
    ]);
    expect(logs[0]).toMatchObject({
      output: null,
      error: { code: "http_status", message: `GET ${origin} answered 500.` },
    });
    const [first = 0, second = 0, third = 0] = instants;
    expect(second - first).toBeGreaterThanOrEqual(60);
    expect(third - second).toBeGreaterThanOrEqual(180);
  });

  it("waits as long as Retry-After of a 429 asks", async () => {
    const { origin, instants } = await answering(
      { status: 429, headers: { "retry-after": "1" } },
      { status: 200 },
    );
    const run = await runDocument(client, {
      blocks: [http("call", origin, {}, { retry: { maxAttempts: 2, initialMs: 1 } })],
    });
    expect(run.state).toBe("completed");
    const [first = 0, second = 0] = instants;
    expect(second - first).toBeGreaterThanOrEqual(1_000);
    expect(instants).toHaveLength(2);
  });

  it("fails after its timeout", async () => {
    const { origin } = await serve(() => {});
    const run = await runDocument(client, {
      blocks: [http("call", origin, { timeoutMs: 150 }, { retry: { maxAttempts: 1 } })],
    });
    expect(run).toMatchObject({
      state: "failed",
      error: {
        code: "http_timeout",
        blockId: "call",
        attempt: 1,
        message: `GET ${origin} did not answer within 150 ms; raise timeoutMs if it needs longer.`,
      },
    });
  });

  it("refuses a private address, also behind a redirect, unless the server allows it", async () => {
    const guarded = await startTestServer({ config: { httpAllowPrivate: false } });
    try {
      const owner = await newClient(guarded.url);
      const { origin, instants } = await answering({ status: 200 });
      for (const url of [origin, origin.replace("127.0.0.1", "localhost"), "http://169.254.169.254/latest"]) {
        const run = await runDocument(owner, { blocks: [http("call", url)] });
        const { hostname } = new URL(url);
        expect(run).toMatchObject({ state: "failed", output: null });
        expect(run.error).toEqual({
          code: "http_address_refused",
          blockId: "call",
          attempt: 1,
          message:
            `url: ${hostname} is a private or reserved address, which the http block may not reach; use a public ` +
            "address, or start the server with HTTP_ALLOW_PRIVATE=true.",
        });
      }
      expect(instants).toEqual([]);
    } finally {
      await guarded.close();
    }
  });
});
