import { beforeEach, describe, expect, it } from "vitest";
import { approvalsOf, refusal } from "../support/approvals.js";
import { endedRun, readRun, runInState, waitFor } from "../support/client.js";
import { useShiftedClock } from "../support/clocks.js";
import { useClient, useSql, useTestServer } from "../support/server-hooks.js";
import { block, connect, createWorkflow, startRun, transform, trigger } from "../support/workflows.js";

const HOUR_MS = 3_600_000;

const clock = useShiftedClock();
const server = useTestServer({ now: clock.now });
const ada = useClient(server, beforeEach);
const sql = useSql(server);
const { ask, askedBy, decide } = approvalsOf(ada);

/** Lets the time limits pass that the run waits for. */
async function outlast(runId: string): Promise<void> {
  await runInState(ada, runId, "waiting");
  await sql`
    update openworkflow.step_attempts set context = context || '{"timeoutAt":"2020-01-01T00:00:00.000Z"}'
    where workflow_run_id = ${runId} and kind = 'signal-wait' and status = 'running'`;
  await sql`update openworkflow.workflow_runs set available_at = now() where id = ${runId}`;
}

/** Comes back once the block waits. */
const waitingBlock = (runId: string, blockId: string) =>
  waitFor(
    () => readRun(ada, runId),
    ({ blocks }) => blocks[blockId].state === "waiting",
  );

describe("an approval", () => {
  it("is canceled with its run", async () => {
    const { id, runId } = await ask();
    await ada.request("POST", `/api/runs/${runId}/cancel`);
    expect(await ada.request("GET", `/api/approvals/${id}`)).toMatchObject({ body: { state: "canceled" } });
    expect(await decide(id, "approve")).toMatchObject(refusal(409, "conflict", /run has ended/));
    const { body } = await ada.request("GET", "/api/approvals?state=pending");
    expect(body.data).toEqual([]);
  });

  it("is canceled when another branch fails its run", async () => {
    const workflowId = await createWorkflow(ada, {
      blocks: [
        trigger,
        block("ask", "human_approval", { prompt: "Go?" }),
        block("event", "wait_for_event", { eventName: "boom" }),
        block("fail", "wait_until", { at: "{{event.data}}" }),
      ],
      connections: connect("start>ask", "start>event>fail"),
    });
    const runId = await startRun(ada, workflowId);
    const [{ id }] = await askedBy(runId);
    await ada.request("POST", "/api/signals", { name: "boom", payload: "no time" });
    expect(await endedRun(ada, runId)).toMatchObject({ state: "failed" });
    expect(await ada.request("GET", `/api/approvals/${id}`)).toMatchObject({ body: { state: "canceled" } });
  });

  it("that lost a race is canceled at once, and another wait that lost takes no signal", async () => {
    const workflowId = await createWorkflow(ada, {
      blocks: [
        trigger,
        block("ask", "human_approval", { prompt: "Go?" }),
        block("event", "wait_for_event", { eventName: "go" }),
        block("late", "wait_for_event", { eventName: "too late" }),
        transform("first", "went on", { join: "any" }),
        block("end", "wait_for_event", { eventName: "end" }),
      ],
      connections: connect("start>ask>first", "start>event>first", "start>late>first", "first>end"),
    });
    const runId = await startRun(ada, workflowId);
    const [{ id }] = await askedBy(runId);
    await waitingBlock(runId, "late");
    await ada.request("POST", "/api/signals", { name: "go" });
    await waitingBlock(runId, "end");
    const { blocks } = await waitFor(
      () => readRun(ada, runId),
      (run) => [run.blocks.ask, run.blocks.late].every(({ state }) => state === "canceled"),
    );
    expect(blocks).toMatchObject({ first: { state: "completed" }, end: { state: "waiting" } });
    expect(await ada.request("GET", `/api/approvals/${id}`)).toMatchObject({ body: { state: "canceled" } });
    expect((await ada.request("POST", "/api/signals", { name: "too late" })).body).toMatchObject({
      delivered: [],
      buffered: true,
    });
    await ada.request("POST", "/api/signals", { name: "end" });
    expect((await endedRun(ada, runId)).output.outputs).toMatchObject({ first: { result: "went on" } });
  });

  it("that outlasts the timeoutMs of its block is canceled, and so is another run; the failure can be caught", async () => {
    const asked = await createWorkflow(ada, { blocks: [block("ask", "human_approval", { prompt: "Go?" })] });
    const limited = { timeoutMs: HOUR_MS, onError: "continue" };
    const workflowId = await createWorkflow(ada, {
      blocks: [
        block("ask", "human_approval", { prompt: "Now?" }, limited),
        block("child", "run_workflow", { workflowId: asked }, limited),
        block("loop", "for_each", { items: [1] }, limited),
        block("body", "wait_for_event", { eventName: "never" }),
      ],
      connections: [{ source: "loop", target: "body", sourceHandle: "each" }],
    });
    const runId = await startRun(ada, workflowId);
    await waitingBlock(runId, "body");
    const [child] = await waitFor(
      async () => (await ada.request("GET", `/api/runs?workflowId=${asked}`)).body.data,
      ({ length }) => length === 1,
    );
    await askedBy(child.id);
    await askedBy(runId);
    await outlast(runId);
    const { state, output } = await endedRun(ada, runId);
    const error = { code: "timeout", message: expect.stringContaining(`${HOUR_MS} ms`) };
    expect(state).toBe("completed");
    expect(output.outputs).toEqual({ ask: { error }, child: { error }, loop: { error } });
    const approvals = (await ada.request("GET", "/api/approvals?limit=100")).body.data;
    expect(approvals.map((approval: { state: string }) => approval.state)).toEqual(["canceled", "canceled"]);
    const children = (await ada.request("GET", `/api/runs?workflowId=${asked}`)).body.data;
    expect(children).toMatchObject([{ state: "canceled" }]);
    expect((await ada.request("POST", "/api/signals", { name: "never" })).body).toMatchObject({
      buffered: true,
    });
  });

  describe("inside a loop", () => {
    const startLoop = async () => {
      const workflowId = await createWorkflow(ada, {
        blocks: [
          trigger,
          block("each", "for_each", { items: "{{trigger.amounts}}", parallelism: 3 }),
          block("ask", "human_approval", { prompt: "Pay {{each.item}}?", details: "{{each.index}}" }),
        ],
        connections: [...connect("start>each"), { source: "each", target: "ask", sourceHandle: "each" }],
      });
      const runId = await startRun(ada, workflowId, { input: { amounts: [10, 20, 30] } });
      return { runId, asked: await askedBy(runId, 3) };
    };

    it("is one per item, and each item goes on by its own", async () => {
      const { runId, asked } = await startLoop();
      for (const { id, details } of asked) await decide(id, details === 1 ? "reject" : "approve");
      const run = await endedRun(ada, runId);
      expect(run.output.outputs.each).toMatchObject({
        results: [{ ask: { approved: true } }, { ask: { approved: false } }, { ask: { approved: true } }],
      });
    });

    it("is canceled with the run that clients see", async () => {
      const { runId } = await startLoop();
      await ada.request("POST", `/api/runs/${runId}/cancel`);
      const { body } = await ada.request("GET", `/api/approvals?runId=${runId}&state=canceled`);
      expect(body.data).toHaveLength(3);
    });
  });
});

describe("a timeout", () => {
  const SHORT = 0.0001;

  it.each([
    ["continue", { approved: false, outcome: "timed_out" }, "remind"],
    ["reject", { approved: false, outcome: "rejected" }, "decline"],
    ["approve", { approved: true, outcome: "approved" }, "pay"],
  ])("with onTimeout %s goes its way", async (onTimeout, output, taken) => {
    const { id, runId } = await ask({ timeoutHours: SHORT, onTimeout });
    const { outputs } = (await endedRun(ada, runId)).output;
    expect(outputs.ask).toEqual({ ...output, by: null, note: null, timedOut: true, decisions: [] });
    expect(Object.keys(outputs).toSorted()).toEqual(["ask", "start", taken].toSorted());
    expect(await ada.request("GET", `/api/approvals/${id}`)).toMatchObject({ body: { state: "expired" } });
  });

  it("with onTimeout fail fails the block", async () => {
    const { runId } = await ask({ timeoutHours: SHORT, onTimeout: "fail" });
    expect(await endedRun(ada, runId)).toMatchObject({
      state: "failed",
      error: { code: "approval_timed_out", blockId: "ask" },
    });
  });

  it("lets nobody decide any more, also while the run has not noticed yet", async () => {
    const { id } = await ask({ timeoutHours: 1, quorum: 2 });
    expect(await decide(id, "approve")).toMatchObject({ status: 200 });
    clock.aheadMs = HOUR_MS + 1;
    const told = refusal(410, "expired", /time to decide/);
    expect(await decide(id, "approve", ada.session.token)).toMatchObject(told);
    expect(await decide(id, "reject", ada.session.token)).toMatchObject(told);
    expect(await decide(id, "approve")).toMatchObject({ status: 200, body: { state: "expired" } });
    expect(await ada.request("POST", `/api/approvals/${id}/links`, { name: "Me" })).toMatchObject(told);
    expect((await ada.request("GET", "/api/approvals?state=pending")).body.data).toEqual([]);
    expect((await ada.request("GET", "/api/approvals?state=expired")).body.data).toMatchObject([{ id }]);
  });
});
