import type { TransactionSql } from "postgres";
import { describe, expect, it } from "vitest";
import { endedRun, waitFor } from "../support/client.js";
import { useClient, useSql, useTestServer } from "../support/server-hooks.js";
import {
  block,
  connect,
  createWorkflow,
  startWaiting,
  transform,
  trigger,
  walkPages,
} from "../support/workflows.js";

const server = useTestServer();
const sql = useSql(server);
const client = useClient(server);

describe("removing a workflow", () => {
  it("is 204 once, then the workflow is nowhere any more", async () => {
    const id = await createWorkflow(client, { blocks: [trigger] });
    const removed = await client.request("DELETE", `/api/workflows/${id}`);
    expect([removed.status, removed.body]).toEqual([204, null]);
    const rest: [string, string, unknown?][] = [
      ["DELETE", ""],
      ["GET", ""],
      ["PUT", "", { workflow: { blocks: [trigger] } }],
      ["POST", "/operations", { ops: [] }],
      ["GET", "/versions"],
      ["GET", "/versions/1"],
      ["POST", "/versions/1/restore"],
      ["POST", "/run", {}],
    ];
    for (const [method, path, body] of rest) {
      const answer = await client.request(method, `/api/workflows/${id}${path}`, body);
      expect([method, path, answer.status, answer.body.error]).toEqual([method, path, 404, "not_found"]);
    }
    const listed = await walkPages(client, "/api/workflows", 100);
    expect(listed.map((row) => row.id)).not.toContain(id);
  });

  it("lets a run that waits finish with the document it started with", async () => {
    const id = await createWorkflow(client, {
      blocks: [block("pause", "wait_for_event", { eventName: "go on" }), transform("after", "done")],
      connections: connect("pause>after"),
    });
    const runId = await startWaiting(client, id);
    await client.request("DELETE", `/api/workflows/${id}`);
    await client.request("POST", "/api/signals", { name: "go on" });
    const run = await endedRun(client, runId);
    expect(run).toMatchObject({ state: "completed", output: { outputs: { after: { result: "done" } } } });
  });

  it("locks its schedules in the order of their ids, as those who fire several do", async () => {
    const workflowId = await createWorkflow(client, { blocks: [trigger] });
    for (const id of ["sch_z", "sch_a"]) {
      const created = await client.request("POST", "/api/schedules", { id, workflowId, cron: "0 9 * * *" });
      expect(created.status).toBe(201);
    }
    const lock = (each: TransactionSql, id: string) =>
      each`select from schedules where id = ${id} for no key update`;
    let removing: ReturnType<typeof client.request> | undefined;
    await sql.begin(async (holder) => {
      await lock(holder, "sch_a");
      removing = client.request("DELETE", `/api/workflows/${workflowId}`);
      await waitFor(
        () =>
          sql`select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
        ({ length }) => length === 1,
      );
      await lock(holder, "sch_z");
    });
    expect((await removing)?.status).toBe(204);
  });

  it("switches its schedules off and says why", async () => {
    const id = await createWorkflow(client, { blocks: [trigger] });
    const other = await createWorkflow(client, { blocks: [trigger] });
    const schedule = (workflowId: string) =>
      client.request("POST", "/api/schedules", { workflowId, cron: "0 9 * * *" });
    const [{ body: stopped }, { body: kept }] = await Promise.all([schedule(id), schedule(other)]);
    await client.request("DELETE", `/api/workflows/${id}`);
    expect((await client.request("GET", `/api/schedules/${stopped.id}`)).body).toMatchObject({
      enabled: false,
      nextFireAt: null,
      stoppedReason: "The workflow was removed.",
    });
    expect((await client.request("GET", `/api/schedules/${kept.id}`)).body).toEqual({ ...kept, recent: [] });
  });

  it("leaves no schedule switched on that was created at the same moment", async () => {
    const rounds = Array.from({ length: 15 }, async () => {
      const workflowId = await createWorkflow(client, { blocks: [trigger] });
      const [created, removed] = await Promise.all([
        client.request("POST", "/api/schedules", { workflowId, cron: "0 9 * * *" }),
        client.request("DELETE", `/api/workflows/${workflowId}`),
      ]);
      expect(removed.status).toBe(204);
      if (created.status === 404) return created.body.error;
      return (await client.request("GET", `/api/schedules/${created.body.id}`)).body.stoppedReason;
    });
    const outcomes = new Set(await Promise.all(rounds));
    outcomes.delete("workflow_not_found");
    outcomes.delete("The workflow was removed.");
    expect([...outcomes]).toEqual([]);
  });
});
