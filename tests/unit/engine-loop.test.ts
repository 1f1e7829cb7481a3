import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ClaimGate } from "../../server/engine/worker/claim-gate.js";
import { retryConnectionLoss } from "../../server/engine/worker/connection-retry.js";
import { WorkerLoop } from "../../server/engine/worker/worker-loop.js";

type ClaimedRun = Awaited<ReturnType<ClaimGate["request"]>>;

function gateOver(runs: number, isOpen = true) {
  let left = runs;
  const asked: string[] = [];
  const gate = new ClaimGate({
    prepare: async () => isOpen,
    async claim(workerId) {
      asked.push(workerId);
      left -= 1;
      return left >= 0 ? ({ id: workerId } as ClaimedRun) : null;
    },
  });
  const request = async (slots: number) => {
    const answers = await Promise.all(
      Array.from({ length: slots }, (_item, slot) => gate.request(`slot ${slot}`)),
    );
    return answers.filter((answer) => answer !== null).length;
  };
  return { request, asked };
}

describe("ClaimGate", () => {
  it("asks once when nothing is due, however many slots are free", async () => {
    const { request, asked } = gateOver(0);
    expect(await request(50)).toBe(0);
    expect(asked).toHaveLength(1);
  });

  it("fills every slot while runs are due, and no more", async () => {
    const { request, asked } = gateOver(100);
    expect(await request(10)).toBe(10);
    expect(asked).toHaveLength(10);
  });

  it("asks for nothing while it is closed", async () => {
    const { request, asked } = gateOver(5, false);
    expect(await request(10)).toBe(0);
    expect(asked).toEqual([]);
  });
});

/** A loop over a list of due runs, with a way to wait for its ticks. */
function loopOver(untilDue: () => number | null) {
  let waiting: (() => void)[] = [];
  const ticks = { running: 0, most: 0, count: 0, due: 0 };
  const loop = new WorkerLoop({
    async tick() {
      ticks.running += 1;
      ticks.most = Math.max(ticks.most, ticks.running);
      await new Promise((resolve) => setImmediate(resolve));
      ticks.running -= 1;
      ticks.count += 1;
      const claimed = ticks.due;
      ticks.due = 0;
      for (const resolve of waiting) resolve();
      waiting = [];
      return { claimed, isBlocked: false };
    },
    untilDue: async () => untilDue(),
  });
  return { loop, ticks, nextTick: () => new Promise<void>((resolve) => waiting.push(resolve)) };
}

/** The loop has done what it does between two pauses; its time stands still meanwhile. */
const loopSleeps = () => new Promise((resolve) => setImmediate(resolve));

describe("WorkerLoop", () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "Date", "performance"] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it("never ticks twice at a time, however often it is woken", async () => {
    const { loop, ticks, nextTick } = loopOver(() => null);
    loop.start();
    for (let round = 0; round < 20; round += 1) {
      const ticked = nextTick();
      for (let call = 0; call < 5; call += 1) loop.wake();
      await ticked;
    }
    await loop.stop();
    expect(ticks.most).toBe(1);
  });

  it("ticks at once when woken and at the instant it was told", async () => {
    const { loop, ticks, nextTick } = loopOver(() => null);
    loop.start();
    await nextTick();
    loop.wake();
    await nextTick();
    await loopSleeps();
    loop.wakeAt(Date.now() + 100);
    await vi.advanceTimersByTimeAsync(99);
    await loopSleeps();
    expect(ticks.count).toBe(2);
    const ticked = nextTick();
    await vi.advanceTimersByTimeAsync(1);
    await ticked;
    await loop.stop();
  });

  it("ticks when the next run is due, and again at once after it claimed", async () => {
    const { loop, ticks, nextTick } = loopOver(() => 500);
    ticks.due = 1;
    loop.start();
    await nextTick();
    await nextTick();
    await loopSleeps();
    await vi.advanceTimersByTimeAsync(499);
    await loopSleeps();
    expect(ticks.count).toBe(2);
    const ticked = nextTick();
    await vi.advanceTimersByTimeAsync(2);
    await ticked;
    await loop.stop();
  });
});

describe("retryConnectionLoss", () => {
  const lost = () => Object.assign(new Error("lost"), { code: "CONNECTION_CLOSED" });

  it("repeats until the database is back", async () => {
    let calls = 0;
    const work = async () => {
      calls += 1;
      if (calls < 3) throw lost();
      return calls;
    };
    expect(await retryConnectionLoss(work, () => false)).toBe(3);
  });

  it("throws every other error at once, and gives up when nobody needs the result", async () => {
    let calls = 0;
    const failing = (error: Error) => async () => {
      calls += 1;
      throw error;
    };
    await expect(retryConnectionLoss(failing(new Error("wrong")), () => false)).rejects.toThrow("wrong");
    await expect(retryConnectionLoss(failing(lost()), () => true)).rejects.toThrow("lost");
    expect(calls).toBe(2);
  });
});
