import { describe, expect, it } from "vitest";
import { endedRun, newClient, waitFor } from "../support/client.js";
import { useClient, useTestServer } from "../support/server-hooks.js";
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

const server = useTestServer();
const client = useClient(server);

const create = (parts: Parts & { settings?: object }) => createWorkflow(client, parts);
const run = async (workflowId: string, input: unknown = {}) =>
  endedRun(client, await startRun(client, workflowId, { input }));
const read = async (runId: string) => (await client.request("GET", `/api/runs/${runId}`)).body;
const runsOf = async (workflowId: string) =>
  (await client.request("GET", `/api/runs?workflowId=${workflowId}`)).body.data;
const calling = (workflowId: string, params: object = {}, more: object = {}): Parts => ({
  blocks: [
    trigger,
    block("child", "run_workflow", { workflowId, ...params }, more as Record<string, unknown>),
    transform("after", "{{child.output}}"),
  ],
  connections: connect("start>child>after"),
});

describe("run_workflow", () => {
  it("runs another workflow with its input and gives its outputs by block id", async () => {
    const inner = await create({
      blocks: [trigger, transform("double", ["{{start.n}}", "{{start.n}}"])],
      connections: connect("start>double"),
    });
    const outer = await create(calling(inner, { input: { n: "{{start.n}}" } }));
    const { id, state, output } = await run(outer, { n: 21 });
    expect(state).toBe("completed");
    const [child] = await runsOf(inner);
    expect(output.outputs.child).toEqual({
      runId: child.id,
      output: { start: { n: 21 }, double: { result: [21, 21] } },
    });
    expect(output.outputs.after).toEqual({ result: output.outputs.child.output });
    expect(child.trigger).toEqual({ kind: "workflow", parentRunId: id, parentBlockId: "child" });
  });

  it("stays with the version it names", async () => {
    const inner = await create({ blocks: [transform("a", "old")] });
    await client.request("POST", `/api/workflows/${inner}/operations`, {
      ops: [{ operation_type: "update", block_id: "a", params: { template: "new" } }],
    });
    const output = async (params: object) =>
      (await run(await create(calling(inner, params)))).output.outputs.child.output;
    expect(await output({ version: 1 })).toEqual({ a: { result: "old" } });
    expect(await output({})).toEqual({ a: { result: "new" } });
  });

  it("fails with the cause and the run when the other run fails, and a retry starts another", async () => {
    const inner = await create({
      blocks: [block("bad", "http", { url: "http://127.0.0.1:2/" }, { retry: { maxAttempts: 1 } })],
    });
    const outer = await create(calling(inner, {}, { retry: { maxAttempts: 2, initialMs: 1 } }));
    const { error } = await run(outer);
    expect(error).toMatchObject({ code: "child_failed", blockId: "child", attempt: 2 });
    const children = await runsOf(inner);
    expect(children.map(({ state }: { state: string }) => state)).toEqual(["failed", "failed"]);
    expect(error.message).toContain(children[0].id);
    expect(error.message).toContain("bad");
  });

  it("names a workflow that is missing or another organization's", async () => {
    const stranger = await newClient(server.url);
    const theirs = await createWorkflow(stranger, { blocks: [trigger] });
    for (const workflowId of ["11111111-1111-4111-8111-111111111111", theirs]) {
      const { error } = await run(await create(calling(workflowId)));
      expect(error).toMatchObject({ code: "workflow_not_found", blockId: "child" });
    }
    const { error } = await run(await create(calling("{{start.id}}")), { id: "nonsense" });
    expect(error).toMatchObject({ code: "invalid_params", blockId: "child" });
    expect(error.message).toMatch(/^Parameter workflowId: /);
  });

  it("stops a workflow that runs itself at the tenth level", async () => {
    const self = await create({ blocks: [trigger] });
    await client.request("POST", `/api/workflows/${self}/operations`, {
      ops: [
        { operation_type: "add", block_id: "again", type: "run_workflow", params: { workflowId: self } },
        { operation_type: "connect", block_id: "start", target_block_id: "again" },
      ],
    });
    const { error, state } = await run(self);
    expect(state).toBe("failed");
    expect(error.message).toContain("recursion_limit");
    expect(await runsOf(self)).toHaveLength(11);
  });

  it("is canceled with the run that waits for it, and fails it when it is canceled itself", async () => {
    const inner = await create({ blocks: [wait("long", 1, "d")] });
    const middle = await create(calling(inner));
    const outer = await create(calling(middle));
    const outerRun = await startRun(client, outer);
    const [innerRun] = await waitFor(
      () => runsOf(inner),
      (rows) => rows[0]?.state === "waiting",
    );
    expect((await client.request("POST", `/api/runs/${outerRun}/cancel`)).status).toBe(204);
    expect((await read(innerRun.id)).state).toBe("canceled");
    expect((await runsOf(middle))[0].state).toBe("canceled");

    const second = await startRun(client, middle);
    const [lone] = await waitFor(
      () => runsOf(inner),
      (rows) => rows[0]?.state === "waiting",
    );
    await client.request("POST", `/api/runs/${lone.id}/cancel`);
    expect((await endedRun(client, second)).error).toMatchObject({
      code: "child_failed",
      message: `The run ${lone.id} was canceled.`,
    });
  });

  it("runs once per item inside a loop", async () => {
    const inner = await create({
      blocks: [trigger, transform("echo", "{{start.item}}")],
      connections: connect("start>echo"),
    });
    const outer = await create({
      blocks: [
        block("loop", "for_each", { items: [1, 2, 3], parallelism: 2 }),
        block("child", "run_workflow", { workflowId: inner, input: { item: "{{loop.item}}" } }),
      ],
      connections: [{ source: "loop", target: "child", sourceHandle: "each" }],
    });
    const { output, id } = await run(outer);
    expect(
      output.outputs.loop.results.map(({ child }: { child: { output: unknown } }) => child.output),
    ).toEqual([1, 2, 3].map((item) => ({ start: { item }, echo: { result: item } })));
    const children = await runsOf(inner);
    expect(children.map((child: { trigger: unknown }) => child.trigger)).toEqual(
      children.map(() => ({ kind: "workflow", parentRunId: id, parentBlockId: "child" })),
    );
  });
});

describe("a deadline", () => {
  it("fails a run that waits, promptly, and cancels what it waits for", async () => {
    const inner = await create({ blocks: [wait("long", 1, "d")] });
    const outer = await create({ ...calling(inner), settings: { deadlineMs: 1_500 } });
    const ended = await run(outer);
    expect(ended).toMatchObject({ state: "failed", error: { code: "deadline_exceeded" } });
    const tookMs = Date.parse(ended.finishedAt) - Date.parse(ended.createdAt);
    expect(tookMs).toBeGreaterThanOrEqual(1_490);
    expect((await runsOf(inner))[0].state).toBe("canceled");
  });
});

describe("onFailure", () => {
  it("starts its workflow once for every failed run, with what happened", async () => {
    const rescue = await create({ blocks: [trigger] });
    const failing = await create({
      metadata: { name: "Fragile" },
      blocks: [trigger, block("bad", "http", { url: "http://127.0.0.1:2/" }, { retry: { maxAttempts: 1 } })],
      connections: connect("start>bad"),
      settings: { onFailure: { workflowId: rescue } },
    });
    const failed = await run(failing, { order: 7 });
    const [started] = await waitFor(
      () => runsOf(rescue),
      (rows) => rows.length > 0,
    );
    const { input, trigger: cause, state } = await endedRun(client, started.id);
    expect(state).toBe("completed");
    expect(cause).toEqual({ kind: "failure", failedRunId: failed.id, failedWorkflowId: failing });
    expect(input).toEqual({
      runId: failed.id,
      workflowId: failing,
      workflowName: "Fragile",
      error: failed.error,
      input: { order: 7 },
    });
    await run(failing);
    await waitFor(
      () => runsOf(rescue),
      (rows) => rows.length === 2,
    );
  });

  it("follows a deadline too, and a failure of its own starts nothing further", async () => {
    const rescue = await create({ blocks: [trigger] });
    await client.request(
      "PUT",
      `/api/workflows/${rescue}`,
      {
        workflow: {
          blocks: [
            { id: "bad", type: "http", params: { url: "http://127.0.0.1:2/" }, retry: { maxAttempts: 1 } },
          ],
          settings: { onFailure: { workflowId: rescue } },
        },
      },
      { "if-match": "1" },
    );
    const late = await create({
      blocks: [wait("long", 1, "d")],
      settings: { deadlineMs: 1_000, onFailure: { workflowId: rescue } },
    });
    expect(await run(late)).toMatchObject({ error: { code: "deadline_exceeded" } });
    const [started] = await waitFor(
      () => runsOf(rescue),
      (rows) => rows[0]?.state === "failed",
    );
    expect((await read(started.id)).input.error.code).toBe("deadline_exceeded");
    // Whatever follows a failure is written by the same look that takes this later one.
    const other = await create({ blocks: [trigger] });
    const next = await create({
      blocks: [wait("long", 1, "d")],
      settings: { deadlineMs: 1_000, onFailure: { workflowId: other } },
    });
    await run(next);
    await waitFor(
      () => runsOf(other),
      (rows) => rows.length === 1,
    );
    expect(await runsOf(rescue)).toHaveLength(1);
  });

  it("and run_workflow start each other 10 levels deep and no further", async () => {
    const rescue = await create({ blocks: [] });
    const failing = await create({
      blocks: [block("bad", "http", { url: "http://127.0.0.1:2/" }, { retry: { maxAttempts: 1 } })],
      settings: { onFailure: { workflowId: rescue } },
    });
    await client.request(
      "PUT",
      `/api/workflows/${rescue}`,
      {
        workflow: {
          blocks: [block("again", "run_workflow", { workflowId: failing }, { onError: "continue" })],
        },
      },
      { "if-match": "1" },
    );
    await startRun(client, failing);
    // Below the first run: five rescues and five retries, the last of which no rescue follows.
    await waitFor(
      () => runsOf(rescue),
      (rows) => rows.length === 5 && rows.every(({ state }: { state: string }) => state === "completed"),
    );
    // Whatever follows a failure is written by the same look that takes this later one.
    const other = await create({ blocks: [trigger] });
    const last = await create({
      blocks: [block("bad", "http", { url: "http://127.0.0.1:2/" }, { retry: { maxAttempts: 1 } })],
      settings: { onFailure: { workflowId: other } },
    });
    await run(last);
    await waitFor(
      () => runsOf(other),
      (rows) => rows.length === 1,
    );
    expect(await runsOf(rescue)).toHaveLength(5);
    expect(await runsOf(failing)).toHaveLength(6);
  });

  it("gets what happened without the input of the run where both are too large together", async () => {
    const rescue = await create({ blocks: [trigger] });
    const failing = await create({
      blocks: [trigger, block("bad", "http", { url: "http://127.0.0.1:2/" }, { retry: { maxAttempts: 1 } })],
      connections: connect("start>bad"),
      settings: { onFailure: { workflowId: rescue } },
    });
    const text = "x".repeat(1_048_576 - '{"input":{"text":""}}'.length);
    const { id, error } = await run(failing, { text });
    const [started] = await waitFor(
      () => runsOf(rescue),
      (rows) => rows.length > 0,
    );
    expect((await endedRun(client, started.id)).input).toMatchObject({
      runId: id,
      error,
      input: null,
      isInputLeftOut: true,
    });
  });

  it("that names nothing startable leaves the failed run alone", async () => {
    const failing = await create({
      blocks: [wait("long", 1, "d")],
      settings: { deadlineMs: 1_000, onFailure: { workflowId: "11111111-1111-4111-8111-111111111111" } },
    });
    expect(await run(failing)).toMatchObject({ state: "failed" });
  });
});
