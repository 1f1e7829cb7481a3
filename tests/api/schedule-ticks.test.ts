import { beforeEach, describe, expect, it } from "vitest";
import { createFlowkeepClient } from "../../router/client.js";
import { newClient } from "../support/client.js";
import { useClockAt } from "../support/clocks.js";
import { createSchedule } from "../support/schedules.js";
import { useClient, useTestServer } from "../support/server-hooks.js";
import { block, createWorkflow, edit, walkPages } from "../support/workflows.js";

const START = "2026-11-22T10:00:30.250Z";
const clock = useClockAt(START);
// Without a scheduler of its own the server fires by tick alone, and without a worker its runs stay as they started.
const server = useTestServer({ now: clock.now, config: { role: "api" } });
const client = useClient(server, beforeEach);

const created = (body: Readonly<Record<string, unknown>>) => createSchedule(client, body);

describe("a tick", () => {
  const nothing = { fired: [], failed: [], skippedAlreadyFired: 0, skippedNotMatching: 0, skippedExpired: 0 };
  const tick = async (by = client) => {
    const { status, body } = await by.request("POST", "/api/admin/tick");
    expect(status).toBe(200);
    return body;
  };

  it("of an organization without schedules does nothing", async () => {
    await created({ enabled: false, cron: "* * * * *" });
    expect(await tick()).toEqual(nothing);
  });

  it("fires what matches the minute, also when it was created within it, with the payload as input", async () => {
    const { id, workflowId } = await created({ cron: "0 10 * * *", payload: { name: "Ada", list: [1] } });
    clock.set("2026-11-22T10:00:59.999Z");
    const result = await tick();
    expect(result).toEqual({ ...nothing, fired: [{ scheduleId: id, runId: expect.any(String) }] });
    const { body: run } = await client.request("GET", `/api/runs/${result.fired[0].runId}`);
    expect(run).toMatchObject({
      workflowId,
      workflowVersion: 1,
      input: { name: "Ada", list: [1] },
      createdAt: "2026-11-22T10:00:59.999Z",
    });
    expect(run.trigger).toEqual({
      kind: "schedule",
      scheduleId: id,
      scheduledFor: "2026-11-22T10:00:00.000Z",
      firedAt: "2026-11-22T10:00:59.999Z",
      occurrenceId: (await client.request("GET", `/api/schedules/${id}`)).body.recent[0].id,
    });
  });

  it("fires without payload with {} as input", async () => {
    await created({ cron: "0 10 * * *" });
    const { fired } = await tick();
    expect((await client.request("GET", `/api/runs/${fired[0].runId}`)).body.input).toEqual({});
  });

  it("fires each instant once, and the next instant again", async () => {
    const { id } = await created({ cron: "*/2 * * * *" });
    expect((await tick()).fired).toHaveLength(1);
    expect(await tick()).toEqual({ ...nothing, skippedAlreadyFired: 1 });
    clock.set("2026-11-22T10:00:59.999Z");
    expect(await tick()).toEqual({ ...nothing, skippedAlreadyFired: 1 });
    clock.set("2026-11-22T10:01:00.000Z");
    expect(await tick()).toEqual({ ...nothing, skippedNotMatching: 1 });
    clock.set("2026-11-22T10:02:00.000Z");
    expect((await tick()).fired).toMatchObject([{ scheduleId: id }]);
    const runs = await walkPages(client, "/api/runs?trigger=schedule", 10);
    expect(runs.map((run) => run.trigger.scheduledFor)).toEqual([
      "2026-11-22T10:02:00.000Z",
      "2026-11-22T10:00:00.000Z",
    ]);
  });

  it("counts what does not match, has not begun or is over", async () => {
    await created({ cron: "1 10 * * *" });
    await created({ cron: "0 10 * * *", timezone: "Europe/Berlin" });
    await created({ cron: "* * * * *", startAt: "2026-11-22T10:00:30.251Z" });
    await created({ cron: "* * * * *", endAt: "2026-11-22T10:00:00Z" });
    await created({ cron: "1 1 * * *", endAt: "2026-11-22T09:00:00Z" });
    expect(await tick()).toEqual({ ...nothing, skippedNotMatching: 3, skippedExpired: 2 });
  });

  it("goes by the schedule's time zone and range", async () => {
    const zone = await created({ cron: "0 11 * * *", timezone: "Europe/Berlin" });
    const begun = await created({ cron: "* * * * *", startAt: "2026-11-22T10:00:30.250Z" });
    const ending = await created({ cron: "* * * * *", endAt: "2026-11-22T10:00:00.001Z" });
    const { fired, ...rest } = await tick();
    expect(fired.map(({ scheduleId }: { scheduleId: string }) => scheduleId).sort()).toEqual(
      [zone.id, begun.id, ending.id].sort(),
    );
    expect({ ...rest, fired: [] }).toEqual(nothing);
  });

  it("fires a time that the clock skips or repeats once", async () => {
    await created({ cron: "30 2 * * *", timezone: "Europe/Berlin" });
    const fired: string[] = [];
    for (const instant of [
      "2026-10-25T00:30Z",
      "2026-10-25T01:30Z",
      "2027-03-28T00:30Z",
      "2027-03-28T01:30Z",
    ]) {
      clock.set(instant);
      if ((await tick()).fired.length > 0) fired.push(instant);
    }
    expect(fired).toEqual(["2026-10-25T00:30Z", "2027-03-28T01:30Z"]);
  });

  it("fires once however many ticks come at once", async () => {
    const { id } = await created({ cron: "* * * * *" });
    const results = await Promise.all(Array.from({ length: 10 }, () => tick()));
    expect(results.flatMap(({ fired }) => fired)).toMatchObject([{ scheduleId: id }]);
    expect(results.reduce((sum, { skippedAlreadyFired }) => sum + skippedAlreadyFired, 0)).toBe(9);
    expect(await walkPages(client, "/api/runs", 10)).toHaveLength(1);
  });

  it("reports a workflow that cannot run as failed, once, and fires the others", async () => {
    const empty = await createWorkflow(client);
    const broken = await createWorkflow(client, { blocks: [block("call", "http")] });
    const failing = [
      await created({ workflowId: empty, cron: "* * * * *" }),
      await created({ workflowId: broken, cron: "* * * * *" }),
    ];
    const fine = await created({ cron: "* * * * *" });
    const result = await tick();
    expect(result.fired).toMatchObject([{ scheduleId: fine.id }]);
    expect(result.failed).toEqual(
      expect.arrayContaining([
        {
          scheduleId: failing[0].id,
          error: "The workflow has no enabled block, so there is nothing to run.",
        },
        { scheduleId: failing[1].id, error: expect.stringContaining("url is required by http") },
      ]),
    );
    expect(result.failed).toHaveLength(2);
    expect(await tick()).toEqual({ ...nothing, skippedAlreadyFired: 3 });
    await edit(client, empty, [{ operation_type: "add", block_id: "start", type: "trigger_webhook" }]);
    clock.set("2026-11-22T10:01:00Z");
    expect((await tick()).fired.map(({ scheduleId }: { scheduleId: string }) => scheduleId)).toContain(
      failing[0].id,
    );
  });

  it("leaves schedules of removed workflows and of other organizations alone", async () => {
    const stranger = await newClient(server.url);
    await createSchedule(stranger, { cron: "* * * * *" });
    const { workflowId } = await created({ cron: "* * * * *" });
    await client.request("DELETE", `/api/workflows/${workflowId}`);
    expect(await tick()).toEqual(nothing);
    expect((await tick(stranger)).fired).toHaveLength(1);
  });

  it("runs the newest version of the workflow", async () => {
    const { workflowId } = await created({ cron: "* * * * *" });
    await edit(client, workflowId, [{ operation_type: "update", block_id: "start", name: "Start" }]);
    const { fired } = await tick();
    expect((await client.request("GET", `/api/runs/${fired[0].runId}`)).body.workflowVersion).toBe(2);
  });

  it("answers the same over tRPC", async () => {
    const { id } = await created({ cron: "* * * * *" });
    const trpc = createFlowkeepClient({ url: server.url, apiKey: client.key });
    expect((await trpc.admin.tick.mutate()).fired).toMatchObject([{ scheduleId: id }]);
    expect(await trpc.admin.tick.mutate()).toEqual({ ...nothing, skippedAlreadyFired: 1 });
  });
});
