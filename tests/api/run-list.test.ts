import { beforeAll, describe, expect, it } from "vitest";
import { endedRun, newClient, runInState } from "../support/client.js";
import { clockAt } from "../support/clocks.js";
import { useClient, useTestServer } from "../support/server-hooks.js";
import {
  block,
  connect,
  createWorkflow,
  startRun,
  transform,
  trigger,
  UNKNOWN_ID,
  wait,
  walkPages,
} from "../support/workflows.js";

const clock = clockAt("2026-11-22T09:00:00.000Z");
const server = useTestServer({ now: clock.now });
const owner = useClient(server);

const echo = { blocks: [trigger, transform("echo", "{{trigger}}")], connections: connect("start>echo") };

describe("the list of runs", () => {
  const ids: Record<string, string> = {};
  const list = async (query: string) => {
    const { status, body } = await owner.request("GET", `/api/runs${query}`);
    expect(status).toBe(200);
    const nameOf = Object.fromEntries(Object.entries(ids).map(([name, id]) => [id, name]));
    return body.data.map(({ id }: { id: string }) => nameOf[id] ?? id);
  };
  let fine = "";
  let broken = "";

  beforeAll(async () => {
    fine = await createWorkflow(owner, echo);
    broken = await createWorkflow(owner, {
      blocks: [block("call", "http", { url: "{{trigger.url}}" })],
    });
    const slow = await createWorkflow(owner, { blocks: [wait("pause", 1, "h")] });
    for (const [name, minute, workflowId] of [
      ["first", "00", fine],
      ["failed", "01", broken],
      ["waiting", "02", slow],
      ["last", "03", fine],
    ] as const) {
      clock.set(`2026-11-22T10:${minute}:00.000Z`);
      ids[name] = await startRun(owner, workflowId);
    }
    clock.set("2026-11-22T10:04:30.000Z");
    await owner.request("POST", "/api/schedules", { workflowId: fine, cron: "4 10 * * *" });
    const { body } = await owner.request("POST", "/api/admin/tick");
    ids.scheduled = body.fired[0].runId;
    clock.set("2026-11-22T09:00:00.000Z");
    for (const name of ["first", "failed", "last", "scheduled"]) await endedRun(owner, String(ids[name]));
    await runInState(owner, String(ids.waiting), "waiting");
  });

  it("shows every run of the organization, newest first, without input and output", async () => {
    expect(await list("")).toEqual(["scheduled", "last", "waiting", "failed", "first"]);
    const { body } = await owner.request("GET", "/api/runs?limit=1");
    expect(body.data[0]).toEqual({
      id: ids.scheduled,
      workflowId: fine,
      workflowVersion: 1,
      state: "completed",
      trigger: expect.objectContaining({ kind: "schedule" }),
      createdAt: "2026-11-22T10:04:30.000Z",
      startedAt: expect.any(String),
      finishedAt: expect.any(String),
    });
  });

  it("filters by workflow, state, trigger and creation, also all at once", async () => {
    expect(await list(`?workflowId=${broken}`)).toEqual(["failed"]);
    expect(await list(`?workflowId=${broken.toUpperCase()}`)).toEqual(["failed"]);
    expect(await list("?state=waiting")).toEqual(["waiting"]);
    expect(await list("?state=failed")).toEqual(["failed"]);
    expect(await list("?state=canceled")).toEqual([]);
    expect(await list("?trigger=schedule")).toEqual(["scheduled"]);
    expect(await list("?trigger=manual")).toEqual(["last", "waiting", "failed", "first"]);
    expect(await list("?createdAfter=2026-11-22T10:01:00Z")).toEqual(["scheduled", "last", "waiting"]);
    expect(await list("?createdBefore=2026-11-22T10:01:00.000Z")).toEqual(["first"]);
    const berlin = encodeURIComponent("2026-11-22T11:00:59.999+01:00");
    expect(await list(`?createdAfter=${berlin}&createdBefore=2026-11-22T10:03:00Z`)).toEqual([
      "waiting",
      "failed",
    ]);
    expect(
      await list(`?workflowId=${fine}&state=completed&trigger=manual&createdAfter=2026-11-22T10:00:30Z`),
    ).toEqual(["last"]);
  });

  it("is empty for a workflow that is not there", async () => {
    expect(await list(`?workflowId=${UNKNOWN_ID}`)).toEqual([]);
    expect(await list("?workflowId=nonsense")).toEqual([]);
  });

  it.each([
    "state=done",
    "trigger=cron",
    "createdAfter=yesterday",
    "createdAfter=2026-11-22",
    "createdBefore=2026-11-22T10:00:00",
    "limit=101",
    "after=nonsense",
    "state=failed&state=completed",
  ])("refuses %s", async (query) => {
    const { status, body } = await owner.request("GET", `/api/runs?${query}`);
    expect([status, body.error, body.issues[0].path]).toEqual([400, "invalid_body", [query.split("=")[0]]]);
  });

  it("has pages without gap or duplicate, forwards and back, though all runs have the same instant", async () => {
    const many = await newClient(server.url);
    const id = await createWorkflow(many, echo);
    const started = await Promise.all(Array.from({ length: 12 }, () => startRun(many, id)));
    for (const runId of started) await endedRun(many, runId);
    for (const limit of [1, 5, 12]) {
      const rows = await walkPages(many, "/api/runs?state=completed", limit);
      expect(rows.map((row) => row.id).sort()).toEqual([...started].sort());
    }
  });
});
