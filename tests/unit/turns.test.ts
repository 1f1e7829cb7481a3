import { describe, expect, it } from "vitest";
import { Turns } from "../../server/processes/turns.js";

/** Asks for turns; gives who has begun, in order, and what ends each of those turns. */
function watch(turns: Turns) {
  const began: string[] = [];
  const ends: (() => void)[] = [];
  const ask = (organizationId: string, signal?: AbortSignal) =>
    turns.take(organizationId, signal).then((end) => {
      began.push(organizationId);
      ends.push(end);
    });
  /** Ends the turns in order until nobody waits. */
  const endAll = async () => {
    for (let end = ends.shift(); end !== undefined; end = ends.shift()) {
      end();
      await new Promise(setImmediate);
    }
  };
  return { began, ask, endAll };
}

describe("turns", () => {
  it("go round the organizations that wait", async () => {
    const { began, ask, endAll } = watch(new Turns(1));
    const asked = ["a", "a", "a", "b", "b", "c"].map((organizationId) => ask(organizationId));
    await new Promise(setImmediate);
    expect(began).toEqual(["a"]);
    await endAll();
    await Promise.all(asked);
    expect(began.join(" ")).toBe("a a b c a b");
  });

  it("leave something for others when one organization has its part", async () => {
    const { began, ask, endAll } = watch(new Turns(3, 2));
    const asked = ["a", "a", "a", "b", "b"].map((organizationId) => ask(organizationId));
    await new Promise(setImmediate);
    expect(began).toEqual(["a", "a", "b"]);
    await endAll();
    await Promise.all(asked);
    expect(began).toEqual(["a", "a", "b", "a", "b"]);
  });

  it("are not given to who has gone", async () => {
    const { began, ask, endAll } = watch(new Turns(1));
    await ask("a");
    const controller = new AbortController();
    const gone = new Error("gone");
    const [leaver, waiter] = [ask("b", controller.signal), ask("c")];
    controller.abort(gone);
    await expect(leaver).rejects.toBe(gone);
    await expect(ask("b", controller.signal)).rejects.toBe(gone);
    await endAll();
    await waiter;
    expect(began).toEqual(["a", "c"]);
  });
});
