import { beforeEach, describe, expect, it } from "vitest";
import { newClient, send } from "../support/client.js";
import { useClient, useTestServer } from "../support/server-hooks.js";
import { createWebhook, deliver, deliveriesOf, greeting, webhookRuns } from "../support/webhooks.js";
import { createWorkflow, walkPages } from "../support/workflows.js";

const server = useTestServer();
const client = useClient(server, beforeEach);

const patch = (id: string, body: unknown, headers?: Record<string, string>) =>
  client.request("PATCH", `/api/webhooks/${id}`, body, headers);

describe("a webhook that is switched off, deleted or without its workflow", () => {
  it("looks to senders like one that never was", async () => {
    const off = await createWebhook(client, { enabled: false });
    const gone = await createWebhook(client);
    expect((await client.request("DELETE", `/api/webhooks/${gone.id}`)).status).toBe(204);
    const orphan = await createWebhook(client);
    expect((await deliver(orphan.url, { body: {} })).status).toBe(202);
    await client.request("DELETE", `/api/workflows/${orphan.workflowId}`);
    const answers = [];
    for (const url of [
      off.url,
      gone.url,
      orphan.url,
      `${server.url}/hooks/whk_${"0".repeat(32)}`,
      `${server.url}/hooks/x`,
      `${server.url}/hooks/${"%00".repeat(3)}`,
    ]) {
      const { status, body } = await deliver(url, { body: {} });
      answers.push({ status, body });
    }
    for (const answer of answers) expect(answer).toEqual(answers[0]);
    expect(answers[0]).toEqual({
      status: 404,
      body: { error: "not_found", message: "There is no such webhook." },
    });
    expect(await deliveriesOf(client, off.id)).toEqual([]);
  });

  it("says why, and is switched on again only with its workflow", async () => {
    const { id, workflowId } = await createWebhook(client);
    await client.request("DELETE", `/api/workflows/${workflowId}`);
    const { body } = await client.request("GET", `/api/webhooks/${id}`);
    expect(body).toMatchObject({ enabled: false, stoppedReason: "The workflow was removed.", version: 2 });
    expect((await patch(id, { enabled: true })).body.error).toBe("workflow_not_found");
    expect((await patch(id, { name: "Still here" })).status).toBe(200);
  });

  it("takes deliveries once it is switched on", async () => {
    const { id, url } = await createWebhook(client, { enabled: false });
    expect((await patch(id, { enabled: true })).body).toMatchObject({ enabled: true, version: 2 });
    expect((await deliver(url, { body: { name: "Ada" } })).status).toBe(202);
  });

  it("answers POST only", async () => {
    const { url } = await createWebhook(client);
    for (const method of ["GET", "PUT", "PATCH", "DELETE"]) {
      const { status, body } = await send(url, null, method, "");
      expect([status, body.error]).toEqual([404, "not_found"]);
    }
  });
});

describe("lists", () => {
  it("of webhooks are newest first, also those of one workflow, in pages without gap or duplicate", async () => {
    const [workflowId, other] = [
      await createWorkflow(client, greeting),
      await createWorkflow(client, greeting),
    ];
    for (let index = 0; index < 5; index += 1) {
      await createWebhook(client, { workflowId: index % 2 === 0 ? workflowId : other, name: `No. ${index}` });
    }
    for (const limit of [1, 2, 6]) {
      const rows = await walkPages(client, "/api/webhooks", limit);
      expect(rows.map(({ name }) => name)).toEqual(["No. 4", "No. 3", "No. 2", "No. 1", "No. 0"]);
    }
    expect(await walkPages(client, `/api/webhooks?workflowId=${other}`, 1)).toHaveLength(2);
  });

  it("of deliveries are newest first, also those of one verdict, in pages without gap or duplicate", async () => {
    const { id, url } = await createWebhook(client, { filter: "request.body.wanted" });
    for (const wanted of [true, false, true, false, false]) await deliver(url, { body: { wanted } });
    for (const limit of [1, 2, 6]) {
      const rows = await walkPages(client, `/api/webhooks/${id}/deliveries`, limit);
      expect(rows.map(({ verdict }) => verdict)).toEqual([
        "filtered",
        "filtered",
        "accepted",
        "filtered",
        "accepted",
      ]);
      expect(await walkPages(client, `/api/webhooks/${id}/deliveries?verdict=accepted`, limit)).toHaveLength(
        2,
      );
    }
  });
});

describe("another organization", () => {
  it("sees neither webhook nor deliveries, changes nothing and delivers nothing again", async () => {
    const stranger = await newClient(server.url);
    const { id, url } = await createWebhook(client);
    const { body } = await deliver(url, { body: { name: "Ada" } });
    for (const [method, path] of [
      ["GET", ""],
      ["PATCH", ""],
      ["DELETE", ""],
      ["POST", "/rotate-secret"],
      ["GET", "/deliveries"],
      ["GET", `/deliveries/${body.deliveryId}`],
      ["POST", `/deliveries/${body.deliveryId}/redeliver`],
    ] as const) {
      const answer = await stranger.request(method, `/api/webhooks/${id}${path}`);
      expect([path, answer.status, answer.body.error]).toEqual([path, 404, "not_found"]);
    }
    expect((await stranger.request("GET", "/api/webhooks")).body.data).toEqual([]);
    expect(await webhookRuns(stranger)).toEqual([]);
    expect(await webhookRuns(client)).toHaveLength(1);
  });

  it("cannot reach a delivery through a webhook of its own", async () => {
    const stranger = await newClient(server.url);
    const own = await createWebhook(stranger);
    const { url } = await createWebhook(client);
    const { body } = await deliver(url, { body: {} });
    const path = `/api/webhooks/${own.id}/deliveries/${body.deliveryId}`;
    expect((await stranger.request("GET", path)).status).toBe(404);
    expect((await stranger.request("POST", `${path}/redeliver`)).status).toBe(404);
  });
});
