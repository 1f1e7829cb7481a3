import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { createFlowkeepClient } from "../../router/client.js";
import { newClient, send, type TestClient } from "../support/client.js";
import { startTestServer, type TestServer } from "../support/server.js";
import { createWebhook, deliver, deliveriesOf, webhookRuns } from "../support/webhooks.js";
import { connect, createWorkflow, transform, trigger, walkPages } from "../support/workflows.js";

let server: TestServer;
let client: TestClient;
let workflowId: string;

const greeting = {
  blocks: [trigger, transform("greet", "Hello {{trigger.name}}")],
  connections: connect("start>greet"),
};
const unknownId = "00000000-0000-4000-8000-000000000000";

async function enterOrganization() {
  client = await newClient(server.url);
  workflowId = await createWorkflow(client, greeting);
}

beforeAll(async () => {
  server = await startTestServer();
  await enterOrganization();
});
afterAll(() => server.close());

const post = (body: Readonly<Record<string, unknown>>) =>
  client.request("POST", "/api/webhooks", { workflowId, verification: "none", ...body });
const patch = (id: string, body: unknown, headers?: Record<string, string>) =>
  client.request("PATCH", `/api/webhooks/${id}`, body, headers);

describe("creating a webhook", () => {
  it("answers with its address, every default and a secret that is shown once", async () => {
    const { status, headers, body } = await post({ verification: "standard_webhooks", name: "Orders" });
    expect(status).toBe(201);
    expect(headers.get("location")).toBe(`/api/webhooks/${body.id}`);
    expect(headers.get("etag")).toBe('"1"');
    const { secret, ...webhook } = body;
    expect(secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);
    expect(webhook).toEqual({
      id: expect.stringMatching(/^whk_[0-9a-f]{32}$/),
      url: `${server.url}/hooks/${body.id}`,
      name: "Orders",
      workflowId,
      workflowVersion: null,
      verification: { type: "standard_webhooks" },
      enabled: true,
      stoppedReason: null,
      inputMapping: null,
      filter: null,
      deliveryKey: null,
      allowWait: false,
      rateLimitPerMinute: 600,
      previousSecretEndsAt: null,
      version: 1,
      createdAt: expect.any(String),
      updatedAt: body.createdAt,
    });
    const read = await client.request("GET", `/api/webhooks/${body.id}`);
    expect(read.body).toEqual(webhook);
    expect(read.headers.get("etag")).toBe('"1"');
    const listed = await client.request("GET", "/api/webhooks");
    expect(listed.body.data).toEqual([webhook]);
  });

  it("shows no secret that was given, and makes none for none", async () => {
    expect((await post({ verification: "stripe", secret: "whsec_of_stripe" })).body.secret).toBeNull();
    expect((await post({})).body.secret).toBeNull();
    expect((await post({ verification: "bearer" })).body.secret).toMatch(/^[\w-]{43}$/);
  });

  it("fills in what the verification leaves open", async () => {
    const { body } = await post({ verification: { type: "hmac", header: "X-Sig" } });
    expect(body.verification).toEqual({
      type: "hmac",
      algorithm: "sha256",
      header: "x-sig",
      encoding: "hex",
      prefix: "",
      toleranceSeconds: 300,
    });
    expect((await post({ verification: "bearer" })).body.verification).toEqual({
      type: "bearer",
      header: "authorization",
    });
  });

  it.each([
    ["verification", { verification: undefined }],
    ["verification", { verification: "svix" }],
    ["verification", { verification: { type: "hmac" } }],
    ["verification", { verification: { type: "hmac", header: "a b" } }],
    ["verification", { verification: { type: "github", header: "x" } }],
    ["secret", { secret: "for nobody" }],
    ["secret", { verification: "standard_webhooks", secret: "not base64" }],
    ["secret", { verification: "github", secret: "short" }],
    ["filter", { filter: "request.body.type = " }],
    ["filter", { filter: "trigger.type = 'x'" }],
    ["filter", { filter: "request.method = 'x'" }],
    ["filter", { filter: "" }],
    ["inputMapping", { inputMapping: { a: [{ b: "{{trigger.name}}" }] } }],
    ["inputMapping", { inputMapping: "{{secrets.TOKEN}}" }],
    ["inputMapping", { inputMapping: "{{request.headers.X-Event}}" }],
    ["inputMapping", { inputMapping: "{{request.body.a" }],
    ["inputMapping", { inputMapping: ["{{request.body}}"] }],
    ["deliveryKey", { deliveryKey: "{{body.id}}" }],
    ["deliveryKey", { deliveryKey: "request.body.id" }],
    ["deliveryKey", { deliveryKey: "key {{request.headers.authorization}}" }],
    [
      "deliveryKey",
      { verification: { type: "hmac", header: "X-Sig" }, deliveryKey: "{{request.headers.x-sig}}" },
    ],
    ["workflowVersion", { workflowVersion: 2 }],
    ["rateLimitPerMinute", { rateLimitPerMinute: 0 }],
    ["enabled", { enabled: "true" }],
    ["allowWait", { allowWait: 1 }],
  ])("refuses a bad %s with invalid_body at that field: %j", async (field, body) => {
    const answer = await post(body);
    expect([answer.status, answer.body.error, answer.body.issues?.[0].path[0]]).toEqual([
      400,
      "invalid_body",
      field,
    ]);
  });

  it("tells what a verification may be", async () => {
    for (const verification of [undefined, "svix", { type: "hmac" }]) {
      const { body } = await post({ verification });
      expect(body.message).toContain("{type: hmac, header, …}");
    }
  });

  it("names the very template that is wrong", async () => {
    const { body } = await post({ inputMapping: { a: [{ b: "{{trigger.name}}" }] } });
    expect(body.issues).toEqual([
      {
        path: ["inputMapping", "a", 0, "b"],
        code: "invalid_template",
        message: expect.stringContaining("request.body"),
      },
    ]);
  });

  it("for a workflow that is not there, not ours or removed is workflow_not_found", async () => {
    const stranger = await newClient(server.url);
    const foreign = await createWorkflow(stranger, greeting);
    const removed = await createWorkflow(client, greeting);
    await client.request("DELETE", `/api/workflows/${removed}`);
    for (const id of [unknownId, "nonsense", foreign, removed]) {
      const { status, body } = await post({ workflowId: id });
      expect([status, body.error]).toEqual([404, "workflow_not_found"]);
    }
  });
});

describe("changing a webhook", () => {
  it("changes what is given, leaves the rest and counts the version", async () => {
    const { secret: _, ...webhook } = await createWebhook(client, {
      workflowId,
      filter: "request.body.a",
      inputMapping: { a: "{{request.body.a}}" },
    });
    const { status, headers, body } = await patch(webhook.id, {
      filter: null,
      inputMapping: "{{request.body.b}}",
      allowWait: true,
      enabled: false,
      name: "New",
      workflowVersion: 1,
    });
    expect([status, headers.get("etag")]).toEqual([200, '"2"']);
    expect(body).toEqual({
      ...webhook,
      filter: null,
      inputMapping: "{{request.body.b}}",
      allowWait: true,
      enabled: false,
      name: "New",
      workflowVersion: 1,
      version: 2,
      updatedAt: expect.any(String),
    });
    expect((await client.request("GET", `/api/webhooks/${webhook.id}`)).body).toEqual(body);
    expect((await patch(webhook.id, {})).body.version).toBe(2);
  });

  it("with a stale If-Match is version_mismatch and changes nothing", async () => {
    const { id } = await createWebhook(client, { workflowId });
    expect((await patch(id, { name: "First" }, { "if-match": '"1"' })).status).toBe(200);
    const stale = await patch(id, { name: "Second" }, { "if-match": "1" });
    expect([stale.status, stale.body.error, stale.body.current]).toEqual([412, "version_mismatch", 2]);
    expect((await client.request("GET", `/api/webhooks/${id}`)).body.name).toBe("First");
    expect((await patch(id, {}, { "if-match": "*" })).body.error).toBe("invalid_if_match");
  });

  it("to what it is already leaves the version as it was", async () => {
    const { secret: _, ...webhook } = await createWebhook(client, {
      workflowId,
      verification: { type: "hmac", header: "x-a" },
      inputMapping: { b: ["{{request.body.b}}"], a: null },
    });
    for (const body of [{}, webhook]) {
      const answer = await patch(webhook.id, body);
      expect([answer.status, answer.body]).toEqual([200, webhook]);
    }
  });

  it("lets one of 10 parallel changes with the same If-Match through", async () => {
    const { id } = await createWebhook(client, { workflowId });
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, index) => patch(id, { name: `No. ${index}` }, { "if-match": "1" })),
    );
    expect(answers.map(({ status }) => status).sort()).toEqual([200, ...Array(9).fill(412)]);
  });

  it("keeps the type of the verification and lets its options change", async () => {
    const { id } = await createWebhook(client, { workflowId, verification: { type: "hmac", header: "x-a" } });
    const { body } = await patch(id, { verification: { type: "hmac", header: "x-b", encoding: "base64" } });
    expect(body.verification).toMatchObject({ header: "x-b", encoding: "base64" });
    const other = await patch(id, { verification: "none" });
    expect([other.status, other.body.issues?.[0].path]).toEqual([400, ["verification"]]);
    expect((await patch(id, { filter: "(" })).body.issues[0].path).toEqual(["filter"]);
    expect((await patch(id, { workflowVersion: 9 })).body.issues[0].path).toEqual(["workflowVersion"]);
    expect((await patch(id, { deliveryKey: "{{request.headers.x-b}}" })).body.issues[0].path).toEqual([
      "deliveryKey",
    ]);
  });
});

describe("a webhook that is switched off, deleted or without its workflow", () => {
  beforeEach(async () => {
    workflowId = await createWorkflow(client, greeting);
  });

  it("looks to senders like one that never was", async () => {
    const off = await createWebhook(client, { workflowId, enabled: false });
    const gone = await createWebhook(client, { workflowId });
    expect((await client.request("DELETE", `/api/webhooks/${gone.id}`)).status).toBe(204);
    const orphan = await createWebhook(client, { workflowId: await createWorkflow(client, greeting) });
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
    const { id } = await createWebhook(client, { workflowId });
    await client.request("DELETE", `/api/workflows/${workflowId}`);
    const { body } = await client.request("GET", `/api/webhooks/${id}`);
    expect(body).toMatchObject({ enabled: false, stoppedReason: "The workflow was removed.", version: 2 });
    expect((await patch(id, { enabled: true })).body.error).toBe("workflow_not_found");
    expect((await patch(id, { name: "Still here" })).status).toBe(200);
  });

  it("takes deliveries once it is switched on", async () => {
    const { id, url } = await createWebhook(client, { workflowId, enabled: false });
    expect((await patch(id, { enabled: true })).body).toMatchObject({ enabled: true, version: 2 });
    expect((await deliver(url, { body: { name: "Ada" } })).status).toBe(202);
  });

  it("answers POST only", async () => {
    const { url } = await createWebhook(client, { workflowId });
    for (const method of ["GET", "PUT", "PATCH", "DELETE"]) {
      const { status, body } = await send(url, null, method, "");
      expect([status, body.error]).toEqual([404, "not_found"]);
    }
  });
});

describe("lists", () => {
  beforeEach(enterOrganization);

  it("of webhooks are newest first, also those of one workflow, in pages without gap or duplicate", async () => {
    const other = await createWorkflow(client, greeting);
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
    const { id, url } = await createWebhook(client, { workflowId, filter: "request.body.wanted" });
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
  beforeEach(enterOrganization);

  it("sees neither webhook nor deliveries, changes nothing and delivers nothing again", async () => {
    const stranger = await newClient(server.url);
    const { id, url } = await createWebhook(client, { workflowId });
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
    const own = await createWebhook(stranger, { workflowId: await createWorkflow(stranger, greeting) });
    const { url } = await createWebhook(client, { workflowId });
    const { body } = await deliver(url, { body: {} });
    const path = `/api/webhooks/${own.id}/deliveries/${body.deliveryId}`;
    expect((await stranger.request("GET", path)).status).toBe(404);
    expect((await stranger.request("POST", `${path}/redeliver`)).status).toBe(404);
  });
});

it("both doors answer the same", async () => {
  const trpc = createFlowkeepClient({ url: server.url, apiKey: client.key });
  const { secret, ...webhook } = await trpc.webhooks.create.mutate({ workflowId, verification: "github" });
  expect(secret).toMatch(/^[\w-]{43}$/);
  expect((await client.request("GET", `/api/webhooks/${webhook.id}`)).body).toEqual(webhook);
  const changed = await trpc.webhooks.update.mutate({ id: webhook.id, name: "New", expectedVersion: 1 });
  expect(changed).toMatchObject({ name: "New", version: 2 });
  await expect(trpc.webhooks.update.mutate({ id: webhook.id, expectedVersion: 1 })).rejects.toMatchObject({
    data: { error: "version_mismatch", httpStatus: 412, current: 2 },
  });
  expect((await trpc.webhooks.deliveries.query({ id: webhook.id })).data).toEqual([]);
});
