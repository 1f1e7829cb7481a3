import { afterEach, describe, expect, it } from "vitest";
import { endedRun, newClient, readRun, runInState, waitFor } from "../support/client.js";
import { closeServers, serve } from "../support/http-block.js";
import { startTestServer } from "../support/server.js";
import { useClient, useTestServer } from "../support/server-hooks.js";
import {
  block,
  connect,
  createWorkflow,
  logsOf,
  runDocument,
  startRun,
  startWaiting,
  transform,
  trigger,
  wait,
} from "../support/workflows.js";

const server = useTestServer();
const client = useClient(server);

afterEach(closeServers);

const echo = { blocks: [trigger, transform("echo", "{{trigger}}")], connections: connect("start>echo") };

/** A server that answers when it is told to, and says when it was asked and when the caller went away. */
async function gate() {
  const events = { asked: 0, gone: 0 };
  let open = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  const { origin } = await serve(async (request, response) => {
    events.asked += 1;
    response.on("close", () => {
      if (!response.writableEnded) events.gone += 1;
    });
    await opened;
    response.end(request.url);
  });
  return { origin, events, open };
}

describe("the state of a run", () => {
  it("goes from pending over running and waiting to completed", async () => {
    const api = await startTestServer({ config: { role: "api" } });
    try {
      const owner = await newClient(api.url);
      const { origin, events, open } = await gate();
      const id = await createWorkflow(owner, {
        blocks: [
          block("call", "http", { url: origin }),
          block("pause", "wait_for_event", { eventName: "go on" }),
          transform("end", 1),
        ],
        connections: connect("call>pause>end"),
      });
      const runId = await startRun(owner, id);
      expect(await readRun(owner, runId)).toMatchObject({
        state: "pending",
        startedAt: null,
        finishedAt: null,
        output: null,
        error: null,
      });
      const worker = await startTestServer({ databaseUrl: api.databaseUrl, config: { role: "worker" } });
      try {
        const running = await runInState(owner, runId, "running");
        expect(running).toMatchObject({ startedAt: expect.any(String), finishedAt: null, output: null });
        await waitFor(
          async () => events.asked,
          (asked) => asked === 1,
        );
        open();
        const waiting = await runInState(owner, runId, "waiting");
        expect(waiting).toMatchObject({ startedAt: running.startedAt, finishedAt: null, output: null });
        await owner.request("POST", "/api/signals", { name: "go on" });
        const completed = await endedRun(owner, runId);
        expect(completed).toMatchObject({
          state: "completed",
          startedAt: running.startedAt,
          error: null,
          output: { outputs: { end: { result: 1 } } },
        });
        const instants = [completed.createdAt, completed.startedAt, completed.finishedAt];
        expect([...instants].sort()).toEqual(instants);
      } finally {
        await worker.close();
      }
    } finally {
      await api.close();
    }
  });

  it("is never completed without its output, however fast it is asked for", async () => {
    const id = await createWorkflow(client, echo);
    await Promise.all(
      Array.from({ length: 10 }, async () => {
        const runId = await startRun(client, id);
        for (;;) {
          const run = await readRun(client, runId);
          expect(run.output !== null).toBe(run.state === "completed");
          if (run.state === "completed") return;
        }
      }),
    );
  });
});

describe("canceling a run", () => {
  const cancel = (runId: string) => client.request("POST", `/api/runs/${runId}/cancel`);

  it("that waits is 204, and again 204; nothing of it runs any more", async () => {
    const id = await createWorkflow(client, {
      blocks: [wait("pause", 1, "h"), transform("after", 1)],
      connections: connect("pause>after"),
    });
    const runId = await startWaiting(client, id);
    const first = await cancel(runId);
    expect([first.status, first.body]).toEqual([204, null]);
    const canceled = await readRun(client, runId);
    expect(canceled).toMatchObject({
      state: "canceled",
      output: null,
      error: null,
      finishedAt: expect.any(String),
    });
    expect((await cancel(runId)).status).toBe(204);
    expect(await readRun(client, runId)).toEqual(canceled);
    expect(await logsOf(client, runId)).toMatchObject([{ name: "pause@wait", status: "canceled" }]);
  });

  it("that runs ends its running step", async () => {
    const { origin, events } = await gate();
    const id = await createWorkflow(client, {
      blocks: [block("call", "http", { url: origin }), transform("after", 1)],
      connections: connect("call>after"),
    });
    const runId = await startRun(client, id);
    await waitFor(
      async () => events.asked,
      (asked) => asked === 1,
    );
    expect((await cancel(runId)).status).toBe(204);
    await waitFor(
      async () => events.gone,
      (gone) => gone === 1,
    );
    expect((await readRun(client, runId)).state).toBe("canceled");
    expect(await logsOf(client, runId)).toMatchObject([{ name: "call", status: "canceled" }]);
  });

  it("that has completed or failed is cancel_failed and leaves it as it was", async () => {
    const completed = await runDocument(client, echo);
    const failed = await runDocument(client, { blocks: [block("call", "http", { url: "{{trigger.url}}" })] });
    for (const run of [completed, failed]) {
      const { status, body } = await cancel(run.id);
      expect(status).toBe(500);
      expect(body).toMatchObject({
        error: "cancel_failed",
        message: expect.stringContaining(run.state),
        requestId: expect.any(String),
      });
      expect(await readRun(client, run.id)).toEqual(run);
    }
  });
});
