import { beforeEach, describe, expect, it } from "vitest";
import { useClient, useSql, useTestServer } from "../support/server-hooks.js";
import { createWebhook, greeting } from "../support/webhooks.js";
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
