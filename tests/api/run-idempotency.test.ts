import { describe, expect, it } from "vitest";
import { newClient } from "../support/client.js";
import { useClient, useTestServer } from "../support/server-hooks.js";
import { connect, createWorkflow, edit, transform, trigger, walkPages } from "../support/workflows.js";

const server = useTestServer();
const client = useClient(server);

const echo = { blocks: [trigger, transform("echo", "{{trigger}}")], connections: connect("start>echo") };

describe("an idempotency key", () => {
  const run = (id: string, body: unknown, headers = {}, by = client) =>
    by.request("POST", `/api/workflows/${id}/run`, body, headers);

  it("gives the same run for the same input, from the body and from the header", async () => {
    const id = await createWorkflow(client, echo);
    const input = { a: 1, b: [-0, 1e21, "ü"], c: { d: null } };
    const { body: first } = await run(id, { input, idempotencyKey: "k1" });
    for (const answer of [
      await run(id, { input, idempotencyKey: "k1" }),
      await run(id, { input: { c: input.c, b: input.b, a: 1 } }, { "idempotency-key": "k1" }),
      await run(id, { input, idempotencyKey: "k1" }, { "idempotency-key": "k1" }),
      await run(id, `{"idempotencyKey":"k1","input":{"a":1.0,"b":[-0,1e21,"\\u00fc"],"c":{"d":null}}}`),
    ]) {
      expect([answer.status, answer.body]).toEqual([202, first]);
      expect(answer.headers.get("location")).toBe(`/api/runs/${first.runId}`);
    }
    expect(await walkPages(client, `/api/runs?workflowId=${id}`, 10)).toHaveLength(1);
  });

  it("with another input is idempotency_key_reused and names the first run", async () => {
    const id = await createWorkflow(client, echo);
    const { body: first } = await run(id, { input: { a: 1 }, idempotencyKey: "k" });
    for (const input of [{ a: 2 }, { a: "1" }, { a: 1, b: 2 }, {}, [{ a: 1 }], null]) {
      const answer = await run(id, { input }, { "idempotency-key": "k" });
      expect(answer.status).toBe(422);
      expect(answer.body).toMatchObject({ error: "idempotency_key_reused", runId: first.runId });
    }
  });

  it("starts one run however many requests come at once", async () => {
    const id = await createWorkflow(client, echo);
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => run(id, { input: { n: 1 } }, { "idempotency-key": "at-once" })),
    );
    expect(answers.map(({ status }) => status)).toEqual(Array(20).fill(202));
    expect(new Set(answers.map(({ body }) => body.runId)).size).toBe(1);
    expect(await walkPages(client, `/api/runs?workflowId=${id}`, 10)).toHaveLength(1);
  });

  it("belongs to one workflow of one organization", async () => {
    const stranger = await newClient(server.url);
    const ids = await Promise.all([createWorkflow(client, echo), createWorkflow(client, echo)]);
    const foreign = await createWorkflow(stranger, echo);
    const answers = [
      await run(ids[0], { idempotencyKey: "shared" }),
      await run(ids[1], { idempotencyKey: "shared", input: { other: true } }),
      await run(foreign, { idempotencyKey: "shared", input: 5 }, {}, stranger),
    ];
    expect(answers.map(({ status }) => status)).toEqual([202, 202, 202]);
    expect(new Set(answers.map(({ body }) => body.runId)).size).toBe(3);
  });

  it("gives its run also after the workflow has become invalid", async () => {
    const id = await createWorkflow(client, echo);
    const { body: first } = await run(id, { idempotencyKey: "k" });
    await edit(client, id, [
      { operation_type: "update", block_id: "echo", params: { template: "{{nobody.x}}" } },
    ]);
    const again = await run(id, { idempotencyKey: "k" });
    expect([again.status, again.body]).toEqual([202, first]);
    expect((await run(id, { idempotencyKey: "k", input: 1 })).body.error).toBe("idempotency_key_reused");
    expect((await run(id, { idempotencyKey: "new" })).body.error).toBe("workflow_invalid");
  });

  it("must be a text of 1 to 255 characters, the same in body and header", async () => {
    const id = await createWorkflow(client, echo);
    for (const [body, headers] of [
      [{ idempotencyKey: "" }, {}],
      [{ idempotencyKey: "k".repeat(256) }, {}],
      [{ idempotencyKey: 5 }, {}],
      [{}, { "idempotency-key": "k".repeat(256) }],
      [{}, { "idempotency-key": "two words" }],
      [{ idempotencyKey: "a" }, { "idempotency-key": "b" }],
    ] as const) {
      const answer = await run(id, body, headers);
      expect([answer.status, answer.body.error]).toEqual([400, "invalid_body"]);
    }
    expect(await walkPages(client, `/api/runs?workflowId=${id}`, 10)).toHaveLength(0);
  });
});
