import postgres from "postgres";
import { beforeEach, describe, expect, it } from "vitest";
import { waitFor } from "../support/client.js";
import { useClockAt } from "../support/clocks.js";
import { schedulesOf } from "../support/schedules.js";
import { useClient, useSql, useTestServer } from "../support/server-hooks.js";
import { createWorkflow, wait } from "../support/workflows.js";

/** A run of it lasts until it is canceled. */
const lasting = { blocks: [wait("pause", 1, "h")] };

const clock = useClockAt("2026-11-22T10:00:30.000Z");
const server = useTestServer({ now: clock.now });
const sql = useSql(server);
const client = useClient(server, beforeEach);
const { schedule, moveTo, get, ledger, ledgerOf, runOf, stateOf } = schedulesOf(client, { clock, sql });

/** Keeps everybody else from the row of a schedule until the returned function is called. */
async function holdSchedule(id: string): Promise<() => Promise<void>> {
  const holder = postgres(server.databaseUrl, { max: 1, onnotice: () => {} });
  await holder`begin`;
  await holder`select from schedules where id = ${id} for update`;
  return () => holder.end();
}

describe("overlap", () => {
  const scheduleLasting = async (more: Readonly<Record<string, unknown>> = {}) =>
    schedule({ workflowId: await createWorkflow(client, lasting), ...more });

  it("allow starts beside the run before", async () => {
    const id = await scheduleLasting();
    await moveTo("2026-11-22T10:01:00Z");
    await ledgerOf(id, 1);
    await moveTo("2026-11-22T10:02:00Z");
    expect(await ledgerOf(id, 2)).toEqual(["10:01 fired", "10:02 fired"]);
  });

  it("skip leaves instants out until the run before has ended", async () => {
    const id = await scheduleLasting({ overlap: "skip" });
    await moveTo("2026-11-22T10:01:00Z");
    await ledgerOf(id, 1);
    await moveTo("2026-11-22T10:02:00Z");
    await ledgerOf(id, 2);
    const runId = await runOf(id, "10:01");
    const { recent } = await get(id);
    expect(recent[0]).toMatchObject({
      outcome: "skipped_overlap",
      reason: `The run ${runId} had not ended.`,
      runId: null,
      firedAt: null,
    });
    await client.request("POST", `/api/runs/${runId}/cancel`);
    await moveTo("2026-11-22T10:03:00Z");
    expect(await ledgerOf(id, 3)).toEqual(["10:01 fired", "10:02 skipped_overlap", "10:03 fired"]);
    expect(await get(id)).toMatchObject({ runCount: 2 });
  });

  it("buffer_one lets one instant wait, and starts it when the run before ends, without the clock moving", async () => {
    const id = await scheduleLasting({ overlap: "buffer_one" });
    for (const [index, minute] of ["10:01", "10:02", "10:03"].entries()) {
      await moveTo(`2026-11-22T${minute}:00Z`);
      await ledgerOf(id, index + 1);
    }
    expect(await ledgerOf(id, 3)).toEqual(["10:01 fired", "10:02 pending", "10:03 skipped_overlap"]);
    await client.request("POST", `/api/runs/${await runOf(id, "10:01")}/cancel`);
    const rows = await ledger(id, ([, second]) => second !== "10:02 pending");
    expect(rows).toEqual(["10:01 fired", "10:02 fired", "10:03 skipped_overlap"]);
    expect((await get(id)).recent[1]).toMatchObject({ firedAt: "2026-11-22T10:03:00.000Z", reason: null });
  });

  it("cancel_previous ends the run before", async () => {
    const id = await scheduleLasting({ overlap: "cancel_previous" });
    await moveTo("2026-11-22T10:01:00Z");
    await ledgerOf(id, 1);
    await moveTo("2026-11-22T10:02:00Z");
    expect(await ledgerOf(id, 2)).toEqual(["10:01 fired", "10:02 fired"]);
    expect(await stateOf(await runOf(id, "10:01"))).toBe("canceled");
    expect(await stateOf(await runOf(id, "10:02"))).not.toBe("canceled");
  });

  it("cancel_previous leaves the run before alone until its own run could be written", async () => {
    const id = await scheduleLasting({ id: "sch_stuck", overlap: "cancel_previous" });
    await moveTo("2026-11-22T10:01:00Z");
    await ledgerOf(id, 1);
    const previous = await runOf(id, "10:01");
    await sql.unsafe(`
      create function refuse_stuck() returns trigger language plpgsql as $$
      begin
        if new.trigger->>'scheduleId' = 'sch_stuck' then raise exception 'no room'; end if;
        return new;
      end $$;
      create trigger refuse_stuck before insert on runs for each row execute function refuse_stuck();`);
    try {
      await moveTo("2026-11-22T10:02:00Z");
      expect(await ledgerOf(id, 2)).toEqual(["10:01 fired", "10:02 pending"]);
      expect(await stateOf(previous)).not.toBe("canceled");
    } finally {
      await sql`drop function refuse_stuck cascade`;
    }
    await moveTo("2026-11-22T10:02:01Z");
    expect(await ledger(id, (rows) => rows[1] === "10:02 fired")).toHaveLength(2);
    expect(await stateOf(previous)).toBe("canceled");
  });

  it("cancel_previous needs no connection beside that of its transaction", async () => {
    const id = await scheduleLasting({ cron: "0 10 * * *", overlap: "cancel_previous" });
    const { body } = await client.request("POST", `/api/schedules/${id}/trigger`);
    const release = await holdSchedule(id);
    const ticks = Array.from({ length: 10 }, () => client.request("POST", "/api/admin/tick"));
    await waitFor(
      () => sql`select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
      ({ length }) => length === 10,
    );
    await release();
    const answers = await Promise.all(ticks);
    expect(answers.map(({ status }) => status)).toEqual(Array(10).fill(200));
    expect(answers.flatMap((answer) => answer.body.fired)).toMatchObject([{ scheduleId: id }]);
    expect(await stateOf(body.runId)).toBe("canceled");
  });

  it("holds for several late instants among themselves too", async () => {
    const catchup = { mode: "all" };
    const canceling = await scheduleLasting({ overlap: "cancel_previous", catchup });
    const skipping = await scheduleLasting({ overlap: "skip", catchup });
    const buffering = await scheduleLasting({ overlap: "buffer_one", catchup });
    await moveTo("2026-11-22T10:04:30Z");
    expect(await ledgerOf(canceling, 4)).toEqual([
      "10:01 skipped_overlap",
      "10:02 skipped_overlap",
      "10:03 skipped_overlap",
      "10:04 fired",
    ]);
    expect(await ledgerOf(skipping, 4)).toEqual([
      "10:01 caught_up",
      "10:02 skipped_overlap",
      "10:03 skipped_overlap",
      "10:04 skipped_overlap",
    ]);
    expect(await ledgerOf(buffering, 4)).toEqual([
      "10:01 caught_up",
      "10:02 pending",
      "10:03 skipped_overlap",
      "10:04 skipped_overlap",
    ]);
  });

  it("counts a run that was started by hand as one before", async () => {
    const id = await scheduleLasting({ overlap: "skip" });
    await client.request("POST", `/api/schedules/${id}/trigger`);
    await moveTo("2026-11-22T10:01:00Z");
    expect(await ledgerOf(id, 2)).toEqual(["10:00 fired", "10:01 skipped_overlap"]);
  });

  it("forgets an instant that waits when the schedule is paused", async () => {
    const id = await scheduleLasting({ overlap: "buffer_one" });
    await moveTo("2026-11-22T10:01:00Z");
    await ledgerOf(id, 1);
    await moveTo("2026-11-22T10:02:00Z");
    await ledgerOf(id, 2);
    await client.request("PATCH", `/api/schedules/${id}`, { enabled: false });
    await client.request("POST", `/api/runs/${await runOf(id, "10:01")}/cancel`);
    const rows = await ledger(id, ([, second]) => second !== "10:02 pending");
    expect(rows).toEqual(["10:01 fired", "10:02 missed"]);
    expect((await get(id)).recent[0].reason).toContain("switched off");
  });
});
