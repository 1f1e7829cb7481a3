import { describe, expect, it } from "vitest";
import { createFlowkeepClient } from "../../router/client.js";
import { endedRun, readRun, runInState } from "../support/client.js";
import { clockAt } from "../support/clocks.js";
import { useClient, useTestServer } from "../support/server-hooks.js";
import {
  block,
  connect,
  createWorkflow,
  edit,
  logsOf,
  runDocument,
  startRun,
  startWaiting,
  transform,
  trigger,
  UNKNOWN_ID,
  wait,
} from "../support/workflows.js";

const clock = clockAt("2026-11-22T09:00:00.000Z");
const server = useTestServer({ now: clock.now });
const client = useClient(server);

const echo = { blocks: [trigger, transform("echo", "{{trigger}}")], connections: connect("start>echo") };

describe("starting a run", () => {
  it("is 202 with its place, and the run completes with the output of every block", async () => {
    const workflowId = await createWorkflow(client, {
      blocks: [
        trigger,
        transform("greet", "Hello {{trigger.name}}"),
        transform("shout", "{{greet.result}}!"),
      ],
      connections: connect("start>greet>shout"),
    });
    const { status, headers, body } = await client.request("POST", `/api/workflows/${workflowId}/run`, {
      input: { name: "Ada" },
    });
    expect(status).toBe(202);
    expect(headers.get("location")).toBe(`/api/runs/${body.runId}`);
    expect(await endedRun(client, body.runId)).toEqual({
      id: body.runId,
      workflowId,
      workflowVersion: 1,
      state: "completed",
      trigger: { kind: "manual" },
      input: { name: "Ada" },
      output: {
        outputs: { start: { name: "Ada" }, greet: { result: "Hello Ada" }, shout: { result: "Hello Ada!" } },
      },
      error: null,
      blocks: Object.fromEntries(
        ["start", "greet", "shout"].map((id) => [
          id,
          {
            state: "completed",
            attempts: 1,
            startedAt: "2026-11-22T09:00:00.000Z",
            finishedAt: "2026-11-22T09:00:00.000Z",
            waitingUntil: null,
          },
        ]),
      ),
      createdAt: "2026-11-22T09:00:00.000Z",
      startedAt: expect.any(String),
      finishedAt: expect.any(String),
    });
  });

  it("needs no body: the input is {} then", async () => {
    const workflowId = await createWorkflow(client, echo);
    const { status, body } = await client.request("POST", `/api/workflows/${workflowId}/run`);
    expect(status).toBe(202);
    expect(await endedRun(client, body.runId)).toMatchObject({
      input: {},
      output: { outputs: { start: {}, echo: { result: {} } } },
    });
  });

  it.each([
    ["an object", { a: { b: [1, "ü", null] }, "": 0 }],
    ["an array", [1, [2], { three: 3 }]],
    ["a text", "{{vars.no}} 'quoted' \\ \"text\""],
    ["an empty text", ""],
    ["a number", 1.5e-7],
    ["zero", 0],
    ["false", false],
  ])("takes %s as input and keeps it", async (_, input) => {
    expect(await runDocument(client, echo, input)).toMatchObject({
      input,
      output: { outputs: { start: input, echo: { result: input } } },
    });
  });

  it("takes null as input and keeps it; blocks see {}", async () => {
    expect(await runDocument(client, echo, null)).toMatchObject({
      state: "completed",
      input: null,
      output: { outputs: { start: {}, echo: { result: {} } } },
    });
  });

  it("of a workflow without an enabled block is workflow_invalid", async () => {
    const empty = await createWorkflow(client);
    const disabled = await createWorkflow(client, { blocks: [{ ...trigger, enabled: false }] });
    for (const id of [empty, disabled]) {
      const { status, body } = await client.request("POST", `/api/workflows/${id}/run`, {});
      expect(status).toBe(422);
      expect(body).toEqual({
        error: "workflow_invalid",
        message: "The workflow has no enabled block, so there is nothing to run.",
        validation_errors: [],
      });
    }
  });

  it("of a workflow with validation errors is workflow_invalid with all of them, and starts nothing", async () => {
    const id = await createWorkflow(client, {
      blocks: [transform("a", "{{nobody.result}}"), block("b", "http"), block("c", "no_such_type")],
    });
    const { status, body } = await client.request("POST", `/api/workflows/${id}/run`, {});
    expect(status).toBe(422);
    expect(body).toMatchObject({
      error: "workflow_invalid",
      message: expect.stringMatching(/^The workflow has 3 validation errors: template: .*nobody/),
      validation_errors: [
        { block_id: "a", block_type: "transform", code: "reference_block_not_found", field: "template" },
        { block_id: "b", block_type: "http", code: "missing_param", field: "url" },
        { block_id: "c", block_type: "no_such_type", code: "block_type_not_registered" },
      ],
    });
    expect((await client.request("GET", `/api/runs?workflowId=${id}`)).body.data).toEqual([]);
    const edited = await edit(client, id, []);
    expect(edited.body.validation_errors).toEqual(body.validation_errors);
  });

  it("of an unknown workflow or version is not_found", async () => {
    const id = await createWorkflow(client, echo);
    for (const [workflow, body] of [
      [UNKNOWN_ID, {}],
      ["nonsense", {}],
      [id, { version: 2 }],
    ] as const) {
      const answer = await client.request("POST", `/api/workflows/${workflow}/run`, body);
      expect([answer.status, answer.body.error]).toEqual([404, "not_found"]);
      if ("version" in body) expect(answer.body.message).toContain("version 2");
    }
  });
});

describe("the version of a run", () => {
  it("is the one it started with, also when the workflow is edited while it waits", async () => {
    const id = await createWorkflow(client, {
      blocks: [block("pause", "wait_for_event", { eventName: "go on" }), transform("say", "old")],
      connections: connect("pause>say"),
    });
    const runId = await startWaiting(client, id);
    const { body } = await edit(client, id, [
      { operation_type: "update", block_id: "say", params: { template: "new" } },
      { operation_type: "add", block_id: "more", type: "transform", params: { template: 1 } },
      { operation_type: "update", block_id: "pause", params: { timeoutHours: 0 } },
    ]);
    expect(body.version).toBe(2);
    const newer = await startRun(client, id);
    await client.request("POST", "/api/signals", { name: "go on" });
    const [oldRun, newRun] = [await endedRun(client, runId), await endedRun(client, newer)];
    expect([
      oldRun.workflowVersion,
      Object.keys(oldRun.output.outputs).sort(),
      oldRun.output.outputs.say,
    ]).toEqual([1, ["pause", "say"], { result: "old" }]);
    expect([newRun.workflowVersion, newRun.output.outputs.say, newRun.output.outputs.more]).toEqual([
      2,
      { result: "new" },
      { result: 1 },
    ]);
  });

  it("can be chosen", async () => {
    const id = await createWorkflow(client, { blocks: [transform("say", "one")] });
    await edit(client, id, [{ operation_type: "update", block_id: "say", params: { template: "two" } }]);
    const outputs = [];
    for (const body of [{ version: 1 }, { version: 2 }, {}]) {
      const run = await endedRun(client, await startRun(client, id, body));
      outputs.push([run.workflowVersion, run.output.outputs.say.result]);
    }
    expect(outputs).toEqual([
      [1, "one"],
      [2, "two"],
      [2, "two"],
    ]);
  });
});

describe("over tRPC", () => {
  it("runs are started, read, listed and canceled with the same answers", async () => {
    const trpc = createFlowkeepClient({ url: server.url, apiKey: client.key });
    const id = await createWorkflow(client, { blocks: [wait("pause", 1, "h")] });
    const { runId } = await trpc.workflows.run.mutate({ id, input: [1], idempotencyKey: "t" });
    await runInState(client, runId, "waiting");
    expect(await trpc.runs.get.query({ runId })).toEqual(await readRun(client, runId));
    expect((await trpc.runs.list.query({ workflowId: id })).data).toMatchObject([
      { id: runId, state: "waiting" },
    ]);
    expect((await trpc.runs.logs.query({ runId })).data).toEqual(await logsOf(client, runId));
    await expect(trpc.workflows.run.mutate({ id, idempotencyKey: "t" })).rejects.toMatchObject({
      data: { error: "idempotency_key_reused", runId, httpStatus: 422 },
    });
    await trpc.runs.cancel.mutate({ runId });
    expect((await trpc.runs.get.query({ runId })).state).toBe("canceled");
  });
});
