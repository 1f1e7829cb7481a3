import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { createFlowkeepClient } from "../../router/client.js";
import { newClient, type TestClient } from "../support/client.js";
import { startTestServer, type TestServer } from "../support/server.js";
import {
  block,
  clockAt,
  connect,
  createWorkflow,
  edit,
  transform,
  trigger,
  walkPages,
} from "../support/workflows.js";

let server: TestServer;
let client: TestClient;
let workflowId: string;
const START = "2026-11-22T10:00:30.250Z";
const clock = clockAt(START);
const greeting = { blocks: [trigger, transform("echo", "{{trigger}}")], connections: connect("start>echo") };

// Without a scheduler of its own the server fires by tick alone, and without a worker its runs stay as they started.
beforeAll(async () => {
  server = await startTestServer({ now: clock.now, config: { role: "api" } });
  await enterOrganization();
});
beforeEach(() => clock.set(START));
afterAll(() => server.close());

/** From now on the client is of a new organization with one workflow. */
async function enterOrganization(): Promise<void> {
  client = await newClient(server.url);
  workflowId = await createWorkflow(client, greeting);
}

const create = (body: Record<string, unknown>, by = client) =>
  by.request("POST", "/api/schedules", { workflowId, cron: "0 9 * * *", ...body });
const get = (id: string) => client.request("GET", `/api/schedules/${id}`);
const unknownId = "0198c5f2-7b1e-4a39-9d0e-3f5f6a1c2b4d";

async function created(body: Record<string, unknown>) {
  const answer = await create(body);
  expect([answer.status, answer.body.error]).toEqual([201, undefined]);
  return answer.body;
}

describe("creating a schedule", () => {
  it("gives it an id, its defaults, its place and the next instant", async () => {
    const { status, headers, body } = await create({});
    expect(status).toBe(201);
    expect(headers.get("location")).toBe(`/api/schedules/${body.id}`);
    expect(body).toEqual({
      id: expect.stringMatching(/^sch_[0-9a-f]{24}$/),
      workflowId,
      cron: "0 9 * * *",
      timezone: "UTC",
      gap: "next",
      fold: "first",
      payload: null,
      enabled: true,
      stoppedReason: null,
      note: null,
      startAt: null,
      endAt: null,
      overlap: "allow",
      catchup: { mode: "latest", windowSeconds: null, max: 100 },
      maxRuns: null,
      runCount: 0,
      jitterSeconds: 0,
      nextFireAt: "2026-11-23T09:00:00.000Z",
      version: 1,
      createdAt: START,
      updatedAt: START,
    });
    expect(headers.get("etag")).toBe('"1"');
    const read = await client.request("GET", String(headers.get("location")));
    expect([read.status, read.body]).toEqual([200, { ...body, recent: [] }]);
    expect(read.headers.get("etag")).toBe('"1"');
  });

  it("keeps everything that it is given", async () => {
    const full = {
      id: "sch_Mine-1",
      workflowId,
      cron: "@daily",
      timezone: "America/New_York",
      gap: "skip",
      fold: "both",
      payload: { a: [1, null, "ü"], "": {} },
      enabled: false,
      note: "Not before the launch.",
      overlap: "buffer_one",
      catchup: { mode: "all", windowSeconds: 3600, max: 5 },
      maxRuns: 9,
      jitterSeconds: 30,
      startAt: "2026-12-01T00:00:00+01:00",
      endAt: "2027-01-01T00:00:00Z",
    };
    expect(await created(full)).toEqual({
      ...full,
      startAt: "2026-11-30T23:00:00.000Z",
      endAt: "2027-01-01T00:00:00.000Z",
      stoppedReason: null,
      runCount: 0,
      nextFireAt: null,
      version: 1,
      createdAt: START,
      updatedAt: START,
    });
  });

  it("takes an id once in an organization, and again once it is deleted", async () => {
    const first = await created({ id: "sch_mine" });
    const again = await create({ id: "sch_mine", cron: "@hourly" });
    expect(again.status).toBe(409);
    expect(again.body).toEqual({
      error: "conflict",
      message: "A schedule with the id sch_mine exists already.",
    });
    expect((await get("sch_mine")).body).toEqual({ ...first, recent: [] });
    const stranger = await newClient(server.url);
    const foreign = await createWorkflow(stranger, greeting);
    expect((await create({ id: "sch_mine", workflowId: foreign }, stranger)).status).toBe(201);
    await client.request("DELETE", "/api/schedules/sch_mine");
    expect((await create({ id: "sch_mine" })).status).toBe(201);
  });

  it("lets one of 10 parallel requests with the same id through", async () => {
    const answers = await Promise.all(Array.from({ length: 10 }, () => create({ id: "sch_race" })));
    expect(answers.map(({ status }) => status).sort()).toEqual([201, ...Array(9).fill(409)]);
  });

  it.each([
    ["99 99 * * *", "minute"],
    ["* * * * * * *", "this one has 7"],
    ["* * * * * *", "this one has 6"],
    ["*/0 * * * *", "minute"],
    ["", "this one has 0"],
    ["@nope", "@daily"],
    ["H * * * *", "minute"],
    ["0 0 30 2 *", "not valid"],
    ["every day", "this one has 2"],
  ])("refuses the cron expression %j with invalid_cron that says why", async (cron, reason) => {
    for (const answer of [
      await create({ cron }),
      await client.request("POST", "/api/schedules/preview", { cron }),
    ]) {
      expect([answer.status, answer.body.error]).toEqual([400, "invalid_cron"]);
      expect(answer.body.message).toContain(reason);
    }
  });

  it.each([
    ["timezone", { timezone: "Mars/Olympus" }],
    ["timezone", { timezone: "" }],
    ["timezone", { timezone: null }],
    ["endAt", { startAt: "2026-12-01T00:00:00Z", endAt: "2026-12-01T00:00:00Z" }],
    ["startAt", { startAt: "tomorrow" }],
    ["endAt", { endAt: "2026-12-01T00:00:00" }],
    ["enabled", { enabled: "false" }],
    ["payload", { payload: [1] }],
    ["payload", { payload: "text" }],
    ["cron", { cron: 5 }],
    ["id", { id: "mine" }],
    ["id", { id: `sch_${"x".repeat(61)}` }],
    ["id", { id: "sch_with space" }],
  ])("refuses a bad %s with invalid_body on that field: %j", async (field, body) => {
    const answer = await create(body);
    expect(answer.status).toBe(400);
    expect(answer.body).toMatchObject({ error: "invalid_body", issues: [{ path: [field] }] });
  });

  it("for a workflow that is not there, not ours or removed is workflow_not_found", async () => {
    const stranger = await newClient(server.url);
    const foreign = await createWorkflow(stranger, greeting);
    const removed = await createWorkflow(client, greeting);
    await client.request("DELETE", `/api/workflows/${removed}`);
    for (const id of [unknownId, "nonsense", foreign, removed]) {
      const { status, body } = await create({ workflowId: id });
      expect([status, body.error]).toEqual([404, "workflow_not_found"]);
    }
  });

  it.each([
    ["UTC", {}, "2026-11-23T09:00:00.000Z"],
    ["Europe/Berlin", {}, "2026-11-23T08:00:00.000Z"],
    ["Asia/Kolkata", {}, "2026-11-23T03:30:00.000Z"],
    ["UTC", { startAt: "2026-12-24T09:00:00Z" }, "2026-12-24T09:00:00.000Z"],
    ["UTC", { startAt: "2026-12-24T09:00:00.001Z" }, "2026-12-25T09:00:00.000Z"],
    ["UTC", { startAt: "2020-01-01T00:00:00Z" }, "2026-11-23T09:00:00.000Z"],
    ["UTC", { endAt: "2026-11-23T09:00:00.001Z" }, "2026-11-23T09:00:00.000Z"],
    ["UTC", { endAt: "2026-11-23T09:00:00Z" }, null],
    ["UTC", { endAt: "2020-01-01T00:00:00Z" }, null],
  ])("knows the next instant in %s within %j", async (timezone, range, nextFireAt) => {
    expect((await created({ timezone, ...range })).nextFireAt).toBe(nextFireAt);
  });
});

describe("reading and deleting schedules", () => {
  beforeEach(enterOrganization);

  it("lists them newest first, also those of one workflow, in pages without gap or duplicate", async () => {
    const other = await createWorkflow(client, greeting);
    const ids: string[] = [];
    for (let index = 0; index < 7; index += 1) {
      ids.push((await created({ workflowId: index % 2 === 0 ? workflowId : other })).id);
    }
    clock.set("2026-11-22T10:00:31.000Z");
    const newest = await created({ id: "sch_newest" });
    for (const limit of [1, 3, 8]) {
      const rows = await walkPages(client, "/api/schedules", limit);
      expect(rows[0]).toEqual(newest);
      expect(rows.map(({ id }) => id).sort()).toEqual([...ids, newest.id].sort());
      expect(await walkPages(client, `/api/schedules?workflowId=${other}`, limit)).toHaveLength(3);
    }
    for (const id of [unknownId, "nonsense"]) {
      const { status, body } = await client.request("GET", `/api/schedules?workflowId=${id}`);
      expect([status, body.data]).toEqual([200, []]);
    }
  });

  it("deletes one once; then it is not_found and not listed", async () => {
    const { id } = await created({});
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
    const schedule = await trpc.schedules.create.mutate({ workflowId, cron: "0 9 * * *", payload: { n: 1 } });
    expect({ ...schedule, recent: [] }).toEqual((await get(schedule.id)).body);
    expect(await trpc.schedules.get.query({ id: schedule.id })).toEqual({ ...schedule, recent: [] });
    expect((await trpc.schedules.list.query({})).data).toEqual([schedule]);
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

describe("a preview", () => {
  const preview = async (body: Record<string, unknown>) => {
    const answer = await client.request("POST", "/api/schedules/preview", body);
    expect([answer.status, answer.body.error]).toEqual([200, undefined]);
    return answer.body.instants.map((instant: string) => instant.slice(5, 16));
  };

  it("gives five instants after now in UTC unless it is told otherwise", async () => {
    expect(await preview({ cron: "0 */6 * * *" })).toEqual([
      "11-22T12:00",
      "11-22T18:00",
      "11-23T00:00",
      "11-23T06:00",
      "11-23T12:00",
    ]);
  });

  it.each([
    ["Europe/Berlin", "0 9 * * *", "2026-10-23T12:00:00Z", ["10-24T07:00", "10-25T08:00", "10-26T08:00"]],
    ["Europe/Berlin", "0 9 * * *", "2027-03-26T12:00:00Z", ["03-27T08:00", "03-28T07:00", "03-29T07:00"]],
    ["Europe/Berlin", "30 2 * * *", "2027-03-27T12:00:00Z", ["03-28T01:30", "03-29T00:30", "03-30T00:30"]],
    ["Europe/Berlin", "30 2 * * *", "2026-10-24T12:00:00Z", ["10-25T00:30", "10-26T01:30", "10-27T01:30"]],
    ["America/New_York", "0 9 * * *", "2026-10-31T20:00:00Z", ["11-01T14:00", "11-02T14:00", "11-03T14:00"]],
    ["America/New_York", "0 9 * * *", "2027-03-13T20:00:00Z", ["03-14T13:00", "03-15T13:00", "03-16T13:00"]],
    ["America/New_York", "0 * * * *", "2026-11-01T04:30:00Z", ["11-01T05:00", "11-01T06:00", "11-01T07:00"]],
  ])("keeps the wall time over a clock change: %s %s after %s", async (timezone, cron, from, instants) => {
    expect(await preview({ cron, timezone, from, count: 3 })).toEqual(instants);
  });

  it("refuses a bad time zone, count or start", async () => {
    for (const [field, value] of [
      ["timezone", "Nowhere"],
      ["count", 0],
      ["count", 101],
      ["count", "5"],
      ["from", "now"],
    ] as const) {
      const answer = await client.request("POST", "/api/schedules/preview", {
        cron: "@daily",
        [field]: value,
      });
      expect([answer.status, answer.body.issues?.[0].path]).toEqual([400, [field]]);
    }
    expect(await preview({ cron: "@hourly", count: 100 })).toHaveLength(100);
  });
});

describe("a tick", () => {
  beforeEach(enterOrganization);

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
    const { id } = await created({ cron: "0 10 * * *", payload: { name: "Ada", list: [1] } });
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
      occurrenceId: (await get(id)).body.recent[0].id,
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
    const foreign = await createWorkflow(stranger, greeting);
    await create({ workflowId: foreign, cron: "* * * * *" }, stranger);
    await created({ cron: "* * * * *" });
    await client.request("DELETE", `/api/workflows/${workflowId}`);
    expect(await tick()).toEqual(nothing);
    expect((await tick(stranger)).fired).toHaveLength(1);
  });

  it("runs the newest version of the workflow", async () => {
    await created({ cron: "* * * * *" });
    await edit(client, workflowId, [{ operation_type: "update", block_id: "echo", name: "Echo" }]);
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
