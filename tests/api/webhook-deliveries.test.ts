import { beforeEach, describe, expect, it } from "vitest";
import { useClient, useSql, useTestServer } from "../support/server-hooks.js";
import { createWebhook, deliver, deliveriesOf, greeting, inputOf, webhookRuns } from "../support/webhooks.js";
import { createWorkflow, edit } from "../support/workflows.js";

const server = useTestServer();
const sql = useSql(server);
const client = useClient(server, beforeEach);

const redeliver = (id: string, deliveryId: string, headers: Record<string, string> = {}) =>
  client.request("POST", `/api/webhooks/${id}/deliveries/${deliveryId}/redeliver`, undefined, headers);

describe("deliveries with the same key", () => {
  it("start one run however many come at once", async () => {
    const { id, url } = await createWebhook(client);
    const sending = { body: { name: "Ada" }, headers: { "idempotency-key": "one" } };
    const answers = await Promise.all(Array.from({ length: 50 }, () => deliver(url, sending)));
    expect(answers.map(({ status }) => status).sort()).toEqual([...Array(49).fill(200), 202]);
    expect(new Set(answers.map(({ body }) => body.runId)).size).toBe(1);
    expect(await webhookRuns(client)).toHaveLength(1);
    const [row] = await sql`
      select count(*)::int from openworkflow.workflow_runs
      where input::jsonb->>'organizationId' = ${client.session.organizationId}`;
    expect(row?.count).toBe(1);
    const rows = await deliveriesOf(client, id);
    const first = rows.find(({ verdict }: { verdict: string }) => verdict === "accepted");
    const others = rows.filter(({ verdict }: { verdict: string }) => verdict === "duplicate");
    expect(others).toHaveLength(49);
    for (const row of others) expect(row).toMatchObject({ repeats: first.id, runId: first.runId });
  });

  it("are told by the key of the webhook, by a number too, and never across webhooks", async () => {
    const one = await createWebhook(client, { deliveryKey: "{{request.body.event.id}}" });
    const { workflowId } = one;
    const two = await createWebhook(client, { workflowId, deliveryKey: "{{request.body.event.id}}" });
    const send = (url: string, id: unknown) => deliver(url, { body: { event: { id } } });
    expect((await send(one.url, 7)).status).toBe(202);
    expect((await send(one.url, "7")).status).toBe(200);
    expect((await send(two.url, 7)).status).toBe(202);
    const long = "x".repeat(10_000);
    expect((await send(one.url, long)).status).toBe(202);
    expect((await send(one.url, long)).status).toBe(200);
    for (const none of [null, "", undefined, {}, true]) {
      expect((await send(one.url, none)).status).toBe(202);
      expect((await send(one.url, none)).status).toBe(202);
    }
  });

  it.each([
    ["JSON", (id: string) => ({ body: `{"id":${id},"note":"no \\"id\\": 1"}` })],
    [
      "JSON in a form",
      (id: string) => ({
        body: `payload=${encodeURIComponent(`{"id":${id}}`)}`,
        headers: { "content-type": "application/x-www-form-urlencoded" },
      }),
    ],
  ])("are told apart by every digit of a number in %s", async (_, sending) => {
    const { id, url } = await createWebhook(client, { deliveryKey: "{{request.body.id}}" });
    const ids = ["820982911946154508", "820982911946154509", "-820982911946154509", "0.12345678901234567891"];
    for (const key of ids) expect((await deliver(url, sending(key))).status).toBe(202);
    for (const key of ids) expect((await deliver(url, sending(key))).body.duplicate).toBe(true);
    const keys = (await deliveriesOf(client, id, "&verdict=accepted")).map(
      (row: { deliveryKey: string }) => row.deliveryKey,
    );
    expect(keys.reverse()).toEqual(ids);
    expect((await deliver(url, { body: { id: ids[0] } })).body.duplicate).toBe(true);
  });

  it("count only once a run was started: what failed or was filtered may come again", async () => {
    const empty = await createWorkflow(client);
    const { id, url } = await createWebhook(client, { workflowId: empty, filter: "request.body.wanted" });
    const send = (wanted: boolean) => deliver(url, { body: { wanted }, headers: { "idempotency-key": "k" } });
    expect((await send(false)).body.filtered).toBe(true);
    expect((await send(true)).body.error).toBe("delivery_failed");
    await edit(client, empty, [{ operation_type: "add", block_id: "start", type: "trigger_webhook" }]);
    expect((await send(true)).status).toBe(202);
    expect((await send(true)).body.duplicate).toBe(true);
    expect(await deliveriesOf(client, id)).toMatchObject([
      { verdict: "duplicate" },
      { verdict: "accepted" },
      { verdict: "failed", reason: "The workflow has no enabled block, so there is nothing to run." },
      { verdict: "filtered" },
    ]);
  });
});

describe("delivering again", () => {
  it("starts a new run from what was sent, with the settings of now, and says which it repeats", async () => {
    const { id, url } = await createWebhook(client);
    const sending = {
      body: { name: "Ada" },
      headers: { "idempotency-key": "k", "x-event": "push" },
      query: "?a=1",
    };
    const first = await deliver(url, sending);
    await client.request("PATCH", `/api/webhooks/${id}`, {
      inputMapping: {
        all: "{{request.body}}",
        event: "{{request.headers.x-event}}",
        a: "{{request.query.a}}",
      },
      filter: "request.body.never",
    });
    const { status, headers, body } = await redeliver(id, first.body.deliveryId);
    expect([status, headers.get("location")]).toEqual([202, `/api/runs/${body.runId}`]);
    expect(body).toEqual({
      runId: expect.any(String),
      deliveryId: expect.any(String),
      repeats: first.body.deliveryId,
    });
    expect(body.runId).not.toBe(first.body.runId);
    expect(await inputOf(client, body.runId)).toEqual({ all: { name: "Ada" }, event: "push", a: "1" });
    const [run] = await webhookRuns(client);
    expect(run.trigger).toEqual({
      kind: "webhook",
      hookId: id,
      deliveryId: body.deliveryId,
      repeats: first.body.deliveryId,
    });
    expect((await deliver(url, sending)).body).toMatchObject({ duplicate: true, runId: first.body.runId });
    expect((await redeliver(id, body.deliveryId)).status).toBe(202);
  });

  it("of a failed one takes its key, so that the sender's next try starts no second run", async () => {
    const empty = await createWorkflow(client);
    const { id, url } = await createWebhook(client, { workflowId: empty });
    const sending = { body: {}, headers: { "idempotency-key": "k" } };
    expect((await deliver(url, sending)).status).toBe(422);
    const [failed] = await deliveriesOf(client, id);
    const refused = await redeliver(id, failed.id);
    expect([refused.status, refused.body]).toEqual([
      422,
      {
        error: "delivery_failed",
        message: "The workflow has no enabled block, so there is nothing to run.",
      },
    ]);
    await edit(client, empty, [{ operation_type: "add", block_id: "start", type: "trigger_webhook" }]);
    const races = await Promise.all(Array.from({ length: 5 }, () => redeliver(id, failed.id)));
    expect(races.map(({ status }) => status).sort()).toEqual([202, 409, 409, 409, 409]);
    const { runId } = races.find(({ status }) => status === 202)?.body ?? {};
    expect((await deliver(url, sending)).body).toMatchObject({ duplicate: true, runId });
    expect(await webhookRuns(client)).toHaveLength(1);
  });

  it("with the same idempotency key starts one run, also when the workflow could not run any more", async () => {
    const { id, url, workflowId } = await createWebhook(client);
    const first = await deliver(url, { body: { name: "Ada" } });
    const second = await deliver(url, { body: { name: "Ada" } });
    const key = { "idempotency-key": "k" };
    const answers = await Promise.all(
      Array.from({ length: 10 }, () => redeliver(id, first.body.deliveryId, key)),
    );
    const [one] = answers;
    expect(one?.body.repeats).toBe(first.body.deliveryId);
    await edit(client, workflowId, [
      { operation_type: "remove", block_id: "greet" },
      { operation_type: "remove", block_id: "start" },
    ]);
    answers.push(await redeliver(id, first.body.deliveryId, key));
    for (const { status, headers, body } of answers) {
      expect([status, headers.get("location"), body]).toEqual([202, `/api/runs/${body.runId}`, one?.body]);
    }
    expect(await webhookRuns(client)).toHaveLength(3);
    expect(await deliveriesOf(client, id)).toHaveLength(3);
    for (const [deliveryId, headers] of [
      [first.body.deliveryId, { "idempotency-key": "other" }],
      [first.body.deliveryId, {}],
      [second.body.deliveryId, key],
    ]) {
      expect((await redeliver(id, deliveryId, headers)).body.error).toBe("delivery_failed");
    }
  });

  it("of a failed one with the same idempotency key is no conflict with itself", async () => {
    const empty = await createWorkflow(client);
    const { id, url } = await createWebhook(client, { workflowId: empty });
    await deliver(url, { body: {}, headers: { "idempotency-key": "of the sender" } });
    const [failed] = await deliveriesOf(client, id);
    await edit(client, empty, [{ operation_type: "add", block_id: "start", type: "trigger_webhook" }]);
    const races = await Promise.all(
      Array.from({ length: 5 }, () => redeliver(id, failed.id, { "idempotency-key": "k" })),
    );
    expect(races.map(({ status }) => status)).toEqual(Array(5).fill(202));
    expect(new Set(races.map(({ body }) => body.runId)).size).toBe(1);
    expect((await redeliver(id, failed.id, { "idempotency-key": "other" })).body.error).toBe("conflict");
  });

  it("is a conflict for what was rejected or a duplicate, and fails without the workflow", async () => {
    const { id, url, workflowId } = await createWebhook(client);
    const sending = { body: {}, headers: { "idempotency-key": "k" } };
    const first = await deliver(url, sending);
    await deliver(url, sending);
    await deliver(url, { body: "{", headers: { "content-type": "application/json" } });
    const [rejected, duplicate] = await deliveriesOf(client, id);
    for (const { id: deliveryId } of [rejected, duplicate]) {
      expect((await redeliver(id, deliveryId)).body.error).toBe("conflict");
    }
    expect((await redeliver(id, duplicate.id)).body.message).toContain(first.body.deliveryId);
    await client.request("DELETE", `/api/workflows/${workflowId}`);
    const { body } = await redeliver(id, first.body.deliveryId);
    expect([body.error, body.message]).toEqual([
      "delivery_failed",
      expect.stringContaining("not there any more"),
    ]);
  });
});

describe("a webhook with a version of its own", () => {
  it("runs that version, others the newest", async () => {
    const workflowId = await createWorkflow(client, greeting);
    await edit(client, workflowId, [{ operation_type: "update", block_id: "greet", name: "Greet" }]);
    const pinned = await createWebhook(client, { workflowId, workflowVersion: 1 });
    const newest = await createWebhook(client, { workflowId });
    await deliver(pinned.url, { body: {} });
    await deliver(newest.url, { body: {} });
    expect(
      (await webhookRuns(client)).map((run: { workflowVersion: number }) => run.workflowVersion),
    ).toEqual([2, 1]);
  });
});

describe("a dispatch that the database refuses", () => {
  it("is dispatch_failed, kept as failed, and can be delivered again", async () => {
    const { id, url } = await createWebhook(client);
    await sql.unsafe(`
      create function refuse_run() returns trigger language plpgsql as $$ begin raise 'internal'; end $$;
      create trigger refuse_run before insert on openworkflow.workflow_runs for each row execute function refuse_run();`);
    const refused = await deliver(url, { body: { name: "Ada" }, headers: { "idempotency-key": "k" } });
    const [failed] = await deliveriesOf(client, id);
    const again = await redeliver(id, failed.id);
    await sql.unsafe("drop function refuse_run() cascade");
    expect([refused.status, refused.body.error]).toEqual([500, "dispatch_failed"]);
    expect([again.status, again.body.error]).toEqual([500, "dispatch_failed"]);
    expect(await webhookRuns(client)).toEqual([]);
    expect(failed).toMatchObject({ verdict: "failed", reason: "The engine did not take the run." });
    expect((await redeliver(id, failed.id)).status).toBe(202);
  });
});
