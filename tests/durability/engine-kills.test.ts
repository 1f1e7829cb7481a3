import { afterAll, beforeAll, expect, it } from "vitest";
import { newClient, send, type TestClient } from "../support/client.js";
import { createTestDatabase, type TestDatabase } from "../support/database.js";
import { type KillStage, openKillStage } from "../support/engine-kills.js";
import { startTestServer, type TestServer } from "../support/server.js";
import {
  block,
  connect,
  createWorkflow,
  type Parts,
  startRun,
  transform,
  trigger,
  wait,
} from "../support/workflows.js";

let testDatabase: TestDatabase;
let server: TestServer;
let client: TestClient;
let stage: KillStage;

beforeAll(async () => {
  testDatabase = await createTestDatabase();
  // Serves requests only: every step runs in a process that is killed.
  server = await startTestServer({ databaseUrl: testDatabase.url, config: { role: "api" } });
  client = await newClient(server.url);
  stage = await openKillStage(testDatabase.url);
});
afterAll(async () => {
  await stage.close();
  await server.close();
  await testDatabase.drop();
});

const read = async (runId: string) => (await client.request("GET", `/api/runs/${runId}`)).body;
const hasEnded = async (runId: string) =>
  ["completed", "failed", "canceled"].includes((await read(runId)).state);

interface Case {
  readonly workflow: Parts & { readonly settings?: object };
  readonly input?: unknown;
  readonly isKilled?: (step: string) => boolean;
  readonly act?: (runId: string) => Promise<void>;
}

/**
 * The run of a workflow whose workers were killed at every step, and after what they were. Blocks that only compute
 * share the step of the one before them, unless a worker died in it.
 */
async function survive({ workflow, input = {}, isKilled, act }: Case) {
  const runId = await startRun(client, await createWorkflow(client, workflow), { input });
  const killedAfter = await stage.killUntil({
    isDone: () => hasEnded(runId),
    ...(isKilled === undefined ? {} : { isKilled }),
    ...(act === undefined ? {} : { act: () => act(runId) }),
  });
  return { ...(await read(runId)), killedAfter };
}

// Nothing listens there, and fetch has no objection to the port.
const refused = { url: "http://127.0.0.1:2/" };
const TIMEOUT_MS = 120_000;

it(
  "a diamond",
  async () => {
    const { output, killedAfter } = await survive({
      workflow: {
        blocks: [
          transform("a", "{{trigger.n}}"),
          wait("b", 1),
          transform("c", "{{a.result}}{{a.result}}"),
          transform("d", ["{{a.result}}", "{{c.result}}"]),
        ],
        connections: connect("a>b>d", "a>c>d"),
      },
      input: { n: 1 },
    });
    expect(output.outputs).toMatchObject({ a: { result: 1 }, c: { result: "11" }, d: { result: [1, "11"] } });
    expect(Object.keys(output.outputs)).toHaveLength(4);
    expect(killedAfter).toEqual(
      new Set(["a completed", "b@wait running", "b@wait completed", "b completed", "d completed"]),
    );
  },
  TIMEOUT_MS,
);

it(
  "nested branches and their join",
  async () => {
    const { output, killedAfter } = await survive({
      workflow: {
        blocks: [
          transform("start", "{{trigger.n}}"),
          transform("odd", 1),
          transform("even", 2),
          wait("left", 1),
          transform("right", 3),
          transform("inner", 4),
          transform("outer", 5),
        ],
        connections: [
          { source: "start", target: "odd", condition: "start.result % 2 = 1" },
          { source: "start", target: "even", condition: "start.result % 2 = 0" },
          ...connect("odd>left>inner", "odd>right>inner", "inner>outer", "even>outer"),
        ],
      },
      input: { n: 3 },
    });
    expect(Object.keys(output.outputs).sort()).toEqual(["inner", "left", "odd", "outer", "right", "start"]);
    expect([...killedAfter]).toEqual(
      expect.arrayContaining([
        "start completed",
        "odd completed",
        "left@wait running",
        "left@wait completed",
        "left completed",
        "inner completed",
        "outer completed",
      ]),
    );
  },
  TIMEOUT_MS,
);

it(
  "a race of two waits",
  async () => {
    const { output, killedAfter } = await survive({
      workflow: {
        blocks: [
          wait("fast", 100),
          wait("slow", 1, "h"),
          transform("beaten", 1),
          transform("winner", "{{slow}}", { join: "any" }),
          transform("after", "{{winner.result}}"),
        ],
        connections: connect("fast>winner", "slow>beaten>winner", "winner>after"),
      },
    });
    expect(output.outputs).toEqual({
      fast: { resumedAt: expect.any(String) },
      winner: { result: null },
      after: { result: null },
    });
    expect([...killedAfter]).toEqual(
      expect.arrayContaining([
        "fast@wait running",
        "slow@wait running",
        "fast@wait completed",
        "fast completed",
        "winner completed",
      ]),
    );
  },
  TIMEOUT_MS,
);

it(
  "a loop of 200 with one failing item",
  async () => {
    const items = Array.from({ length: 200 }, (_item, index) => (index === 57 ? "bad" : index));
    const { output, killedAfter } = await survive({
      workflow: {
        blocks: [
          trigger,
          block("loop", "for_each", { items: "{{start.items}}", onItemError: "skip", parallelism: 10 }),
          block("minus", "transform", { expression: "loop.item - 1" }),
          transform("double", ["{{minus.result}}", "{{loop.index}}"]),
          transform("after", ["{{loop.failed}}", "{{loop.results[3].double.result}}"]),
        ],
        connections: [
          ...connect("start>loop", "minus>double", "loop>after"),
          { source: "loop", target: "minus", sourceHandle: "each" },
        ],
      },
      input: { items },
      isKilled: (step) => !step.includes("#") || /#(0|50|100|150)$/.test(step),
    });
    expect(output.outputs.after).toEqual({ result: [1, [2, 3]] });
    expect(output.outputs.loop).toEqual({
      results: items.map((item, index) =>
        item === "bad" ? null : { minus: { result: index - 1 }, double: { result: [index - 1, index] } },
      ),
      errors: [{ index: 57, code: "expression_failed", message: expect.any(String), blockId: "minus" }],
      count: 200,
      succeeded: 199,
      failed: 1,
    });
    expect([...killedAfter]).toEqual(
      expect.arrayContaining([
        "start completed",
        "loop@open completed",
        "loop@wait running",
        expect.stringContaining("#"),
        "loop@wait completed",
        "loop completed",
        "after completed",
      ]),
    );
  },
  TIMEOUT_MS,
);

it(
  "a child run that completes",
  async () => {
    const inner = await createWorkflow(client, {
      blocks: [trigger, wait("pause", 1), transform("echo", "{{start.n}}")],
      connections: connect("start>pause>echo"),
    });
    const { output, killedAfter } = await survive({
      workflow: {
        blocks: [
          block("child", "run_workflow", { workflowId: inner, input: { n: 5 } }),
          transform("after", "{{child.output.echo}}"),
        ],
        connections: connect("child>after"),
      },
    });
    expect(output.outputs.after).toEqual({ result: { result: 5 } });
    const children = (await client.request("GET", `/api/runs?workflowId=${inner}`)).body.data;
    expect(children).toHaveLength(1);
    expect(killedAfter).toEqual(
      new Set([
        "child@open completed",
        "child@wait running",
        "start completed",
        "pause@wait running",
        "pause@wait completed",
        "pause completed",
        "echo completed",
        "child@wait completed",
        "child completed",
        "after completed",
      ]),
    );
  },
  TIMEOUT_MS,
);

it(
  "a child run with cancellation",
  async () => {
    const inner = await createWorkflow(client, {
      blocks: [transform("first", 1), wait("long", 1, "d")],
      connections: connect("first>long"),
    });
    const children = async () => (await client.request("GET", `/api/runs?workflowId=${inner}`)).body.data;
    const { state, output, killedAfter } = await survive({
      workflow: {
        blocks: [block("child", "run_workflow", { workflowId: inner }), transform("after", 1)],
        connections: connect("child>after"),
      },
      act: async (runId) => {
        if ((await children())[0]?.state === "waiting")
          await client.request("POST", `/api/runs/${runId}/cancel`);
      },
    });
    expect([state, output]).toEqual(["canceled", null]);
    expect((await children()).map((child: { state: string }) => child.state)).toEqual(["canceled"]);
    expect([...killedAfter]).toEqual(
      expect.arrayContaining(["child@open completed", "first completed", "long@wait running"]),
    );
  },
  TIMEOUT_MS,
);

it(
  "an approval with a quorum",
  async () => {
    const { output, killedAfter } = await survive({
      workflow: {
        blocks: [
          block("ask", "human_approval", { prompt: "Ship it?", quorum: 2, timeoutHours: 1 }),
          transform("yes", "{{ask.approved}}"),
          transform("no", 1),
        ],
        connections: [
          { source: "ask", target: "yes", sourceHandle: "approved" },
          { source: "ask", target: "no", sourceHandle: "rejected" },
        ],
      },
      act: async () => {
        const { body } = await client.request("GET", "/api/approvals?state=pending");
        for (const { id } of body.data) {
          await client.request("POST", `/api/approvals/${id}/approve`, {});
          await send(server.url, client.session.token, "POST", `/api/approvals/${id}/approve`, {});
        }
      },
    });
    expect(output.outputs.ask).toMatchObject({ approved: true });
    expect(output.outputs.ask.decisions).toHaveLength(2);
    expect(output.outputs.yes).toEqual({ result: true });
    expect(output.outputs).not.toHaveProperty("no");
    expect(killedAfter).toEqual(
      new Set([
        "ask@open completed",
        "ask@wait running",
        "ask@wait completed",
        "ask completed",
        "yes completed",
      ]),
    );
  },
  TIMEOUT_MS,
);

it(
  "an approval that nobody decides and an event that never comes",
  async () => {
    const { output, killedAfter } = await survive({
      workflow: {
        blocks: [
          block("ask", "human_approval", { prompt: "Ship it?", timeoutHours: 0.0005 }),
          block("event", "wait_for_event", { eventName: "never", timeoutHours: 0.0005 }),
          transform("late", ["{{ask.approved}}", "{{event.timedOut}}"]),
        ],
        connections: [
          { source: "ask", target: "late", sourceHandle: "timed_out" },
          { source: "event", target: "late", sourceHandle: "timed_out" },
        ],
      },
    });
    expect(output.outputs.late).toEqual({ result: [false, true] });
    expect([...killedAfter]).toEqual(
      expect.arrayContaining([expect.stringMatching(/@wait /), "late completed"]),
    );
  },
  TIMEOUT_MS,
);

it(
  "a retry, then the error branch",
  async () => {
    const { output, killedAfter } = await survive({
      workflow: {
        blocks: [
          block("call", "http", refused, { retry: { maxAttempts: 3, initialMs: 1 }, onError: "branch" }),
          transform("fine", 1),
          transform("rescue", "{{call.error.code}}"),
        ],
        connections: [...connect("call>fine"), { source: "call", target: "rescue", sourceHandle: "error" }],
      },
    });
    expect(output.outputs.rescue.result).toBe(output.outputs.call.error.code);
    expect(Object.keys(output.outputs).sort()).toEqual(["call", "rescue"]);
    expect(killedAfter).toEqual(
      new Set([
        "call completed",
        "call@backoff running",
        "call@backoff completed",
        "call~2 completed",
        "call~2@backoff running",
        "call~2@backoff completed",
        "call~3 completed",
        "rescue completed",
      ]),
    );
  },
  TIMEOUT_MS,
);

it(
  "a failure and the workflow that follows it",
  async () => {
    const rescue = await createWorkflow(client, { blocks: [trigger] });
    const { state, error, killedAfter } = await survive({
      workflow: {
        blocks: [
          transform("first", 1),
          block("call", "http", refused, { retry: { maxAttempts: 2, initialMs: 1 } }),
        ],
        connections: connect("first>call"),
        settings: { onFailure: { workflowId: rescue } },
      } as Parts,
    });
    expect([state, error.blockId, error.attempt]).toEqual(["failed", "call", 2]);
    // The run that follows may have begun by then.
    expect([...killedAfter]).toEqual(
      expect.arrayContaining([
        "first completed",
        "call completed",
        "call@backoff running",
        "call@backoff completed",
        "call~2 completed",
      ]),
    );
    const rescues = async () => (await client.request("GET", `/api/runs?workflowId=${rescue}`)).body.data;
    await stage.killUntil({ isDone: async () => (await rescues())[0]?.state === "completed" });
    expect(await rescues()).toHaveLength(1);
  },
  TIMEOUT_MS,
);
