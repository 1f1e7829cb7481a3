import { request } from "node:http";
import { afterEach, describe, expect, it, vi } from "vitest";
import { waitFor } from "../support/client.js";
import { startTestServer } from "../support/server.js";
import { useClient, useTestServer } from "../support/server-hooks.js";
import { createWebhook, deliver, webhookRuns } from "../support/webhooks.js";
import {
  block,
  connect,
  createWorkflow,
  type Parts,
  transform,
  trigger,
  wait,
} from "../support/workflows.js";

const server = useTestServer();
const client = useClient(server);
afterEach(() => {
  vi.restoreAllMocks();
});

const hookOf = async (document: Parts, more: object = {}) =>
  createWebhook(client, { workflowId: await createWorkflow(client, document), allowWait: true, ...more });

const greeting = {
  blocks: [trigger, wait("pause", 20), transform("greet", "Hello {{trigger.name}}")],
  connections: connect("start>pause>greet"),
};
const patience = { blocks: [trigger, wait("pause", 1, "h")], connections: connect("start>pause") };

describe("a sender that waits", () => {
  it("gets the output when the run ends in time, a duplicate too", async () => {
    const { url } = await hookOf(greeting);
    const sending = { body: { name: "Ada" }, headers: { "idempotency-key": "k" }, query: "?wait=30s" };
    const { status, body } = await deliver(url, sending);
    expect([status, body]).toEqual([
      200,
      {
        runId: expect.any(String),
        deliveryId: expect.any(String),
        state: "completed",
        output: { outputs: expect.objectContaining({ greet: { result: "Hello Ada" } }) },
      },
    ]);
    expect((await deliver(url, sending)).body).toMatchObject({
      runId: body.runId,
      duplicate: true,
      state: "completed",
      output: body.output,
    });
  });

  it("gets the error of a run that fails", async () => {
    const url = "http://127.0.0.1:2/";
    const hook = await hookOf({ blocks: [block("call", "http", { url }, { retry: { maxAttempts: 1 } })] });
    const { status, body } = await deliver(hook.url, { body: {}, query: "?wait=30" });
    expect([status, body.state, body.output]).toEqual([200, "failed", undefined]);
    expect(body.error).toMatchObject({ blockId: "call" });
  });

  it("learns that the run was canceled", async () => {
    const { url } = await hookOf(patience);
    const answering = deliver(url, { body: {}, query: "?wait=30s" });
    const [run] = await waitFor(
      () => webhookRuns(client),
      ([newest]) => newest?.state === "waiting",
    );
    expect((await client.request("POST", `/api/runs/${run.id}/cancel`)).status).toBe(204);
    const { status, body } = await answering;
    expect([status, body]).toEqual([
      200,
      { runId: run.id, deliveryId: expect.any(String), state: "canceled" },
    ]);
  });

  it("gets 202 when the run takes longer", async () => {
    const { url } = await hookOf(patience);
    const { status, body } = await deliver(url, { body: {}, query: "?wait=200ms" });
    expect([status, body]).toEqual([202, { runId: expect.any(String), deliveryId: expect.any(String) }]);
  });

  it("gets 202 at once where the webhook does not allow it, and for no time", async () => {
    const { url } = await hookOf(patience, { allowWait: false });
    expect((await deliver(url, { body: {}, query: "?wait=60s" })).status).toBe(202);
    const allowing = await hookOf(patience);
    for (const query of ["", "?wait=0", "?wait=0ms"]) {
      expect((await deliver(allowing.url, { body: {}, query })).status).toBe(202);
    }
  });

  it.each(["61", "61s", "60001ms", "-1", "1.5", "soon", "", "30 s", "1m"])(
    "for %j is refused before anything starts",
    async (text) => {
      const { url, id } = await hookOf(patience);
      const { status, body } = await deliver(url, { body: {}, query: `?wait=${encodeURIComponent(text)}` });
      expect([status, body.error, body.issues[0].path]).toEqual([400, "invalid_body", ["wait"]]);
      expect((await client.request("GET", `/api/webhooks/${id}/deliveries`)).body.data).toEqual([]);
    },
  );

  it("holds no connection of the database while it waits", async () => {
    const { url } = await hookOf(patience);
    const waits = vi.spyOn(server.services.deliveries, "awaitRun");
    const answers = Array.from({ length: 30 }, () => deliver(url, { body: {}, query: "?wait=60s" }));
    await waitFor(
      async () => waits.mock.calls,
      ({ length }) => length === 30,
    );
    expect((await client.request("GET", "/api/workflows")).status).toBe(200);
    for (const [, runId] of waits.mock.calls) await client.request("POST", `/api/runs/${runId}/cancel`);
    for (const { body } of await Promise.all(answers)) expect(body.state).toBe("canceled");
  });
});

describe("the waiting for a run", () => {
  it("ends with the client that goes away, long before the time is up", async () => {
    const { url } = await hookOf(patience);
    const waits = vi.spyOn(server.services.deliveries, "awaitRun");
    const sending = request(`${url}?wait=60s`, { method: "POST" });
    sending.on("error", () => undefined);
    sending.end("{}");
    const { results } = await waitFor(
      async () => waits.mock,
      ({ results }) => results.length === 1,
    );
    sending.destroy();
    expect(await results[0]?.value).toBeNull();
  });

  it("ends when the server stops", async () => {
    const other = await startTestServer({ databaseUrl: server.databaseUrl });
    const { id } = await hookOf(patience);
    expect((await deliver(`${other.url}/hooks/${id}`, { body: {} })).status).toBe(202);
    const waits = vi.spyOn(other.services.deliveries, "awaitRun");
    const waiting = deliver(`${other.url}/hooks/${id}`, { body: {}, query: "?wait=60s" });
    await waitFor(
      async () => waits.mock.calls,
      ({ length }) => length === 1,
    );
    other.services.runReader.close();
    expect((await waiting).status).toBe(202);
    await other.close();
  });
});
