import type { StepAttempt } from "openworkflow/internal";
import { describe, expect, it } from "vitest";
import { ActiveRuns, RunAbandonedError } from "../../server/engine/worker/active-runs.js";

const attempt = (id: string) => ({ id, stepName: id }) as StepAttempt;

describe("a pass over a run", () => {
  it("begins with each attempt once, also when a page of them was read twice", () => {
    const runs = new ActiveRuns();
    runs.claimed("run", "slot", false);
    runs.readHistory("run", [attempt("a"), attempt("b")]);
    runs.readHistory("run", [attempt("b"), attempt("c")]);
    const { workerId, history } = runs.enter("run");
    expect(workerId).toBe("slot");
    expect(history.map(({ id }) => id)).toEqual(["a", "b", "c"]);
  });

  it("does not begin for a slot whose claim another one has entered with, and leaves that one alone", () => {
    const runs = new ActiveRuns();
    runs.claimed("run", "first", true);
    runs.claimed("run", "second", false);
    const pass = runs.enter("run");
    expect(() => runs.enter("run")).toThrow(new RunAbandonedError("lease_lost"));
    expect(pass.signal.aborted).toBe(false);
  });
});
