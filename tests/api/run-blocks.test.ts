import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { endedRun, newClient, type TestClient, waitFor } from "../support/client.js";
import { closeServers, echo, serve } from "../support/http-block.js";
import { startTestServer, type TestServer } from "../support/server.js";
import {
  block,
  connect,
  createWorkflow,
  edit,
  logsOf,
  runDocument,
  startRun,
  transform,
  trigger,
  wait,
} from "../support/workflows.js";

let server: TestServer;
let client: TestClient;
let folder = "";

const connectorEntry = fileURLToPath(new URL("../../server/connectors/index.ts", import.meta.url));
const connectorModule = `
import { BlockError, defineConnector, hidden } from ${JSON.stringify(connectorEntry)};
import { z } from ${JSON.stringify(createRequire(import.meta.url).resolve("zod"))};
export default [
  defineConnector({
    type: "add_numbers",
    description: "Adds two numbers.",
    effect: "pure",
    params: z.object({ left: z.number(), right: z.number().default(1), token: hidden(z.string().default("t0k3n")) }),
    outputs: z.object({ sum: z.number(), key: z.string(), tokenLength: z.number() }),
    run: ({ left, right, token }, { idempotencyKey }) => ({ sum: left + right, key: idempotencyKey, tokenLength: token.length }),
  }),
  defineConnector({
    type: "misbehave",
    description: "Fails in the way it is asked to.",
    params: z.object({ how: z.string() }),
    outputs: z.object({ fine: z.boolean() }),
    retry: { maxAttempts: 2, initialMs: 1 },
    run: async ({ how }) => {
      if (how === "throw") throw new Error("It broke.");
      if (how === "refuse") throw new BlockError("no_way", "how: this is refused.");
      if (how === "hang") await new Promise(() => {});
      if (how === "forget") return undefined;
      return how === "lie" ? { fine: "no boolean" } : { fine: true };
    },
  }),
];
`;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "connectors-"));
  const path = join(folder, "connectors.mjs");
  await writeFile(path, connectorModule);
  server = await startTestServer({ config: { connectorModules: [path] } });
  client = await newClient(server.url);
});
afterEach(closeServers);
afterAll(async () => {
  await server.close();
  await rm(folder, { recursive: true });
});

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

describe("transform", () => {
  const input = { name: "Ada", n: 5, yes: true, list: [1, { deep: "x" }], object: { a: null }, empty: "" };
  const resultOf = async (template: unknown, variables = {}) => {
    const run = await runDocument(
      client,
      { blocks: [trigger, transform("t", template)], connections: connect("start>t"), variables },
      input,
    );
    expect(run).toMatchObject({ state: "completed", error: null });
    return run.output.outputs.t.result;
  };

  it("keeps the type of a value where a text is one reference", async () => {
    expect(
      await resultOf({
        text: "{{trigger.name}}",
        number: "{{ trigger.n }}",
        boolean: "{{trigger.yes}}",
        list: "{{trigger.list}}",
        object: "{{start.object}}",
        step: "{{trigger.list[1].deep}}",
        whole: ["{{trigger}}"],
      }),
    ).toEqual({
      text: "Ada",
      number: 5,
      boolean: true,
      list: [1, { deep: "x" }],
      object: { a: null },
      step: "x",
      whole: [input],
    });
  });

  it("puts values into longer text: texts as they are, anything else as JSON, nothing for null", async () => {
    expect(
      await resultOf(
        "{{trigger.name}} {{trigger.n}} {{trigger.yes}} {{trigger.list}} [{{trigger.object.a}}]",
      ),
    ).toBe('Ada 5 true [1,{"deep":"x"}] []');
  });

  it("gives null for a path that is not there, and nothing inside longer text", async () => {
    expect(
      await resultOf(["{{trigger.nope.deeper}}", "<{{trigger.nope}}>", "{{trigger.name.length}}"]),
    ).toEqual([null, "<>", null]);
  });

  it("reads variables, and never reads what it put in as a template", async () => {
    const variables = { limit: 3, trick: "{{trigger.name}}", nested: { a: [10, 20] } };
    expect(
      await resultOf(
        ["{{vars.limit}}", "{{vars.trick}}", "<{{vars.trick}}>", "{{vars.nested.a[1]}}"],
        variables,
      ),
    ).toEqual([3, "{{trigger.name}}", "<{{trigger.name}}>", 20]);
  });

  it("knows blocks by name, spaces included, and an id before a name", async () => {
    const run = await runDocument(client, {
      blocks: [
        transform("first", 1, { name: "My first block" }),
        transform("second", 2, { name: "first" }),
        transform(
          "all",
          "{{My first block.result}} {{ first.result }} {{second.result}} {{My first block['result']}}",
        ),
      ],
      connections: connect("first>second>all"),
    });
    expect(run.output.outputs.all).toEqual({ result: "1 1 2 1" });
  });

  it("does not reach what is not the value's own", async () => {
    expect(
      await resultOf(
        ["{{trigger.constructor}}", "{{trigger.__proto__}}", "{{trigger.list.length}}", "{{vars.list.map}}"],
        {
          list: { map: 1 },
        },
      ),
    ).toEqual([null, null, 2, 1]);
  });
});

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

describe("wait_duration", () => {
  it("parks the run as waiting and then completes it with the instant it went on", async () => {
    const id = await createWorkflow(client, { blocks: [wait("pause", 400)] });
    const runId = await startRun(client, id);
    await waitFor(
      () => client.request("GET", `/api/runs/${runId}`),
      ({ body }) => body.state === "waiting",
    );
    const run = await endedRun(client, runId);
    expect(run.state).toBe("completed");
    const resumedAt = Date.parse(run.output.outputs.pause.resumedAt);
    const waited = resumedAt - Date.parse(run.startedAt);
    expect(waited).toBeGreaterThanOrEqual(395);
    expect(waited).toBeLessThan(5_000);
  });

  it("takes its length from a reference, and fails by name when that is none", async () => {
    const document = {
      blocks: [block("pause", "wait_duration", { duration: "{{trigger.ms}}", unit: "ms" })],
    };
    expect(await runDocument(client, document, { ms: 1 })).toMatchObject({ state: "completed" });
    const failed = await runDocument(client, document, { ms: "long" });
    expect(failed.error).toMatchObject({
      code: "invalid_params",
      blockId: "pause",
      message: expect.stringMatching(/^Parameter duration: /),
    });
  });
});

describe("branches", () => {
  it("run at the same time: two waits of a second side by side are over after about one", async () => {
    const run = await runDocument(client, {
      blocks: [
        trigger,
        wait("left", 1, "s"),
        wait("right", 1, "s"),
        transform("join", "{{left.resumedAt}} {{right.resumedAt}}"),
      ],
      connections: connect("start>left>join", "start>right>join"),
    });
    expect(run.state).toBe("completed");
    const waits = (await logsOf(client, run.id)).filter(({ kind }: { kind: string }) => kind === "wait");
    const started = waits.map(({ startedAt }: { startedAt: string }) => Date.parse(startedAt));
    const finished = waits.map(({ finishedAt }: { finishedAt: string }) => Date.parse(finishedAt));
    expect(waits).toHaveLength(2);
    expect(Math.max(...started)).toBeLessThan(Math.min(...finished));
    const took = Math.max(...finished) - Math.min(...started);
    expect(took).toBeGreaterThanOrEqual(990);
    expect(took).toBeLessThan(1_900);
  });

  it("keep what others have done: a block of one branch runs once though another branch waits and retries", async () => {
    const calls: string[] = [];
    const { origin } = await serve((request, response) => {
      calls.push(String(request.url));
      response.statusCode =
        request.url === "/flaky" && calls.filter((url) => url === "/flaky").length < 3 ? 503 : 200;
      response.end("{}");
    });
    const run = await runDocument(client, {
      blocks: [
        http("flaky", `${origin}/flaky`, {}, { retry: { maxAttempts: 3, initialMs: 30 } }),
        http("once", `${origin}/once`),
        wait("pause", 50),
        http("after", `${origin}/after`),
      ],
      connections: connect("pause>after"),
    });
    expect(run.state).toBe("completed");
    expect([...calls].sort()).toEqual(["/after", "/flaky", "/flaky", "/flaky", "/once"]);
  });

  it("join where one side is disabled, and stop where all sides are", async () => {
    const run = await runDocument(client, {
      blocks: [
        trigger,
        transform("on", "on"),
        transform("off", "off", { enabled: false }),
        transform("joined", "{{on.result}}"),
        transform("behind", "never"),
      ],
      connections: connect("start>on>joined", "start>off>joined", "off>behind"),
    });
    expect(run.state).toBe("completed");
    expect(Object.keys(run.output.outputs).sort()).toEqual(["joined", "on", "start"]);
    expect((await logsOf(client, run.id)).map(({ blockId }: { blockId: string }) => blockId).sort()).toEqual([
      "joined",
      "on",
      "start",
    ]);
  });

  it("end with the run when one fails, after blocks that run meanwhile are done", async () => {
    let answer = () => {};
    const { origin } = await serve((_request, response) => {
      answer = () => response.end("{}");
    });
    const id = await createWorkflow(client, {
      blocks: [
        block("bad", "misbehave", { how: "refuse" }),
        http("slow", origin),
        wait("long", 1, "h"),
        transform("never", 1),
      ],
      connections: connect("bad>never"),
    });
    const runId = await startRun(client, id);
    await waitFor(
      () => logsOf(client, runId),
      (logs) =>
        logs.some(({ name, status }: Record<string, unknown>) => name === "bad" && status === "failed"),
    );
    expect((await client.request("GET", `/api/runs/${runId}`)).body.state).toBe("running");
    answer();
    const run = await endedRun(client, runId);
    expect(run).toMatchObject({ state: "failed", output: null, error: { code: "no_way", blockId: "bad" } });
    const logs = await logsOf(client, runId);
    const statuses = logs.map(({ name, status }: Record<string, unknown>) => `${name} ${status}`);
    expect(statuses.sort()).toEqual(["bad failed", "long@wait interrupted", "slow completed"]);
  });
});

describe("a failed run", () => {
  it.each([
    ["throw", { code: "block_failed", message: "It broke.", blockId: "odd", attempt: 2 }],
    ["refuse", { code: "no_way", message: "how: this is refused.", blockId: "odd", attempt: 1 }],
    [
      "lie",
      { code: "invalid_output", message: expect.stringContaining("fine: "), blockId: "odd", attempt: 1 },
    ],
    [
      "forget",
      {
        code: "invalid_output",
        message: "The connector returned a wrong output: expected object, received undefined.",
        blockId: "odd",
        attempt: 1,
      },
    ],
    [
      "hang",
      { code: "timeout", message: expect.stringContaining("within 100 ms"), blockId: "odd", attempt: 2 },
    ],
  ])("names code, message, block and attempt and nothing else: %s", async (how, error) => {
    const run = await runDocument(client, {
      blocks: [block("odd", "misbehave", { how }, { timeoutMs: 100 })],
    });
    expect(run).toMatchObject({ state: "failed", output: null, finishedAt: expect.any(String) });
    expect(run.error).toEqual(error);
    const logs = await logsOf(client, run.id);
    expect(logs.at(-1)).toMatchObject({ status: "failed", attempt: error.attempt, output: null });
    expect(logs.at(-1).error).toEqual({ code: error.code, message: error.message });
    expect(JSON.stringify([run, logs])).not.toMatch(/\bat .*\.(ts|js|mjs):\d/);
  });

  it("names the parameter that a reference filled with the wrong thing", async () => {
    const run = await runDocument(
      client,
      { blocks: [http("call", "{{trigger.url}}")] },
      { url: "ftp://example.com" },
    );
    expect(run.error).toEqual({
      code: "invalid_params",
      message: "Parameter url: must be a full http:// or https:// address.",
      blockId: "call",
      attempt: 1,
    });
  });
});

describe("a connector from outside", () => {
  it("is in the catalogue, without its hidden parameters", async () => {
    const { body } = await client.request("GET", "/api/connectors/add_numbers");
    expect(body).toMatchObject({
      type: "add_numbers",
      kind: "compute",
      outputs: { sum: { type: "number" } },
    });
    expect(body.subBlocks.map(({ id }: { id: string }) => id)).toEqual(["left", "right"]);
    expect(JSON.stringify(body)).not.toContain("token:");
    expect(JSON.stringify(body.params)).not.toContain("token");
  });

  it("can be built with, loses what is hidden, and runs with its defaults and the idempotency key", async () => {
    const id = await createWorkflow(client);
    const { body } = await edit(client, id, [
      {
        operation_type: "add",
        block_id: "sum",
        type: "add_numbers",
        params: { left: "{{trigger.n}}", token: "mine" },
      },
      {
        operation_type: "add",
        block_id: "more",
        type: "add_numbers",
        params: { left: "{{sum.sum}}", right: 10 },
      },
      { operation_type: "connect", block_id: "sum", target_block_id: "more" },
    ]);
    expect(body).toMatchObject({ ok: false, applied: 3, validation_errors: [] });
    expect(body.skipped_items).toMatchObject([
      { op_index: 0, reason_code: "hidden_param_in_input", details: { param: "token" } },
    ]);
    expect(body.workflow.blocks[0].params).toEqual({ left: "{{trigger.n}}" });
    const run = await endedRun(client, await startRun(client, id, { input: { n: 4 } }));
    expect(run.output.outputs).toEqual({
      sum: { sum: 5, key: `${run.id}:sum`, tokenLength: 5 },
      more: { sum: 15, key: `${run.id}:more`, tokenLength: 5 },
    });
  });

  it("has its parameters checked when the workflow is edited", async () => {
    const id = await createWorkflow(client);
    const { body } = await edit(client, id, [
      { operation_type: "add", block_id: "sum", type: "add_numbers", params: { left: "five", wrong: 1 } },
    ]);
    expect(body.validation_errors).toMatchObject([
      { block_id: "sum", code: "invalid_param", field: "left", value: "five" },
    ]);
    expect(body.skipped_items).toMatchObject([{ reason_code: "unknown_param" }]);
  });
});
