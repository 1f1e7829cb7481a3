import { beforeAll, describe, expect, it } from "vitest";
import { newClient } from "../support/client.js";
import { clockAt } from "../support/clocks.js";
import { createSchedule } from "../support/schedules.js";
import { useClient, useTestServer } from "../support/server-hooks.js";
import { absentWorkflows, createWorkflow, trigger } from "../support/workflows.js";

const START = "2026-11-22T10:00:30.250Z";
const clock = clockAt(START);
const server = useTestServer({ now: clock.now, config: { role: "api" } });
const client = useClient(server);
let workflowId: string;
beforeAll(async () => {
  workflowId = await createWorkflow(client, { blocks: [trigger] });
});

const create = (body: Readonly<Record<string, unknown>>, by = client) =>
  by.request("POST", "/api/schedules", { workflowId, cron: "0 9 * * *", ...body });
const created = (body: Readonly<Record<string, unknown>>) => createSchedule(client, { workflowId, ...body });
const get = (id: string) => client.request("GET", `/api/schedules/${id}`);

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
    const foreign = await createWorkflow(stranger, { blocks: [trigger] });
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
    for (const id of await absentWorkflows(client)) {
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

describe("instants at the ends of the calendar", () => {
  const preview = (body: Record<string, unknown>) =>
    client.request("POST", "/api/schedules/preview", { cron: "* * * * *", ...body });

  it("beyond the year 9999 are none", async () => {
    const last = await created({ startAt: "9999-12-31T23:59:59Z", jitterSeconds: 86_400 });
    expect(last.nextFireAt).toBeNull();
    const paused = await created({ startAt: "9999-12-31T23:59:59Z", enabled: false });
    const resumed = await client.request("PATCH", `/api/schedules/${paused.id}`, { enabled: true });
    expect([resumed.status, resumed.body.nextFireAt]).toEqual([200, null]);
    const leap = await preview({ cron: "0 0 29 2 *", from: "9998-01-01T00:00:00Z" });
    expect([leap.status, leap.body.instants]).toEqual([200, []]);
    const delayed = await preview({ from: "9999-12-31T23:58:00Z", jitterSeconds: 86_400 });
    expect(delayed.body.instants).toEqual(["9999-12-31T23:59:00.000Z"]);
    expect(delayed.body.firings[0].fireAt <= "9999-12-31T23:59:59.999Z").toBe(true);
    expect((await preview({ from: "0001-01-01T00:00:00Z", count: 1 })).body.instants).toEqual([
      "0001-01-01T00:01:00.000Z",
    ]);
    expect((await created({ startAt: "0001-01-01T00:00:00Z" })).startAt).toBe("0001-01-01T00:00:00.000Z");
  });

  it.each([
    "0000-01-01T00:00:00Z",
    "-000001-01-01T00:00:00Z",
    "+010000-01-01T00:00:00Z",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
  ])("%s is no instant of a request", async (instant) => {
    const { id } = await created({ enabled: false });
    for (const [field, answer] of [
      ["startAt", await create({ startAt: instant })],
      ["endAt", await create({ endAt: instant })],
      ["startAt", await client.request("PATCH", `/api/schedules/${id}`, { startAt: instant })],
      ["from", await preview({ from: instant })],
    ] as const) {
      expect([answer.status, answer.body.issues?.[0].path]).toEqual([400, [field]]);
    }
    const between = { from: instant, to: instant };
    expect((await client.request("POST", `/api/schedules/${id}/backfill`, between)).status).toBe(400);
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
