import { beforeEach, describe, expect, it } from "vitest";
import { waitFor } from "../support/client.js";
import { useClockAt } from "../support/clocks.js";
import { createSchedule } from "../support/schedules.js";
import { useClient, useSql, useTestServer } from "../support/server-hooks.js";
import { block, connect, createWorkflow, transform, trigger, walkPages } from "../support/workflows.js";

const clock = useClockAt("2026-11-22T10:00:30.000Z");
const greeting = { blocks: [trigger, transform("echo", "{{trigger}}")], connections: connect("start>echo") };
const one = useTestServer({ now: clock.now });
const other = useTestServer(() => ({ now: clock.now, databaseUrl: one.databaseUrl }));
const sql = useSql(one);
const alarm = useClient(one);
const client = useClient(one, beforeEach);

const schedule = async (cron: string, more: Readonly<Record<string, unknown>> = {}) =>
  createSchedule(client, { workflowId: await createWorkflow(client, greeting), cron, ...more });

/** Sets the clock; the schedulers sleep by real time, but look at it again when a schedule is created. */
async function moveTo(instant: string): Promise<void> {
  clock.set(instant);
  await createSchedule(alarm, { cron: "@yearly", enabled: false });
}

/** Waits until the scheduler has nothing left to do for the schedule up to `next`, which is null at its end. */
function settled(id: string, next: string | null) {
  return waitFor(
    () => client.request("GET", `/api/schedules/${id}`),
    ({ body }) => body.nextFireAt === next,
  );
}

/** The instants that the schedules of the organization have fired, oldest first. */
async function firings(by = client): Promise<string[]> {
  const runs = await walkPages(by, "/api/runs?trigger=schedule", 100);
  return runs.map((run) => `${run.trigger.scheduleId} ${run.trigger.scheduledFor.slice(5, 16)}`).sort();
}

const occurrences = (id: string) =>
  sql`select scheduled_for, outcome, reason, run_id from schedule_occurrences where schedule_id = ${id}
      order by scheduled_for`;

describe("the scheduler", () => {
  it("fires a schedule at its instant by itself, and the run completes", async () => {
    const { id } = await schedule("1 10 * * *", { payload: { name: "Ada" } });
    await moveTo("2026-11-22T10:00:59.999Z");
    await moveTo("2026-11-22T10:01:00.200Z");
    const { body } = await waitFor(
      () => client.request("GET", "/api/runs?trigger=schedule&state=completed"),
      ({ body: { data } }) => data.length > 0,
    );
    const run = await client.request("GET", `/api/runs/${body.data[0].id}`);
    expect(run.body).toMatchObject({
      input: { name: "Ada" },
      output: { outputs: { start: { name: "Ada" } } },
    });
    expect(run.body.trigger).toEqual({
      kind: "schedule",
      scheduleId: id,
      scheduledFor: "2026-11-22T10:01:00.000Z",
      firedAt: "2026-11-22T10:01:00.200Z",
      occurrenceId: expect.any(String),
    });
    await settled(id, "2026-11-23T10:01:00.000Z");
  });

  it("fires each instant of each schedule once, with two servers and ticks from everywhere at once", async () => {
    const ids = [];
    for (let index = 0; index < 6; index += 1) ids.push((await schedule("* * * * *")).id);
    const tick = (url: string) =>
      fetch(`${url}/api/admin/tick`, { method: "POST", headers: { authorization: `Bearer ${client.key}` } });
    const minutes = ["01", "02", "03", "04"];
    for (const [index, minute] of minutes.entries()) {
      await Promise.all([
        moveTo(`2026-11-22T10:${minute}:00.000Z`),
        ...[one, other, one, other].map(async ({ url }) => expect((await tick(url)).status).toBe(200)),
      ]);
      const next = `2026-11-22T10:0${index + 2}:00.000Z`;
      for (const id of ids) await settled(id, next);
    }
    const expected = ids.flatMap((id) => minutes.map((minute) => `${id} 11-22T10:${minute}`));
    expect(await firings()).toEqual(expected.sort());
  });

  it("fires an instant that it missed once, late, as the newest one that is due", async () => {
    const { id } = await schedule("* * * * *");
    const daily = await schedule("0 9 * * *");
    await moveTo("2026-11-25T08:30:10.000Z");
    await settled(id, "2026-11-25T08:31:00.000Z");
    await settled(daily.id, "2026-11-25T09:00:00.000Z");
    expect(await firings()).toEqual([`${id} 11-25T08:30`, `${daily.id} 11-24T09:00`].sort());
  });

  it("keeps to the range of a schedule, also when it looks after the end", async () => {
    const { id } = await schedule("* * * * *", {
      startAt: "2026-11-22T10:03:00Z",
      endAt: "2026-11-22T10:05:30Z",
    });
    const late = await schedule("* * * * *", { endAt: "2026-11-22T10:02:00Z" });
    await moveTo("2026-11-22T10:02:59.000Z");
    await settled(late.id, null);
    expect(await firings()).toEqual([`${late.id} 11-22T10:01`]);
    await moveTo("2026-11-22T10:03:00.000Z");
    await settled(id, "2026-11-22T10:04:00.000Z");
    await moveTo("2026-11-22T12:00:00.000Z");
    await settled(id, null);
    expect(await firings()).toEqual(
      [`${late.id} 11-22T10:01`, `${id} 11-22T10:03`, `${id} 11-22T10:05`].sort(),
    );
  });

  it.each([
    ["skips", "2027-03-26T12:00:00.000Z", ["2027-03-27T01:30", "2027-03-28T01:30", "2027-03-29T00:30"]],
    ["repeats", "2026-10-23T12:00:00.000Z", ["2026-10-24T00:30", "2026-10-25T00:30", "2026-10-26T01:30"]],
  ])("fires a time that the clock %s once on each day", async (_, start, instants) => {
    clock.set(start);
    const { id } = await schedule("30 2 * * *", { timezone: "Europe/Berlin" });
    for (const [index, instant] of instants.entries()) {
      await settled(id, `${instant}:00.000Z`);
      await moveTo(`${instant}:00.050Z`);
      await waitFor(firings, (fired) => fired.length === index + 1);
      await moveTo(`${instant.slice(0, 11)}02:59:59.000Z`);
    }
    expect(await firings()).toEqual(instants.map((instant) => `${id} ${instant.slice(5)}`).sort());
  });

  it("records a workflow that cannot run as failed and goes on with it and with the others", async () => {
    const broken = await createWorkflow(client, { blocks: [block("call", "http")] });
    const failing = await schedule("* * * * *", { workflowId: broken });
    const fine = await schedule("* * * * *");
    for (const minute of ["01", "02"]) {
      await moveTo(`2026-11-22T10:${minute}:00.000Z`);
      const next = `2026-11-22T10:0${Number(minute) + 1}:00.000Z`;
      await Promise.all([settled(failing.id, next), settled(fine.id, next)]);
    }
    expect(await firings()).toEqual([`${fine.id} 11-22T10:01`, `${fine.id} 11-22T10:02`]);
    const reason = expect.stringContaining("url is required by http");
    expect([...(await occurrences(failing.id))]).toEqual([
      { scheduled_for: new Date("2026-11-22T10:01:00Z"), outcome: "failed", reason, run_id: null },
      { scheduled_for: new Date("2026-11-22T10:02:00Z"), outcome: "failed", reason, run_id: null },
    ]);
  });

  it("goes on with the others when writing one fails, and fires that one once as soon as it can", async () => {
    const stuck = await schedule("* * * * *", { id: "sch_stuck" });
    const fine = await schedule("* * * * *");
    await sql.unsafe(`
      create function refuse_occurrence() returns trigger language plpgsql as $$
      begin
        if new.schedule_id = 'sch_stuck' then raise exception 'no room'; end if;
        return new;
      end $$;
      create trigger refuse before insert on schedule_occurrences
        for each row execute function refuse_occurrence();`);
    try {
      await moveTo("2026-11-22T10:01:00.000Z");
      await settled(fine.id, "2026-11-22T10:02:00.000Z");
      await settled(stuck.id, "2026-11-22T10:01:02.000Z");
      expect(await firings()).toEqual([`${fine.id} 11-22T10:01`]);
    } finally {
      await sql`drop function refuse_occurrence cascade`;
    }
    await moveTo("2026-11-22T10:01:02.000Z");
    await settled(stuck.id, "2026-11-22T10:02:00.000Z");
    expect(await firings()).toEqual([`${fine.id} 11-22T10:01`, `${stuck.id} 11-22T10:01`].sort());
  });

  it("stops with the workflow and with the schedule, and leaves those that are switched off alone", async () => {
    const removed = await createWorkflow(client, greeting);
    const stopped = await schedule("* * * * *", { workflowId: removed });
    const deleted = await schedule("* * * * *");
    await schedule("* * * * *", { enabled: false });
    const control = await schedule("* * * * *");
    await moveTo("2026-11-22T10:01:00.000Z");
    for (const { id } of [stopped, deleted, control]) await settled(id, "2026-11-22T10:02:00.000Z");
    await client.request("DELETE", `/api/workflows/${removed}`);
    await client.request("DELETE", `/api/schedules/${deleted.id}`);
    await moveTo("2026-11-22T10:02:00.000Z");
    await settled(control.id, "2026-11-22T10:03:00.000Z");
    expect((await firings()).filter((firing) => firing.endsWith("10:02"))).toEqual([
      `${control.id} 11-22T10:02`,
    ]);
    expect((await client.request("GET", `/api/schedules/${stopped.id}`)).body).toMatchObject({
      enabled: false,
      nextFireAt: null,
    });
  });
});
