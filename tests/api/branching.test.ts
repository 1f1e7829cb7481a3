import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { endedRun, newClient, type TestClient } from "../support/client.js";
import { startTestServer, type TestServer } from "../support/server.js";

let server: TestServer;
let client: TestClient;

beforeAll(async () => {
  server = await startTestServer();
  client = await newClient(server.url);
});
afterAll(() => server.close());

const start = { id: "start", type: "trigger_webhook" };
const say = (id: string, template: unknown) => ({ id, type: "transform", params: { template } });
/** Fails for certain, as the address is no http one. */
const broken = (onError: string) => ({
  id: "broken",
  type: "http",
  params: { url: "{{trigger.url}}" },
  onError,
});

async function outputsOf(blocks: unknown[], connections: unknown[], input: unknown) {
  const created = await client.request("POST", "/api/workflows", { workflow: { blocks, connections } });
  expect(created.status).toBe(201);
  const started = await client.request("POST", `/api/workflows/${created.body.id}/run`, { input });
  expect(started.body).toEqual({ runId: expect.any(String) });
  return endedRun(client, started.body.runId);
}

describe("a connection with a condition", () => {
  const blocks = [start, say("yes", "yes"), say("after", "after {{yes.result}}"), say("always", "always")];
  const connections = [
    { source: "start", target: "yes", condition: "{{trigger.isReady}}" },
    { source: "yes", target: "after" },
    { source: "start", target: "always" },
  ];

  it("is taken when the value is truthy", async () => {
    const run = await outputsOf(blocks, connections, { isReady: true });
    expect(Object.keys(run.output.outputs).sort()).toEqual(["after", "always", "start", "yes"]);
  });

  it.each([[false], [0], [""], [null]])(
    "is not taken for %j, and what depends on it is skipped",
    async (isReady) => {
      const run = await outputsOf(blocks, connections, { isReady });
      expect(run.state).toBe("completed");
      expect(Object.keys(run.output.outputs).sort()).toEqual(["always", "start"]);
    },
  );
});

describe("a block that fails", () => {
  const blocks = (onError: string) => [
    start,
    broken(onError),
    say("next", "next"),
    say("rescue", "{{broken.error.code}}: {{broken.error.message}}"),
  ];
  const connections = [
    { source: "start", target: "broken" },
    { source: "broken", target: "next" },
    { source: "broken", target: "rescue", sourceHandle: "error" },
  ];
  const input = { url: "ftp://example.com" };

  it("ends the run with onError fail", async () => {
    const run = await outputsOf([start, broken("fail"), say("next", "next")], connections.slice(0, 2), input);
    expect(run).toMatchObject({ state: "failed", error: { blockId: "broken" }, output: null });
  });

  it("lets what follows run with onError continue", async () => {
    const run = await outputsOf(blocks("continue"), connections, input);
    expect(run.state).toBe("completed");
    expect(Object.keys(run.output.outputs).sort()).toEqual(["broken", "next", "rescue", "start"]);
  });

  it("takes only the handle error with onError branch", async () => {
    const run = await outputsOf(blocks("branch"), connections, input);
    expect(run.state).toBe("completed");
    expect(Object.keys(run.output.outputs).sort()).toEqual(["broken", "rescue", "start"]);
    expect(run.output.outputs.broken.error).toEqual({
      code: expect.any(String),
      message: expect.any(String),
    });
    expect(run.output.outputs.rescue.result).toMatch(/^\w+: ./);
  });

  it("does not take the handle error when it completes", async () => {
    const run = await outputsOf(
      [start, say("fine", "fine"), say("rescue", "rescue")],
      [
        { source: "start", target: "fine" },
        { source: "fine", target: "rescue", sourceHandle: "error" },
      ],
      {},
    );
    expect(Object.keys(run.output.outputs).sort()).toEqual(["fine", "start"]);
  });
});
