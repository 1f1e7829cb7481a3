import { describe, expect, it } from "vitest";
import { createFlowkeepClient } from "../../router/client.js";
import { useClockAt } from "../support/clocks.js";
import { createSchedule } from "../support/schedules.js";
import { useClient, useTestServer } from "../support/server-hooks.js";
import { createWorkflow, trigger } from "../support/workflows.js";

const START = "2026-11-22T10:00:30.250Z";
const clock = useClockAt(START);
const runnable = { blocks: [trigger] };
const server = useTestServer({ now: clock.now, config: { role: "api" } });
const client = useClient(server);

const created = (body: Readonly<Record<string, unknown>> = {}) => createSchedule(client, body);
const change = (id: string, body: unknown, headers: Record<string, string> = {}) =>
  client.request("PATCH", `/api/schedules/${id}`, body, headers);
const get = async (id: string) => (await client.request("GET", `/api/schedules/${id}`)).body;

describe("changing a schedule", () => {
  it("changes what is given and nothing else, raises the version and answers with it as ETag", async () => {
    const { id, ...before } = await created({ payload: { n: 1 }, note: "first" });
    clock.set("2026-11-22T11:00:00.000Z");
    const { status, headers, body } = await change(id, { cron: "30 12 * * *", catchup: { mode: "all" } });
    expect([status, headers.get("etag")]).toEqual([200, '"2"']);
    const expected = {
      ...before,
      id,
      cron: "30 12 * * *",
      catchup: { mode: "all", windowSeconds: null, max: 100 },
      nextFireAt: "2026-11-22T12:30:00.000Z",
      version: 2,
      updatedAt: "2026-11-22T11:00:00.000Z",
    };
    expect(body).toEqual(expected);
    expect(await get(id)).toEqual({ ...expected, recent: [] });
  });

  it("takes every field, and null clears those that may be absent", async () => {
    const { id } = await created();
    const other = await createWorkflow(client, runnable);
    const all = {
      workflowId: other,
      cron: "@hourly",
      timezone: "Asia/Kolkata",
      gap: "skip",
      fold: "both",
      payload: { a: 1 },
      enabled: true,
      note: "words",
      startAt: "2026-12-01T00:00:00.000Z",
      endAt: "2027-01-01T00:00:00.000Z",
      overlap: "skip",
      catchup: { mode: "none", windowSeconds: 60, max: 7 },
      maxRuns: 3,
      jitterSeconds: 10,
    };
    expect((await change(id, all)).body).toMatchObject(all);
    const cleared = { payload: null, note: null, startAt: null, endAt: null, maxRuns: null };
    const { body } = await change(id, { ...cleared, catchup: { windowSeconds: null } });
    expect(body).toMatchObject({
      ...cleared,
      catchup: { mode: "none", windowSeconds: null, max: 7 },
      version: 3,
    });
  });

  it("that changes nothing leaves the version as it was", async () => {
    const { id, cron } = await created();
    expect((await change(id, { cron, timezone: "UTC", catchup: {} })).body).toMatchObject({ version: 1 });
    expect((await change(id, {})).body).toMatchObject({ version: 1, updatedAt: START });
  });

  it("with the version of an older read is version_mismatch and changes nothing", async () => {
    const { id } = await created();
    expect((await change(id, { note: "one" }, { "if-match": '"1"' })).status).toBe(200);
    const stale = await change(id, { note: "two" }, { "if-match": "1" });
    expect(stale.status).toBe(412);
    expect(stale.body).toEqual({
      error: "version_mismatch",
      message: "The schedule was changed since the version you sent.",
      current: 2,
    });
    expect(await get(id)).toMatchObject({ note: "one", version: 2 });
    expect((await change(id, { note: "two" }, { "if-match": "*" })).body.error).toBe("invalid_if_match");
    const trpc = createFlowkeepClient({ url: server.url, apiKey: client.key });
    await expect(trpc.schedules.update.mutate({ id, expectedVersion: 1 })).rejects.toMatchObject({
      data: { error: "version_mismatch", current: 2 },
    });
  });

  it("lets one of 10 parallel changes of the same version through", async () => {
    const { id } = await created();
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, index) => change(id, { note: `${index}` }, { "if-match": "1" })),
    );
    expect(answers.map(({ status }) => status).sort()).toEqual([200, ...Array(9).fill(412)]);
  });

  it.each([
    ["invalid_cron", "hour", { cron: "0 25 * * *" }],
    ["invalid_body", "timezone", { timezone: "Mars/Olympus" }],
    ["invalid_body", "cron", { cron: null }],
    ["invalid_body", "enabled", { enabled: "true" }],
    ["invalid_body", "maxRuns", { maxRuns: 0 }],
    ["invalid_body", "jitterSeconds", { jitterSeconds: 86_401 }],
    ["invalid_body", "overlap", { overlap: "wait" }],
    ["invalid_body", "gap", { gap: "first" }],
    ["invalid_body", "catchup", { catchup: { mode: "some" } }],
    ["invalid_body", "catchup", { catchup: { count: 1 } }],
    ["invalid_body", "endAt", { endAt: "2026-11-30T00:00:00Z" }],
  ])("refuses what makes no schedule as %s and names %s: %j", async (code, name, body) => {
    const { id } = await created({ startAt: "2026-12-01T00:00:00Z" });
    const answer = await change(id, body);
    expect([answer.status, answer.body.error]).toEqual([400, code]);
    expect(JSON.stringify(answer.body)).toContain(name);
    expect(await get(id)).toMatchObject({ version: 1 });
  });

  it("to a workflow that is not there is workflow_not_found", async () => {
    const { id } = await created();
    const { status, body } = await change(id, { workflowId: crypto.randomUUID() });
    expect([status, body.error]).toEqual([404, "workflow_not_found"]);
  });
});

describe("pausing and resuming", () => {
  it("keeps the note, has no next instant meanwhile, and counts from the moment of resuming", async () => {
    const { id } = await created();
    const paused = await change(id, { enabled: false, note: "Closed until Monday." });
    expect(paused.body).toMatchObject({ enabled: false, note: "Closed until Monday.", nextFireAt: null });
    clock.set("2026-11-30T08:00:00.000Z");
    const resumed = await change(id, { enabled: true, note: null });
    expect(resumed.body).toMatchObject({ enabled: true, note: null, nextFireAt: "2026-11-30T09:00:00.000Z" });
    expect((await get(id)).recent).toEqual([]);
  });

  it("of a schedule that the server stopped says why, and works once its reason is gone", async () => {
    const { id } = await created({ cron: "* * * * *", maxRuns: 1 });
    const tick = async () => (await client.request("POST", "/api/admin/tick")).body.fired.length;
    expect(await tick()).toBe(1);
    const stoppedReason = "The schedule has started its 1 run (maxRuns).";
    expect(await get(id)).toMatchObject({ enabled: false, stoppedReason, runCount: 1, version: 2 });
    const again = await change(id, { enabled: true });
    expect([again.status, again.body.error]).toEqual([409, "conflict"]);
    expect(again.body.message).toContain("maxRuns");
    const raised = await change(id, { enabled: true, maxRuns: 2 });
    expect(raised.body).toMatchObject({ enabled: true, stoppedReason: null, runCount: 1 });
    clock.set("2026-11-22T10:01:00.000Z");
    expect(await tick()).toBe(1);
    expect(await get(id)).toMatchObject({ enabled: false, runCount: 2 });
  });

  it("is not what a schedule needs that has no instant left: it says why, and a later endAt lets it go on", async () => {
    const { id } = await created({ endAt: "2026-11-23T09:00:00.000Z" });
    const stoppedReason = expect.stringContaining("endAt (2026-11-23T09:00:00.000Z)");
    expect(await get(id)).toMatchObject({ enabled: true, nextFireAt: null, stoppedReason });
    expect((await change(id, { enabled: false })).body).toMatchObject({ stoppedReason: null });
    expect((await change(id, { enabled: true })).body).toMatchObject({ stoppedReason });
    const { body } = await change(id, { endAt: "2026-11-23T09:00:00.001Z" });
    expect(body).toMatchObject({ stoppedReason: null, nextFireAt: "2026-11-23T09:00:00.000Z" });
  });

  it("of a schedule whose workflow was removed needs another workflow", async () => {
    const { id, workflowId } = await created();
    await client.request("DELETE", `/api/workflows/${workflowId}`);
    expect(await get(id)).toMatchObject({
      enabled: false,
      stoppedReason: "The workflow was removed.",
      version: 2,
    });
    expect((await change(id, { enabled: true })).body.error).toBe("workflow_not_found");
    const other = await createWorkflow(client, runnable);
    expect((await change(id, { enabled: true, workflowId: other })).body).toMatchObject({
      enabled: true,
      stoppedReason: null,
    });
  });
});

describe("removing the workflow of a schedule", () => {
  it("keeps a row of the instant that was due", async () => {
    clock.set(START);
    const { id, workflowId } = await created({ cron: "* * * * *" });
    clock.set("2026-11-22T10:01:00.000Z");
    await client.request("DELETE", `/api/workflows/${workflowId}`);
    const { enabled, recent } = await get(id);
    expect(enabled).toBe(false);
    expect(recent).toMatchObject([
      {
        scheduledFor: "2026-11-22T10:01:00.000Z",
        outcome: "pending",
        nextAttemptAt: "2026-11-22T10:01:00.000Z",
      },
    ]);
  });
});

describe("a run that is started by hand", () => {
  it("has its own row, the given payload or the schedule's, and does not count", async () => {
    const { id } = await created({ enabled: false, payload: { name: "Ada" }, maxRuns: 1 });
    const answer = await client.request("POST", `/api/schedules/${id}/trigger`, {
      payload: { name: "Grace" },
    });
    expect(answer.status).toBe(202);
    expect(answer.headers.get("location")).toBe(`/api/runs/${answer.body.runId}`);
    clock.set("2026-11-22T10:00:30.251Z");
    const plain = await client.request("POST", `/api/schedules/${id}/trigger`);
    const inputs = [answer, plain].map(async ({ body: { runId } }) => {
      const { body } = await client.request("GET", `/api/runs/${runId}`);
      return [body.input, body.trigger.occurrenceId];
    });
    expect(await Promise.all(inputs)).toEqual([
      [{ name: "Grace" }, answer.body.occurrenceId],
      [{ name: "Ada" }, plain.body.occurrenceId],
    ]);
    const { recent, runCount } = await get(id);
    expect(runCount).toBe(0);
    expect(recent).toEqual([
      expect.objectContaining({ kind: "manual", outcome: "fired", runId: plain.body.runId }),
      expect.objectContaining({ scheduledFor: START, firedAt: START, runId: answer.body.runId, attempts: 1 }),
    ]);
  });

  it("does not take an instant of the calendar", async () => {
    clock.set("2026-11-22T10:00:00.000Z");
    const { id } = await created({ cron: "0 10 * * *" });
    await client.request("POST", `/api/schedules/${id}/trigger`);
    expect((await client.request("POST", "/api/admin/tick")).body.fired).toMatchObject([{ scheduleId: id }]);
    expect((await get(id)).recent).toHaveLength(2);
  });

  it("of a workflow that cannot run is refused and leaves no row", async () => {
    const empty = await createWorkflow(client);
    const { id } = await created({ workflowId: empty });
    const refused = await client.request("POST", `/api/schedules/${id}/trigger`);
    expect([refused.status, refused.body.error]).toEqual([422, "workflow_invalid"]);
    await client.request("DELETE", `/api/workflows/${empty}`);
    expect((await client.request("POST", `/api/schedules/${id}/trigger`)).body.error).toBe(
      "workflow_not_found",
    );
    expect((await get(id)).recent).toEqual([]);
  });
});

describe("an idempotency key of a run that is started by hand", () => {
  const start = (id: string, body: unknown, headers: Record<string, string> = {}) =>
    client.request("POST", `/api/schedules/${id}/trigger`, body, headers);

  it("gives the first run again, in the body or the header, with the same payload or none", async () => {
    const { id } = await created({ payload: { name: "Ada" } });
    const { body: first } = await start(id, { payload: { a: 1, b: -0 }, idempotencyKey: "k" });
    await change(id, { payload: { name: "Grace" } });
    for (const again of [
      await start(id, { payload: { b: 0, a: 1 } }, { "idempotency-key": "k" }),
      await start(id, undefined, { "idempotency-key": "k" }),
      await start(id, { idempotencyKey: "k" }),
    ]) {
      expect([again.status, again.body]).toEqual([202, first]);
      expect(again.headers.get("location")).toBe(`/api/runs/${first.runId}`);
    }
    expect((await get(id)).recent).toHaveLength(1);
  });

  it("with another payload is idempotency_key_reused and names the first run", async () => {
    const { id } = await created({ payload: { name: "Ada" } });
    const { body: first } = await start(id, { idempotencyKey: "k" });
    const other = await start(id, { payload: { name: "Grace" }, idempotencyKey: "k" });
    expect(other.status).toBe(422);
    expect(other.body).toMatchObject({ error: "idempotency_key_reused", runId: first.runId });
    expect((await start(id, { payload: { name: "Ada" }, idempotencyKey: "k" })).body).toEqual(first);
  });

  it("starts one run however many requests come at once", async () => {
    const { id } = await created();
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => start(id, { idempotencyKey: "at-once" })),
    );
    expect(new Set(answers.map(({ status, body }) => `${status} ${body.runId}`)).size).toBe(1);
    expect((await get(id)).recent).toHaveLength(1);
  });

  it("belongs to one schedule, and holds also when the workflow cannot run any more", async () => {
    const [one, other] = [await created(), await created()];
    const { body: first } = await start(one.id, { idempotencyKey: "shared" });
    expect((await start(other.id, { idempotencyKey: "shared" })).body.runId).not.toBe(first.runId);
    await client.request("DELETE", `/api/workflows/${one.workflowId}`);
    expect((await start(one.id, { idempotencyKey: "shared" })).body).toEqual(first);
    expect((await start(one.id, { idempotencyKey: "new" })).body.error).toBe("workflow_not_found");
  });
});

describe("a preview", () => {
  const preview = async (body: Record<string, unknown>) =>
    (await client.request("POST", "/api/schedules/preview", body)).body;

  it("goes by range, gap and fold", async () => {
    const berlin = { cron: "30 2 * * *", timezone: "Europe/Berlin", count: 2 };
    const spring = { ...berlin, from: "2027-03-27T12:00:00Z" };
    expect((await preview({ ...spring, gap: "skip" })).instants).toEqual([
      "2027-03-29T00:30:00.000Z",
      "2027-03-30T00:30:00.000Z",
    ]);
    const autumn = { ...berlin, from: "2026-10-24T12:00:00Z", fold: "both" };
    expect((await preview(autumn)).instants).toEqual([
      "2026-10-25T00:30:00.000Z",
      "2026-10-25T01:30:00.000Z",
    ]);
    const range = { startAt: "2027-01-01T00:00:00Z", endAt: "2027-01-02T12:00:00Z" };
    expect((await preview({ cron: "@daily", ...range, count: 9 })).instants).toEqual([
      "2027-01-01T00:00:00.000Z",
      "2027-01-02T00:00:00.000Z",
    ]);
  });

  it("tells when the runs of a schedule start with its jitter, the same as the schedule does", async () => {
    const calendar = { cron: "*/5 * * * *", jitterSeconds: 600 };
    const { id, nextFireAt } = await created(calendar);
    const { firings } = await preview({ ...calendar, id, count: 50 });
    expect(firings[0].fireAt).toBe(nextFireAt);
    const delays = firings.map(
      (firing: { scheduledFor: string; fireAt: string }) =>
        Date.parse(firing.fireAt) - Date.parse(firing.scheduledFor),
    );
    expect(Math.min(...delays)).toBeGreaterThanOrEqual(0);
    // Never past the next instant, whatever the jitter.
    expect(Math.max(...delays)).toBeLessThan(300_000);
    expect(new Set(delays).size).toBeGreaterThan(40);
    expect((await preview({ ...calendar, id, count: 50 })).firings).toEqual(firings);
    expect((await preview({ ...calendar, id: "sch_other", count: 50 })).firings).not.toEqual(firings);
  });
});
