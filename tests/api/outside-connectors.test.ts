import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { endedRun } from "../support/client.js";
import { useClient, useTestServer } from "../support/server-hooks.js";
import { block, createWorkflow, edit, logsOf, runDocument, startRun } from "../support/workflows.js";

const samples = fileURLToPath(new URL("../support/sample-connectors.mjs", import.meta.url));
const client = useClient(useTestServer({ config: { connectorModules: [samples] } }));

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
      { blocks: [block("call", "http", { url: "{{trigger.url}}" })] },
      { url: "ftp://example.com" },
    );
    expect(run.error).toEqual({
      code: "invalid_params",
      message: "Parameter url: must be a full http:// or https:// address.",
      blockId: "call",
      attempt: 1,
    });
  });

  it("says how a number becomes text where a parameter takes only text", async () => {
    const document = (text: string) => ({
      blocks: [block("mail", "wait_for_event", { eventName: text, timeoutHours: 0 })],
    });
    const failed = await runDocument(client, document("{{trigger.count}}"), { count: 5 });
    expect(failed.error).toMatchObject({
      code: "invalid_params",
      message:
        "Parameter eventName: expected string, received number; make it text inside longer text or with $string in a transform.",
    });
    const run = await runDocument(client, document("order-{{trigger.count}}"), { count: 5 });
    expect(run.state).toBe("completed");
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
