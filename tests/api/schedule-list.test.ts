import { beforeEach, describe, expect, it } from "vitest";
import { createFlowkeepClient } from "../../router/client.js";
import { useClockAt } from "../support/clocks.js";
import { createSchedule } from "../support/schedules.js";
import { useClient, useTestServer } from "../support/server-hooks.js";
import { createWorkflow, trigger, UNKNOWN_ID, walkPages } from "../support/workflows.js";

const START = "2026-11-22T10:00:30.250Z";
const clock = useClockAt(START);
const server = useTestServer({ now: clock.now, config: { role: "api" } });
const client = useClient(server, beforeEach);

describe("reading and deleting schedules", () => {
  it("lists them newest first without their payloads, also those of one workflow, in pages without gap or duplicate", async () => {
    const workflowId = await createWorkflow(client, { blocks: [trigger] });
    const other = await createWorkflow(client, { blocks: [trigger] });
    const ids: string[] = [];
    for (let index = 0; index < 7; index += 1) {
      ids.push((await createSchedule(client, { workflowId: index % 2 === 0 ? workflowId : other })).id);
    }
    clock.set("2026-11-22T10:00:31.000Z");
    const newest = await createSchedule(client, { id: "sch_newest" });
    for (const limit of [1, 3, 8]) {
      const rows = await walkPages(client, "/api/schedules", limit);
      const { payload: _, ...listed } = newest;
      expect(rows[0]).toEqual(listed);
      expect(rows.map(({ id }) => id).sort()).toEqual([...ids, newest.id].sort());
      expect(await walkPages(client, `/api/schedules?workflowId=${other}`, limit)).toHaveLength(3);
    }
    for (const id of [UNKNOWN_ID, "nonsense"]) {
      const { status, body } = await client.request("GET", `/api/schedules?workflowId=${id}`);
      expect([status, body.data]).toEqual([200, []]);
    }
  });

  it("deletes one once; then it is not_found and not listed", async () => {
    const { id } = await createSchedule(client);
    const deleted = await client.request("DELETE", `/api/schedules/${id}`);
    expect([deleted.status, deleted.body]).toEqual([204, null]);
    for (const method of ["GET", "DELETE"]) {
      const answer = await client.request(method, `/api/schedules/${id}`);
      expect([answer.status, answer.body.error]).toEqual([404, "not_found"]);
    }
    expect(await walkPages(client, "/api/schedules", 10)).toEqual([]);
  });

  it("answers the same over tRPC", async () => {
    const trpc = createFlowkeepClient({ url: server.url, apiKey: client.key });
    const workflowId = await createWorkflow(client, { blocks: [trigger] });
    const schedule = await trpc.schedules.create.mutate({ workflowId, cron: "0 9 * * *", payload: { n: 1 } });
    expect({ ...schedule, recent: [] }).toEqual(
      (await client.request("GET", `/api/schedules/${schedule.id}`)).body,
    );
    expect(await trpc.schedules.get.query({ id: schedule.id })).toEqual({ ...schedule, recent: [] });
    const { payload: _, ...listed } = schedule;
    expect((await trpc.schedules.list.query({})).data).toEqual([listed]);
    expect((await trpc.schedules.preview.query({ cron: "@daily", count: 1 })).instants).toEqual([
      "2026-11-23T00:00:00.000Z",
    ]);
    await expect(trpc.schedules.create.mutate({ workflowId, cron: "99 99 * * *" })).rejects.toMatchObject({
      data: { error: "invalid_cron", httpStatus: 400 },
    });
    await trpc.schedules.remove.mutate({ id: schedule.id });
    await expect(trpc.schedules.get.query({ id: schedule.id })).rejects.toMatchObject({
      data: { error: "not_found", httpStatus: 404 },
    });
  });
});
