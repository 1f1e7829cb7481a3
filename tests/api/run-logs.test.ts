import { describe, expect, it } from "vitest";
import { useClient, useTestServer } from "../support/server-hooks.js";
import {
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
/** Nothing works on its runs. */
const idle = useClient(useTestServer({ config: { role: "api" } }));

describe("the logs of a run", () => {
  const chain = {
    blocks: [trigger, transform("a", 1), transform("b", 2), wait("pause", 30), transform("c", 3)],
    connections: connect("start>a>b>pause>c"),
  };

  it("tell what each block did, in order, with its output", async () => {
    const run = await runDocument(client, chain, { n: 1 });
    const logs = await logsOf(client, run.id);
    expect(logs.map((row: Record<string, unknown>) => [row.name, row.blockId, row.kind, row.status])).toEqual(
      [
        ["start", "start", "block", "completed"],
        ["a", "a", "block", "completed"],
        ["b", "b", "block", "completed"],
        ["pause@wait", "pause", "wait", "completed"],
        ["pause", "pause", "block", "completed"],
        ["c", "c", "block", "completed"],
      ],
    );
    expect(logs[0]).toMatchObject({ attempt: 1, output: { n: 1 }, error: null });
    expect(logs[5].output).toEqual({ result: 3 });
    for (const { startedAt, finishedAt } of logs) expect(startedAt <= finishedAt).toBe(true);
    expect(new Set(logs.map(({ id }: { id: string }) => id)).size).toBe(6);
  });

  it("have pages that lead through all of them once", async () => {
    const run = await runDocument(client, chain);
    const all = await logsOf(client, run.id);
    for (const limit of [1, 2, 4, 6]) {
      const pages = [];
      let after = "";
      do {
        const { body } = await client.request("GET", `/api/runs/${run.id}/logs?limit=${limit}${after}`);
        pages.push(body.data);
        after = body.pagination.next === null ? "" : `&after=${body.pagination.next}`;
      } while (after !== "");
      expect(pages.flat()).toEqual(all);
      expect(pages).toHaveLength(Math.ceil(6 / limit));
    }
    const bad = await client.request("GET", `/api/runs/${run.id}/logs?after=nonsense`);
    expect([bad.status, bad.body.error]).toEqual([400, "invalid_body"]);
  });

  it("of a run that has not started are empty, and of one that waits show the wait", async () => {
    const waiting = { blocks: [wait("pause", 1, "h")] };
    expect(await logsOf(idle, await startRun(idle, await createWorkflow(idle, waiting)))).toEqual([]);
    const runId = await startWaiting(client, await createWorkflow(client, waiting));
    expect(await logsOf(client, runId)).toMatchObject([
      {
        name: "pause@wait",
        blockId: "pause",
        kind: "wait",
        status: "waiting",
        finishedAt: null,
        output: null,
      },
    ]);
  });
});
