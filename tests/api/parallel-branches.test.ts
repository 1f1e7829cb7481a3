import type { ServerResponse } from "node:http";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, it } from "vitest";
import { endedRun, readRun, waitFor } from "../support/client.js";
import { closeServers, serve } from "../support/http-block.js";
import { useClient, useTestServer } from "../support/server-hooks.js";
import {
  block,
  connect,
  createWorkflow,
  logsOf,
  runDocument,
  startRun,
  transform,
  trigger,
  wait,
} from "../support/workflows.js";

const samples = fileURLToPath(new URL("../support/sample-connectors.mjs", import.meta.url));
const client = useClient(useTestServer({ config: { connectorModules: [samples] } }));
afterEach(closeServers);

const http = (id: string, url: string, params = {}, more = {}) => block(id, "http", { url, ...params }, more);

describe("branches", () => {
  it("run at the same time: two waits of a second side by side are over after about one", async () => {
    const run = await runDocument(client, {
      blocks: [
        trigger,
        wait("left", 1, "s"),
        wait("right", 1, "s"),
        transform("join", "{{left.resumedAt}} {{right.resumedAt}}"),
        wait("first", 1, "s"),
        wait("second", 1, "s"),
      ],
      connections: connect("start>left>join", "start>right>join", "start>first>second"),
    });
    expect(run.state).toBe("completed");
    const waits = (await logsOf(client, run.id)).filter(({ kind }: { kind: string }) => kind === "wait");
    const of = (...ids: string[]) =>
      waits.filter(({ blockId }: { blockId: string }) => ids.includes(blockId));
    const instants = (rows: Record<string, string>[], field: string) =>
      rows.map((row) => Date.parse(String(row[field])));
    const started = instants(of("left", "right"), "startedAt");
    const finished = instants(of("left", "right"), "finishedAt");
    expect(finished).toHaveLength(2);
    expect(Math.max(...started)).toBeLessThan(Math.min(...finished));
    expect(Math.max(...finished) - Math.min(...started)).toBeGreaterThanOrEqual(990);
    expect(Math.max(...finished)).toBeLessThan(Math.min(...instants(of("second"), "finishedAt")));
  });

  it("keep what others have done: a block of one branch runs once though another branch waits and retries", async () => {
    const calls: string[] = [];
    const { origin } = await serve((request, response) => {
      calls.push(String(request.url));
      response.statusCode =
        request.url === "/flaky" && calls.filter((url) => url === "/flaky").length < 3 ? 503 : 200;
      response.end("{}");
    });
    const run = await runDocument(client, {
      blocks: [
        http("flaky", `${origin}/flaky`, {}, { retry: { maxAttempts: 3, initialMs: 30 } }),
        http("once", `${origin}/once`),
        wait("pause", 50),
        http("after", `${origin}/after`),
      ],
      connections: connect("pause>after"),
    });
    expect(run.state).toBe("completed");
    expect([...calls].sort()).toEqual(["/after", "/flaky", "/flaky", "/flaky", "/once"]);
  });

  it("join where one side is disabled, and stop where all sides are", async () => {
    const run = await runDocument(client, {
      blocks: [
        trigger,
        transform("on", "on"),
        transform("off", "off", { enabled: false }),
        transform("joined", "{{on.result}}"),
        transform("behind", "never"),
      ],
      connections: connect("start>on>joined", "start>off>joined", "off>behind"),
    });
    expect(run.state).toBe("completed");
    expect(Object.keys(run.output.outputs).sort()).toEqual(["joined", "on", "start"]);
    expect((await logsOf(client, run.id)).map(({ blockId }: { blockId: string }) => blockId).sort()).toEqual([
      "joined",
      "on",
      "start",
    ]);
  });

  it("end with the run when one fails, after blocks that run meanwhile are done", async () => {
    const asked: ServerResponse[] = [];
    const { origin } = await serve((_request, response) => asked.push(response));
    const id = await createWorkflow(client, {
      blocks: [
        block("bad", "misbehave", { how: "refuse" }),
        http("slow", origin),
        wait("long", 1, "h"),
        transform("never", 1),
      ],
      connections: connect("bad>never"),
    });
    const runId = await startRun(client, id);
    await waitFor(
      () => logsOf(client, runId),
      (logs) =>
        logs.some(({ name, status }: Record<string, unknown>) => name === "bad" && status === "failed"),
    );
    await waitFor(
      async () => asked,
      ({ length }) => length === 1,
    );
    expect((await readRun(client, runId)).state).toBe("running");
    asked[0]?.end("{}");
    const run = await endedRun(client, runId);
    expect(run).toMatchObject({ state: "failed", output: null, error: { code: "no_way", blockId: "bad" } });
    const logs = await logsOf(client, runId);
    const statuses = logs.map(({ name, status }: Record<string, unknown>) => `${name} ${status}`);
    expect(statuses.sort()).toEqual(["bad failed", "long@wait interrupted", "slow completed"]);
  });
});
