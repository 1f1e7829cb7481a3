import { request } from "node:http";
import { sign } from "@octokit/webhooks-methods";
import { beforeEach, describe, expect, it } from "vitest";
import { waitFor } from "../support/client.js";
import { useClient, useSql, useTestServer } from "../support/server-hooks.js";
import { createWebhook, deliver, deliveriesOf, greeting, webhookRuns } from "../support/webhooks.js";
import { createWorkflow } from "../support/workflows.js";

const server = useTestServer();
const sql = useSql(server);
const client = useClient(server, beforeEach);

const patch = (id: string, body: unknown) => client.request("PATCH", `/api/webhooks/${id}`, body);

describe("changing webhooks while their workflow is removed", () => {
  const changes = [
    { enabled: true },
    { workflowVersion: 1 },
    { enabled: true, workflowVersion: 1, name: "Both" },
    { enabled: false },
  ];

  it("is done or refused, never a server error, and leaves none of them on", async () => {
    const other = await createWorkflow(client, greeting);
    for (let round = 0; round < 15; round += 1) {
      const workflowId = await createWorkflow(client, greeting);
      const hooks = await Promise.all(
        Array.from({ length: 6 }, (_, index) =>
          createWebhook(client, { workflowId, enabled: index % 2 === 0 }),
        ),
      );
      const moved = await createWebhook(client, { workflowId: other });
      const answers = await Promise.all([
        ...hooks.map(({ id }, index) => patch(id, changes[index % changes.length])),
        patch(moved.id, { workflowId }),
        client.request("DELETE", `/api/workflows/${workflowId}`),
        ...hooks.map(({ id }, index) => patch(id, changes[(index + round) % changes.length])),
      ]);
      for (const { status, body } of answers) expect([200, 204, 404], JSON.stringify(body)).toContain(status);
      const { body } = await client.request("GET", `/api/webhooks?workflowId=${workflowId}`);
      expect(body.data.filter(({ enabled }: { enabled: boolean }) => enabled)).toEqual([]);
    }
  });

  it("does not wait for the workflow where the change neither switches on nor moves", async () => {
    const { id, workflowId } = await createWebhook(client);
    await sql.begin(async (tx) => {
      await tx`select from workflows where id = ${workflowId} for update`;
      for (const body of [{ enabled: true }, { workflowVersion: 1 }, { workflowId, name: "New" }]) {
        expect((await patch(id, body)).status).toBe(200);
      }
    });
    expect((await patch(id, { workflowVersion: 2 })).body.issues?.[0].path).toEqual(["workflowVersion"]);
  });
});

/** Statements that wait for a lock in the database of the server. */
const waiting = () =>
  sql`select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;

/**
 * Sends the headers and the beginning of a delivery, lets the server read the webhook, makes the change, and sends the
 * rest: what the sender is answered.
 */
async function deliverAround(
  { url, body, headers }: { url: string; body: string; headers: Record<string, string> },
  change: () => Promise<unknown>,
) {
  const sending = request(url, {
    method: "POST",
    headers: {
      ...headers,
      "content-type": "application/json",
      "content-length": String(Buffer.byteLength(body)),
    },
  });
  const answer = new Promise<{ status: number | undefined; error: unknown }>((resolve, reject) => {
    sending.once("error", reject).once("response", async (response) => {
      const chunks = await response.toArray();
      const { error } = JSON.parse(Buffer.concat(chunks).toString());
      resolve({ status: response.statusCode, error });
    });
  });
  // The webhook is read behind this lock, so it has been read, or is about to be, when the lock is gone.
  await sql.begin(async (tx) => {
    await tx`lock table webhooks in access exclusive mode`;
    sending.write(body.slice(0, 1));
    await waitFor(waiting, ({ length }) => length > 0);
  });
  await change();
  sending.end(body.slice(1));
  return answer;
}

describe("a delivery whose body comes after the webhook was changed", () => {
  const body = JSON.stringify({ name: "Ada" });

  it.each<[string, number, string, (id: string) => Promise<unknown>]>([
    [
      "by a new secret without overlap is not verified",
      401,
      "unauthorized",
      (id) => client.request("POST", `/api/webhooks/${id}/rotate-secret`, { overlapSeconds: 0 }),
    ],
    ["by switching it off", 404, "not_found", (id) => patch(id, { enabled: false })],
    ["by deleting it", 404, "not_found", (id) => client.request("DELETE", `/api/webhooks/${id}`)],
  ])("%s starts no run", async (_, status, error, change) => {
    const { id, url, secret } = await createWebhook(client, { verification: "github" });
    const headers = { "x-hub-signature-256": await sign(secret, body) };
    expect((await deliver(url, { body, headers })).status).toBe(202);
    const answer = await deliverAround({ url, body, headers }, () => change(id));
    expect(answer).toEqual({ status, error });
    expect(await webhookRuns(client)).toHaveLength(1);
  });
});

describe("a delivery to a webhook that is deleted while it is taken", () => {
  it.each([
    ["accepted", { name: "Ada" }],
    ["filtered", {}],
    ["rejected", "{"],
  ])("is not_found where it would be %s", async (verdict, body) => {
    const { id, url } = await createWebhook(client, { filter: "request.body.name" });
    await deliver(url, { body });
    expect(await deliveriesOf(client, id)).toMatchObject([{ verdict }]);
    const deleting = sql.begin(async (tx) => {
      await tx`select from webhooks where id = ${id} for update`;
      const answer = deliver(url, { body });
      await waitFor(waiting, ({ length }) => length > 0);
      await tx`delete from webhooks where id = ${id}`;
      return { answer };
    });
    const { status, body: told } = await (await deleting).answer;
    expect([status, told]).toEqual([404, { error: "not_found", message: "There is no such webhook." }]);
  });

  it("is not_found when it is delivered again", async () => {
    const { id, url } = await createWebhook(client);
    const { body } = await deliver(url, { body: {} });
    const deleting = sql.begin(async (tx) => {
      await tx`select from webhooks where id = ${id} for update`;
      const answer = client.request("POST", `/api/webhooks/${id}/deliveries/${body.deliveryId}/redeliver`);
      await waitFor(waiting, ({ length }) => length > 0);
      await tx`delete from webhooks where id = ${id}`;
      return { answer };
    });
    const again = await (await deleting).answer;
    expect([again.status, again.body.error]).toEqual([404, "not_found"]);
  });
});
