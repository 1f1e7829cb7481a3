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
  startWaiting,
  transform,
  trigger,
  wait,
} from "../support/workflows.js";

const server = useTestServer({ config: { role: "worker" } });
const client = useClient(server);
afterEach(closeServers);

const read = (runId: string) => readRun(client, runId);
const statesOf = (run: { blocks: Record<string, { state: string }> }) =>
  Object.fromEntries(Object.entries(run.blocks).map(([id, { state }]) => [id, state]));

/** A workflow that calls the address again after so many milliseconds when it fails. */
const retryingCall = (url: string, initialMs: number) =>
  createWorkflow(client, {
    blocks: [block("call", "http", { url }, { retry: { maxAttempts: 3, initialMs, factor: 1 } })],
  });

describe("the blocks of a run", () => {
  it("stand as what happened to them, also while it waits: what no taken path leads to is skipped at once", async () => {
    const id = await createWorkflow(client, {
      blocks: [
        trigger,
        block("check", "condition", { expression: "{{trigger.isBig}}" }),
        wait("big", 1, "h"),
        transform("small", 1),
        transform("afterSmall", 1),
        transform("afterBig", 1),
        { ...transform("off", 1), enabled: false },
        transform("afterOff", 1),
      ],
      connections: [
        ...connect("start>check", "small>afterSmall", "big>afterBig", "off>afterOff"),
        { source: "check", target: "big", sourceHandle: "true" },
        { source: "check", target: "small", sourceHandle: "false" },
      ],
    });
    const runId = await startWaiting(client, id, { isBig: true });
    expect(statesOf(await read(runId))).toEqual({
      start: "completed",
      check: "completed",
      big: "waiting",
      small: "skipped",
      afterSmall: "skipped",
      afterBig: "pending",
      off: "skipped",
      afterOff: "skipped",
    });
    await client.request("POST", `/api/runs/${runId}/cancel`);
    expect(statesOf(await read(runId))).toMatchObject({ big: "canceled", afterBig: "skipped" });
  });

  it("count their tries, are retrying between them, and then what they came to", async () => {
    const failing = await serve((_request, response) => response.writeHead(503).end("{}"));
    const long = await startRun(client, await retryingCall(failing.origin, 3_600_000));
    const retrying = await waitFor(
      () => read(long),
      ({ blocks }) => blocks.call.state === "retrying",
    );
    expect(retrying.blocks.call).toMatchObject({ attempts: 1, finishedAt: null });
    await client.request("POST", `/api/runs/${long}/cancel`);

    const statuses = [503, 200];
    const { origin } = await serve((_request, response) => {
      response.writeHead(statuses.shift() ?? 500).end("{}");
    });
    const short = await startRun(client, await retryingCall(origin, 10));
    const ended = await endedRun(client, short);
    expect(ended.blocks.call).toMatchObject({ state: "completed", attempts: 2 });
    expect(ended.blocks.call.startedAt < ended.blocks.call.finishedAt).toBe(true);
    expect(
      (await logsOf(client, short)).map(({ kind, status }: Record<string, unknown>) => [kind, status]),
    ).toEqual([
      ["block", "failed"],
      ["backoff", "completed"],
      ["block", "completed"],
    ]);
  });

  it("inside a loop say how many items stand how, and their attempts name their item", async () => {
    const { origin } = await serve((_request, response) => response.end("{}"));
    const run = await runDocument(
      client,
      {
        blocks: [
          trigger,
          block("each", "for_each", { items: "{{trigger.items}}", parallelism: 2, onItemError: "skip" }),
          block("call", "http", { url: "{{each.item}}" }),
          transform("keep", "{{each.index}}"),
          transform("done", "{{each.succeeded}}"),
        ],
        connections: [
          ...connect("start>each>done", "call>keep"),
          { source: "each", target: "call", sourceHandle: "each" },
        ],
      },
      { items: [origin, origin, "nowhere", origin, origin] },
    );
    expect(run.state).toBe("completed");
    expect(run.blocks).toMatchObject({
      each: { state: "completed", attempts: 1 },
      call: { state: "failed", attempts: 5, items: { completed: 4, failed: 1 } },
      keep: { state: "completed", attempts: 4, items: { completed: 4 } },
      done: { state: "completed" },
    });
    expect(run.blocks.each).not.toHaveProperty("items");
    const logs = await logsOf(client, run.id);
    const calls = logs.filter(({ blockId }: { blockId: string }) => blockId === "call");
    expect(calls.map(({ item }: { item: string }) => item).sort()).toEqual(["0", "1", "2", "3", "4"]);
    expect(calls.find(({ item }: { item: string }) => item === "2")).toMatchObject({
      name: "call#2",
      status: "failed",
      input: { url: "nowhere" },
    });
    const pages = [];
    for (let after = ""; after !== "none"; ) {
      const { body } = await client.request("GET", `/api/runs/${run.id}/logs?limit=3${after}`);
      pages.push(...body.data);
      after = body.pagination.next === null ? "none" : `&after=${body.pagination.next}`;
    }
    expect(pages).toEqual(logs);
  });
});

describe("the logs of a run", () => {
  it("hold what each attempt ran with, what it gave and how long it took", async () => {
    const run = await runDocument(
      client,
      {
        blocks: [trigger, transform("greet", "Hello {{trigger.name}}")],
        connections: connect("start>greet"),
      },
      { name: "Ada" },
    );
    const [, greet] = await logsOf(client, run.id);
    expect(greet).toMatchObject({
      blockId: "greet",
      item: null,
      input: { template: "Hello Ada" },
      output: { result: "Hello Ada" },
      error: null,
      lines: [],
      durationMs: expect.any(Number),
    });
    expect(Date.parse(greet.finishedAt) - Date.parse(greet.startedAt)).toBe(greet.durationMs);
  });

  it("show a block that waits for an event as its wait, then its result", async () => {
    const id = await createWorkflow(client, {
      blocks: [block("event", "wait_for_event", { eventName: "paid" })],
    });
    const runId = await startWaiting(client, id);
    const shown = async () =>
      (await logsOf(client, runId)).map(({ name, kind, status }: Record<string, unknown>) => [
        name,
        kind,
        status,
      ]);
    expect(await shown()).toEqual([["event@wait", "wait", "waiting"]]);
    expect(statesOf(await read(runId))).toEqual({ event: "waiting" });
    await client.request("POST", "/api/signals", { name: "paid", payload: 1 });
    expect(await endedRun(client, runId)).toMatchObject({ state: "completed" });
    expect(await shown()).toEqual([
      ["event@wait", "wait", "completed"],
      ["event", "block", "completed"],
    ]);
    expect((await read(runId)).blocks.event).toMatchObject({ state: "completed", attempts: 1 });
  });
});
