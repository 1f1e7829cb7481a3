import { beforeEach, describe, expect, it } from "vitest";
import { useClockAt } from "../support/clocks.js";
import { schedulesOf } from "../support/schedules.js";
import { useClient, useSql, useTestServer } from "../support/server-hooks.js";
import { walkPages } from "../support/workflows.js";

const clock = useClockAt("2026-11-22T10:00:30.000Z");
const server = useTestServer({ now: clock.now });
const sql = useSql(server);
const client = useClient(server, beforeEach);
const { schedule, moveTo, get, ledger, ledgerOf } = schedulesOf(client, { clock, sql });

describe("catching up", () => {
  it("none misses what is late by more than a minute and fires what is not", async () => {
    const id = await schedule({ catchup: { mode: "none" } });
    await moveTo("2026-11-22T10:03:59Z");
    expect(await ledgerOf(id, 3)).toEqual(["10:01 missed", "10:02 missed", "10:03 fired"]);
  });

  it("latest starts the newest, late or not, and misses the others", async () => {
    const often = await schedule();
    const hourly = await schedule({ cron: "0 * * * *" });
    await moveTo("2026-11-22T13:30:00Z");
    expect((await ledgerOf(often, 11)).slice(-2)).toEqual(["13:29 missed", "13:30 fired"]);
    expect(await ledgerOf(hourly, 3)).toEqual(["11:00 missed", "12:00 missed", "13:00 caught_up"]);
  });

  it("all starts the newest up to its number and within its window", async () => {
    const three = await schedule({ catchup: { mode: "all", max: 3 } });
    const window = await schedule({ catchup: { mode: "all", windowSeconds: 150 } });
    await moveTo("2026-11-22T10:06:30Z");
    const late = (...outcomes: string[]) => outcomes.map((outcome, index) => `10:0${index + 1} ${outcome}`);
    expect(await ledgerOf(three, 6)).toEqual(
      late("missed", "missed", "caught_up", "caught_up", "caught_up", "fired"),
    );
    expect(await ledgerOf(window, 6)).toEqual(
      late("missed", "missed", "missed", "caught_up", "caught_up", "fired"),
    );
    expect(await walkPages(client, "/api/runs?trigger=schedule", 100)).toHaveLength(7);
  });

  it("writes ten missed instants down; the oldest speaks for those before it", async () => {
    const id = await schedule();
    await moveTo("2026-11-25T10:00:10Z");
    await ledgerOf(id, 11);
    const rows = await walkPages(client, `/api/schedules/${id}/occurrences?outcome=missed`, 100);
    expect(rows).toHaveLength(10);
    expect(rows[0].reason).not.toContain("own");
    expect(rows[9]).toMatchObject({
      scheduledFor: "2026-11-25T09:50:00.000Z",
      reason: expect.stringContaining("from 2026-11-22T10:01:00.000Z on were missed too"),
    });
  });
});

describe("limits and delays", () => {
  it("maxRuns stops the schedule after so many runs, in a batch of late ones too", async () => {
    const id = await schedule({ maxRuns: 2, catchup: { mode: "all" } });
    await moveTo("2026-11-22T10:04:30Z");
    expect(await ledgerOf(id, 4)).toEqual([
      "10:01 caught_up",
      "10:02 caught_up",
      "10:03 missed",
      "10:04 missed",
    ]);
    expect(await get(id)).toMatchObject({
      enabled: false,
      nextFireAt: null,
      runCount: 2,
      stoppedReason: "The schedule has started its 2 runs (maxRuns).",
    });
  });

  it("jitter delays the run and keeps the instant", async () => {
    const id = await schedule({ cron: "0 11 * * *", jitterSeconds: 3_000 });
    const { nextFireAt } = await get(id);
    expect(nextFireAt > "2026-11-22T11:00:00.000Z").toBe(true);
    const control = await schedule();
    const justBefore = new Date(Date.parse(nextFireAt) - 1).toISOString();
    await moveTo(justBefore);
    await ledger(control, (rows) => rows.at(-1)?.startsWith(justBefore.slice(11, 16)) === true);
    expect((await get(id)).recent).toEqual([]);
    await moveTo(nextFireAt);
    await ledgerOf(id, 1);
    expect((await get(id)).recent).toMatchObject([
      { scheduledFor: "2026-11-22T11:00:00.000Z", firedAt: nextFireAt, outcome: "fired" },
    ]);
  });
});
