import { describe, expect, it } from "vitest";
import { createFlowkeepClient } from "../../router/client.js";
import { add, join } from "../support/edit-operations.js";
import { useClient, useTestServer } from "../support/server-hooks.js";
import { block, connect, createWorkflow, edit, transform, trigger, walkPages } from "../support/workflows.js";

const server = useTestServer();
const client = useClient(server);

async function read(id: string) {
  return (await client.request("GET", `/api/workflows/${id}`)).body;
}

/** What was skipped, as `index code`. */
function skips(body: { skipped_items: { op_index: number; reason_code: string }[] }): string[] {
  return body.skipped_items.map(({ op_index, reason_code }) => `${op_index} ${reason_code}`);
}

describe("a batch of edit operations", () => {
  it("builds a workflow that runs", async () => {
    const id = await createWorkflow(client);
    const { status, headers, body } = await edit(client, id, [
      { operation_type: "add", block_id: "start", type: "trigger_webhook", name: "Start here" },
      add("greet", "Hello {{trigger.name}}"),
      join("start", "greet"),
    ]);
    expect(status).toBe(200);
    expect(headers.get("etag")).toBe('"2"');
    expect(body).toEqual({
      ok: true,
      workflow: {
        version: "1.0.0",
        metadata: { name: "Untitled workflow", description: "", tags: [] },
        blocks: [
          { id: "start", type: "trigger_webhook", name: "Start here", enabled: true, params: {} },
          { id: "greet", type: "transform", enabled: true, params: { template: "Hello {{trigger.name}}" } },
        ],
        connections: [{ source: "start", target: "greet" }],
        variables: {},
      },
      version: 2,
      applied: 3,
      validation_errors: [],
      skipped_items: [],
      summary:
        "Applied 3 of 3 operations (2 add, 1 connect). The result was saved. It has 2 blocks and 1 connection.\n" +
        "Next: the workflow is valid; run it, or edit it further.",
    });
    expect((await read(id)).workflow).toEqual(body.workflow);
  });

  it("builds branches, joins and guards, and says what does not fit", async () => {
    const id = await createWorkflow(client, { blocks: [trigger], connections: [] });
    const condition = {
      branches: [
        { name: "large", when: "trigger.total > vars.limit" },
        { name: "small", when: "{{trigger.total}} > 0" },
      ],
    };
    const { body } = await edit(client, id, [
      { operation_type: "configure", variables: { limit: 100 }, settings: { deadlineMs: 60_000 } },
      { operation_type: "configure", metadata: { name: "Orders" } },
      { operation_type: "configure", settings: { deadline: 5 } },
      { operation_type: "add", block_id: "if", type: "condition", params: condition },
      add("big", "{{if.branch}}"),
      { ...add("all"), join: "any", timeoutMs: 5_000 },
      join("start", "if"),
      join("if", "big", { source_handle: "large" }),
      join("if", "all", { source_handle: "tiny" }),
      join("big", "all", { condition: "big.result = if.nothing" }),
    ]);
    expect(skips(body)).toEqual(["2 malformed_op"]);
    expect(body.skipped_items[0].reason).toContain("deadlineMs");
    expect(body.workflow).toMatchObject({
      metadata: { name: "Orders" },
      variables: { limit: 100 },
      settings: { deadlineMs: 60_000 },
    });
    expect(body.workflow.blocks.at(-1)).toMatchObject({ id: "all", join: "any", timeoutMs: 5_000 });
    const errors = body.validation_errors as {
      code: string;
      block_id: string;
      field: string;
      error: string;
    }[];
    expect(errors.map(({ code, block_id, field }) => [code, block_id, field])).toEqual([
      ["unknown_handle", "if", "connections[2]"],
      ["reference_output_not_declared", "big", "connections[3].condition"],
    ]);
    expect(errors[0]?.error).toContain('its handles are "large", "small", "else", "error"');

    const mended = await edit(client, id, [
      { operation_type: "disconnect", block_id: "if", target_block_id: "all" },
      { operation_type: "disconnect", block_id: "big", target_block_id: "all" },
      join("if", "all", { source_handle: "else" }),
      join("big", "all", { condition: "big.result = 'large'" }),
      { operation_type: "configure", settings: { deadlineMs: null }, variables: { limit: 10 } },
    ]);
    expect(mended.body).toMatchObject({ ok: true, applied: 5 });
    expect(mended.body.workflow).not.toHaveProperty("settings");
    expect((await read(id)).workflow).toEqual(mended.body.workflow);
    expect((await walkPages(client, "/api/workflows", 50)).map(({ name }) => name)).toContain("Orders");
  });

  it("skips and explains what cannot be applied and lets everything else land", async () => {
    const id = await createWorkflow(client, {
      blocks: [trigger, transform("a", 1), transform("b", 2)],
      connections: connect("start>a>b"),
    });
    const { status, body } = await edit(client, id, [
      "not an operation",
      { operation_type: "explode", block_id: "a" },
      { operation_type: "add", block_id: "9 lives", type: "transform" },
      { operation_type: "add", block_id: "a", type: "transform" },
      { operation_type: "add", block_id: "c", type: "transfrom" },
      { operation_type: "update", block_id: "nobody", name: "x" },
      { operation_type: "remove", block_id: "nobody" },
      { operation_type: "add", block_id: "d", type: "transform", params: { template: 4, templete: 5 } },
      join("nobody", "a"),
      join("a", "nobody"),
      join("a", "start"),
      join("a", "b"),
      join("b", "a"),
      { operation_type: "disconnect", block_id: "start", target_block_id: "b" },
      add("e", "{{d.result}}"),
      join("d", "e"),
    ]);
    expect(status).toBe(200);
    expect(skips(body)).toEqual([
      "0 malformed_op",
      "1 malformed_op",
      "2 invalid_block_id",
      "3 block_already_exists",
      "4 block_type_not_registered",
      "5 block_not_found",
      "6 block_not_found",
      "7 unknown_param",
      "8 invalid_edge_source",
      "9 invalid_edge_target",
      "10 cycle_introduced",
      "11 duplicate_connection",
      "12 cycle_introduced",
      "13 edge_not_found",
    ]);
    expect(body).toMatchObject({ ok: false, version: 2, applied: 3, validation_errors: [] });
    expect(body.workflow.blocks.map((row: { id: string }) => row.id)).toEqual(["start", "a", "b", "d", "e"]);
    expect(body.workflow.blocks[3].params).toEqual({ template: 4 });
    expect(body.workflow.connections).toEqual(connect("start>a>b", "d>e"));
    expect(body.skipped_items[4]).toEqual({
      op_index: 4,
      operation_type: "add",
      block_id: "c",
      reason_code: "block_type_not_registered",
      reason: expect.stringMatching(/"transfrom" is not registered; the nearest types are transform/),
      details: { type: "transfrom", nearest: expect.arrayContaining(["transform"]) },
    });
    expect(body.skipped_items[0]).toMatchObject({ operation_type: null, block_id: null });
    for (const { reason } of body.skipped_items) expect(reason).toMatch(/^.{20,}\.$/s);
  });

  it("knows edit and delete as update and remove, and merges parameters one by one", async () => {
    const id = await createWorkflow(client, {
      blocks: [
        block("call", "http", { url: "https://example.com", method: "POST", timeoutMs: 5 }),
        transform("b", 1),
      ],
    });
    const { body } = await edit(client, id, [
      {
        operation_type: "edit",
        block_id: "call",
        params: { method: "PUT", timeoutMs: null },
        enabled: false,
      },
      { operation_type: "delete", block_id: "b" },
    ]);
    expect(body).toMatchObject({ ok: true, applied: 2, version: 2 });
    expect(body.workflow.blocks).toEqual([
      { id: "call", type: "http", enabled: false, params: { url: "https://example.com", method: "PUT" } },
    ]);
    expect(body.summary).toContain("1 edit, 1 delete");
  });

  it("takes the connections of a removed block along and disconnects what it is asked to", async () => {
    const id = await createWorkflow(client, {
      blocks: [transform("a", 1), transform("b", 2), transform("c", 3)],
      connections: connect("a>b>c", "a>c"),
    });
    const { body } = await edit(client, id, [
      { operation_type: "disconnect", block_id: "a", target_block_id: "c" },
      { operation_type: "remove", block_id: "b" },
    ]);
    expect(body).toMatchObject({ ok: true, applied: 2 });
    expect(body.workflow.connections).toEqual([]);
  });

  it("keeps fields that no operation knows", async () => {
    const id = await createWorkflow(client, {
      blocks: [transform("a", 1, { colour: "green" })],
      metadata: { name: "Kept", icon: "bolt" },
    });
    const { body } = await edit(client, id, [{ operation_type: "update", block_id: "a", name: "A" }]);
    expect(body.workflow.blocks[0]).toMatchObject({ colour: "green", name: "A" });
    expect(body.workflow.metadata).toMatchObject({ name: "Kept", icon: "bolt" });
  });

  it("reports what keeps the workflow from running, by block, code and field", async () => {
    const id = await createWorkflow(client);
    const { body } = await edit(client, id, [
      add("late", "{{early.result}} {{nobody.result}} {{vars.none}}"),
      add("early"),
      { operation_type: "add", block_id: "call", type: "http", params: { method: "FETCH" } },
      join("late", "early"),
    ]);
    expect(body).toMatchObject({ ok: false, applied: 4, version: 2, skipped_items: [] });
    const found = body.validation_errors.map((error: Record<string, unknown>) =>
      [error.block_id, error.block_type, error.code, error.field].join(" "),
    );
    expect(found).toEqual([
      "late transform reference_not_upstream template",
      "late transform reference_block_not_found template",
      "late transform reference_variable_not_found template",
      "call http missing_param url",
      "call http invalid_param method",
    ]);
    expect(body.summary.split("\n")).toEqual([
      expect.stringMatching(/^Applied 4 of 4 operations \(3 add, 1 connect\)\. The result was saved\./),
      "The workflow cannot run yet:",
      ...Array(3).fill(expect.stringMatching(/^- block late \(reference_\w+\): template: /)),
      expect.stringMatching(/^- block call \(missing_param\): url is required by http and not set;/),
      expect.stringMatching(/^- block call \(invalid_param\): method: /),
      "Next: send one batch that mends what is listed above; what was applied need not be sent again.",
    ]);
  });

  it("says in its summary which operation was skipped and why", async () => {
    const id = await createWorkflow(client);
    const { body } = await edit(client, id, [add("a"), { operation_type: "remove", block_id: "b" }]);
    expect(body.summary).toBe(
      "Applied 1 of 2 operations (1 add). The result was saved. It has 1 block and 0 connections.\n" +
        "Not applied:\n" +
        '- ops[1] remove b (block_not_found): block_id: there is no block "b"; the nearest ids are a.\n' +
        "Next: send one batch that mends what is listed above; what was applied need not be sent again.",
    );
  });

  it("holds 500 operations and a workflow 500 blocks; what is beyond is skipped", async () => {
    const id = await createWorkflow(client);
    const ops = Array.from({ length: 501 }, (_, index) => add(`b${index}`));
    const first = await edit(client, id, ops);
    expect(first.body).toMatchObject({ applied: 500, version: 2 });
    expect(skips(first.body)).toEqual(["500 limit_exceeded"]);
    const second = await edit(client, id, [add("b500")]);
    expect(second.body).toMatchObject({ applied: 0, version: 2 });
    expect(skips(second.body)).toEqual(["0 limit_exceeded"]);
    expect(second.body.skipped_items[0].details).toEqual({ limit: 500 });
  });

  it.each([
    ["no ops", {}],
    ["ops that is null", { ops: null }],
    ["ops that is an object", { ops: { 0: add("a") } }],
    ["ops that is a text", { ops: "[]" }],
  ])("is invalid_body with %s and changes nothing", async (_, body) => {
    const id = await createWorkflow(client);
    const answer = await client.request("POST", `/api/workflows/${id}/operations`, body);
    expect(answer.status).toBe(400);
    expect(answer.body).toMatchObject({ error: "invalid_body", issues: [{ path: ["ops"] }] });
    expect((await read(id)).version).toBe(1);
  });

  it.each([
    ["null", null],
    ["a number", 7],
    ["an array", [add("a")]],
    ["an empty object", {}],
    ["a wrong type of a field", { ...add("a"), enabled: "false" }],
    ["a missing field", { operation_type: "add", block_id: "a" }],
    ["a field that it does not have", { ...add("a"), colour: "red" }],
    ["an id that is no text", { ...add("a"), block_id: 5 }],
    ["an update of nothing", { operation_type: "update", block_id: "there" }],
  ])("is never refused for the shape of one operation: %s", async (_, op) => {
    const id = await createWorkflow(client, { blocks: [transform("there", 1)] });
    const { status, body } = await edit(client, id, [op, add("lands")]);
    expect([status, skips(body), body.applied]).toEqual([200, ["0 malformed_op"], 1]);
    expect(body.workflow.blocks).toHaveLength(2);
  });

  it("gives the same answer over tRPC", async () => {
    const [one, other] = await Promise.all([createWorkflow(client), createWorkflow(client)]);
    const ops = [add("a"), "nonsense", add("b", "{{a.result}}")];
    const trpc = createFlowkeepClient({ url: server.url, apiKey: client.key });
    const overTrpc = await trpc.workflows.edit.mutate({ id: one, ops });
    expect(overTrpc).toEqual((await edit(client, other, ops)).body);
    await expect(
      trpc.workflows.edit.mutate({ id: one, ops: [add("c")], expectedVersion: 1 }),
    ).rejects.toMatchObject({ data: { error: "version_mismatch", current: 2, httpStatus: 412 } });
  });
});
