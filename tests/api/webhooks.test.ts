import { randomUUID } from "node:crypto";
import { beforeAll, describe, expect, it } from "vitest";
import { createFlowkeepClient } from "../../router/client.js";
import { useClient, useTestServer } from "../support/server-hooks.js";
import { createWebhook, deliver, greeting } from "../support/webhooks.js";
import { absentWorkflows, createWorkflow } from "../support/workflows.js";

const server = useTestServer();
const client = useClient(server);
let workflowId: string;
beforeAll(async () => {
  workflowId = await createWorkflow(client, greeting);
});

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
    const { inputMapping: _, ...summary } = webhook;
    const listed = await client.request("GET", "/api/webhooks");
    expect(listed.body.data).toEqual([summary]);
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
    for (const verification of [undefined, "svix", { type: "svix" }, ["hmac"]]) {
      const { body } = await post({ verification });
      expect(body.message).toContain("{type: hmac, header, …}");
    }
  });

  it.each([
    [{ type: "hmac" }, /header must be the name of an HTTP header/],
    [{ type: "hmac", header: "x", algorithm: "md5" }, /algorithm must be sha256, sha512 or sha1/],
    [{ type: "hmac", header: "x", encoding: "base32" }, /encoding must be hex or base64/],
    [{ type: "hmac", header: "x", toleranceSeconds: 0 }, /toleranceSeconds:? must be a whole number from 1/],
    [{ type: "github", header: "x" }, /has no option header for this type; leave it out/],
    [{ type: "hmac", header: "X-T", timestampHeader: "x-t" }, /timestampHeader: must name another header/],
  ])("names the option that is wrong: %j", async (verification, message) => {
    const { status, body } = await post({ verification });
    expect([status, body.message]).toEqual([400, expect.stringMatching(message)]);
    expect(body.message).toMatch(/^verification/);
  });

  it("says what a mapping may be, and which reference is not there as it was written", async () => {
    expect((await post({ inputMapping: [1] })).body.message).toMatch(
      /^inputMapping: must be an object, or a text/,
    );
    const { body } = await post({ inputMapping: "{{trigger.x}}" });
    expect(body.message).toMatch(/^inputMapping: trigger\.x is not there/);
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
    for (const id of await absentWorkflows(client)) {
      const { status, body } = await post({ workflowId: id });
      expect([status, body.error]).toEqual([404, "workflow_not_found"]);
    }
  });
});

describe("changing a webhook", () => {
  it("changes what is given, leaves the rest and counts the version", async () => {
    const { secret: _, ...webhook } = await createWebhook(client, {
      filter: "request.body.a",
      inputMapping: { a: "{{request.body.a}}" },
    });
    const change = {
      filter: null,
      inputMapping: "{{request.body.b}}",
      allowWait: true,
      enabled: false,
      name: "New",
      workflowVersion: 1,
    };
    const { status, headers, body } = await patch(webhook.id, change);
    expect([status, headers.get("etag")]).toEqual([200, '"2"']);
    expect(body).toEqual({ ...webhook, ...change, version: 2, updatedAt: expect.any(String) });
    expect((await client.request("GET", `/api/webhooks/${webhook.id}`)).body).toEqual(body);
    expect((await patch(webhook.id, {})).body.version).toBe(2);
  });

  it("with a stale If-Match is version_mismatch and changes nothing", async () => {
    const { id } = await createWebhook(client);
    expect((await patch(id, { name: "First" }, { "if-match": '"1"' })).status).toBe(200);
    const stale = await patch(id, { name: "Second" }, { "if-match": "1" });
    expect([stale.status, stale.body.error, stale.body.current]).toEqual([412, "version_mismatch", 2]);
    expect((await client.request("GET", `/api/webhooks/${id}`)).body.name).toBe("First");
    expect((await patch(id, {}, { "if-match": "*" })).body.error).toBe("invalid_if_match");
  });

  it("to what it is already leaves the version as it was", async () => {
    const { secret: _, ...webhook } = await createWebhook(client, {
      verification: { type: "hmac", header: "x-a" },
      inputMapping: { b: ["{{request.body.b}}"], a: null },
    });
    for (const body of [{}, webhook]) {
      const answer = await patch(webhook.id, body);
      expect([answer.status, answer.body]).toEqual([200, webhook]);
    }
  });

  it("lets one of 10 parallel changes with the same If-Match through", async () => {
    const { id } = await createWebhook(client);
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, index) => patch(id, { name: `No. ${index}` }, { "if-match": "1" })),
    );
    expect(answers.map(({ status }) => status).sort()).toEqual([200, ...Array(9).fill(412)]);
  });

  it("moves it to another workflow that is there", async () => {
    const { id, url, workflowId: first } = await createWebhook(client);
    const other = await createWorkflow(client, greeting);
    const { status, body } = await patch(id, { workflowId: other });
    expect([status, body.workflowId, body.version]).toEqual([200, other, 2]);
    const run = await deliver(url, { body: { name: "Ada" } });
    expect((await client.request("GET", `/api/runs/${run.body.runId}`)).body.workflowId).toBe(other);
    for (const workflowId of ["nonsense", randomUUID()]) {
      expect((await patch(id, { workflowId })).body.error).toBe("workflow_not_found");
    }
    const pinned = await patch(id, { workflowId: first, workflowVersion: 9 });
    expect([pinned.status, pinned.body.issues?.[0].path]).toEqual([400, ["workflowVersion"]]);
    expect((await client.request("GET", `/api/webhooks/${id}`)).body.workflowId).toBe(other);
  });

  it("refuses a secret and names the way to change it", async () => {
    const { id } = await createWebhook(client, { verification: "github" });
    const { status, body } = await patch(id, { secret: "another-secret", name: "x" });
    expect([status, body.issues?.[0].path]).toEqual([400, ["secret"]]);
    expect(body.message).toContain("rotate-secret");
    expect((await client.request("GET", `/api/webhooks/${id}`)).body).toMatchObject({ name: "", version: 1 });
  });

  it("keeps the type of the verification and lets its options change", async () => {
    const { id } = await createWebhook(client, { verification: { type: "hmac", header: "x-a" } });
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
