import { expect, it } from "vitest";
import { coalesceWork } from "../../server/engine/worker/coalesced-work.js";

it("does work once at a time, and once more for all that ask while it runs", async () => {
  const ends: (() => void)[] = [];
  const work = coalesceWork(() => new Promise((resolve) => ends.push(resolve)));
  await work.settle();
  expect(ends).toHaveLength(0);
  work.request();
  work.request();
  await Promise.resolve();
  expect(ends).toHaveLength(1);
  for (let count = 0; count < 1_000; count += 1) work.request();
  await Promise.resolve();
  expect(ends).toHaveLength(1);
  ends[0]?.();
  await new Promise((resolve) => setImmediate(resolve));
  expect(ends).toHaveLength(2);
  ends[1]?.();
  await work.settle();
  expect(ends).toHaveLength(2);
});
