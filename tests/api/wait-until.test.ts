import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { waitUntil } from "../../server/connectors/builtin/wait-until.js";
import type { Connector, WaitConnector } from "../../server/connectors/define-connector.js";
import { endedRun, newClient, type TestClient, waitFor } from "../support/client.js";
import { startTestServer, type TestServer } from "../support/server.js";
import { block, connect, createWorkflow, runDocument, startRun, trigger } from "../support/workflows.js";

const DAY_MS = 86_400_000;

let server: TestServer;
let client: TestClient;
beforeAll(async () => {
  server = await startTestServer();
  client = await newClient(server.url);
});
afterAll(() => server.close());

const until = (params: Record<string, unknown>) => ({
  blocks: [trigger, block("pause", "wait_until", params)],
  connections: connect("start>pause"),
});

describe("wait_until", () => {
  it("goes on at the instant, to the second, and says when", async () => {
    const at = new Date(Date.now() + 700);
    const run = await runDocument(client, until({ at: "{{trigger.at}}" }), { at: at.toISOString() });
    const resumedAt = Date.parse(run.output.outputs.pause.resumedAt);
    expect(resumedAt).toBeGreaterThanOrEqual(at.getTime());
    expect(resumedAt).toBeLessThan(at.getTime() + 5_000);
  });

  it("does not wait for what has passed", async () => {
    const before = Date.now();
    const run = await runDocument(client, until({ at: "2020-01-01", timezone: "Asia/Tokyo" }));
    expect(Date.parse(run.output.outputs.pause.resumedAt)).toBeGreaterThanOrEqual(before);
  });

  it("holds no worker while it waits, and can be canceled", async () => {
    const at = new Date(Date.now() + 300 * DAY_MS).toISOString();
    const runId = await startRun(client, await createWorkflow(client, until({ at })));
    await waitFor(
      () => client.request("GET", `/api/runs/${runId}`),
      ({ body }) => body.state === "waiting",
    );
    expect(await client.request("POST", `/api/runs/${runId}/cancel`)).toMatchObject({ status: 204 });
    expect(await endedRun(client, runId)).toMatchObject({ state: "canceled" });
  });

  it("fails for an instant more than a year ahead and says so", async () => {
    const at = new Date(Date.now() + 366 * DAY_MS).toISOString();
    expect(await runDocument(client, until({ at }))).toMatchObject({
      state: "failed",
      error: { code: "wait_too_long", blockId: "pause", message: expect.stringContaining("365 days") },
    });
  });

  it("fails for a text that came with the run and is no time", async () => {
    const run = await runDocument(client, until({ at: "{{trigger.at}}" }), { at: "tomorrow" });
    expect(run).toMatchObject({ state: "failed", error: { code: "invalid_params", blockId: "pause" } });
    expect(run.error.message).toContain("at");
  });

  const wrong: [params: Record<string, unknown>, field: string][] = [
    [{}, "at"],
    [{ at: "tomorrow" }, "at"],
    [{ at: "2026-02-30T10:00", timezone: "UTC" }, "at"],
    [{ at: "2026-12-24T18:00" }, "timezone"],
    [{ at: "2026-12-24T18:00:00Z", timezone: "UTC" }, "timezone"],
    [{ at: "2026-12-24T18:00", timezone: "Mars/Olympus" }, "timezone"],
  ];
  it.each(wrong)("with %j is refused at edit time by %s", async (params, field) => {
    const { body } = await client.request("POST", "/api/workflows", { workflow: { blocks: [] } });
    const answer = await client.request("POST", `/api/workflows/${body.id}/operations`, {
      ops: [{ operation_type: "add", block_id: "pause", type: "wait_until", params }],
    });
    expect(answer.body.validation_errors).toMatchObject([{ block_id: "pause", field }]);
  });

  it("with references in its time is left to the run", async () => {
    const answer = await client.request("POST", "/api/workflows", {
      workflow: until({ at: "{{trigger.date}}T09:00", timezone: "Europe/Berlin" }),
    });
    const { body } = await client.request("POST", `/api/workflows/${answer.body.id}/operations`, { ops: [] });
    expect(body).toMatchObject({ ok: true, validation_errors: [] });
  });
});

it("an instant may leave out the seconds", () => {
  const now = new Date("2026-12-24T16:00:00Z");
  for (const at of ["2026-12-24T18:00+01:00", "2026-12-24T17:00Z"]) {
    expect(waitUntil.waitMs(waitUntil.params.parse({ at }), now)).toBe(3_600_000);
  }
});

describe("a local time", () => {
  const connector: Connector = waitUntil;
  const instantOf = (at: string, timezone: string, now: string) => {
    const params = connector.params.parse({ at, timezone });
    const waitMs = (connector as WaitConnector).waitMs(params, new Date(now));
    return new Date(Date.parse(now) + waitMs).toISOString();
  };

  it.each([
    ["2026-12-24T18:00", "Europe/Berlin", "2026-12-24T17:00:00.000Z"],
    ["2026-07-01T18:00:30", "America/New_York", "2026-07-01T22:00:30.000Z"],
    ["2026-12-24", "Asia/Kolkata", "2026-12-23T18:30:00.000Z"],
  ])("%s in %s is %s", (at, timezone, instant) => {
    expect(instantOf(at, timezone, "2026-03-01T00:00:00Z")).toBe(instant);
  });

  it("that the clock jumps over comes as much later as it jumps", () => {
    expect(instantOf("2026-03-29T02:30", "Europe/Berlin", "2026-03-01T00:00:00Z")).toBe(
      "2026-03-29T01:30:00.000Z",
    );
    expect(instantOf("2027-03-14T02:30", "America/New_York", "2027-03-01T00:00:00Z")).toBe(
      "2027-03-14T07:30:00.000Z",
    );
  });

  it("that the clock shows twice is the first of the two", () => {
    expect(instantOf("2026-10-25T02:30", "Europe/Berlin", "2026-03-01T00:00:00Z")).toBe(
      "2026-10-25T00:30:00.000Z",
    );
    expect(instantOf("2027-04-04T01:45", "Australia/Lord_Howe", "2027-03-01T00:00:00Z")).toBe(
      "2027-04-03T14:45:00.000Z",
    );
  });
});
