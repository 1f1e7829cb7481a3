import { pino } from "pino";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Database, openDatabase } from "../../server/db/client.js";
import { RunChanges } from "../../server/runs/run-changes.js";
import { readRun, waitFor } from "../support/client.js";
import { useClient, useTestServer } from "../support/server-hooks.js";
import { connect, createWorkflow, startRun, startWaiting, transform, wait } from "../support/workflows.js";

const server = useTestServer({ config: { role: "worker" } });
const client = useClient(server);
let database: Database;
let changes: RunChanges;

beforeAll(async () => {
  database = openDatabase(server.databaseUrl, { max: 2, applicationName: "watching process" });
  changes = new RunChanges({ sql: database.sql, logger: pino({ level: "silent" }) });
  await changes.start();
});
afterAll(async () => {
  changes.stop();
  await Promise.all(reads);
  await database.close();
});

/** What subscribers read; some of it is under way when a run has ended for the test already. */
const reads: Promise<void>[] = [];

/** Reads the run after every call, as those who wait for its end do; gives the states in which it was seen. */
function watch(runId: string) {
  const states: string[] = [];
  const ended = new Promise<void>((resolve) => {
    const unsubscribe = changes.subscribe(runId, () => {
      const read = readRun(client, runId).then(({ state }) => {
        states.push(state);
        if (!["completed", "canceled", "failed"].includes(state)) return;
        unsubscribe();
        resolve();
      });
      reads.push(read);
    });
  });
  return { states, ended };
}

it("tells every change of a run of another process, its end included", async () => {
  const id = await createWorkflow(client, {
    blocks: [wait("pause", 1, "h"), transform("say", 1)],
    connections: connect("pause>say"),
  });
  const runId = await startWaiting(client, id);
  const { states, ended } = watch(runId);
  await waitFor(
    async () => states,
    (seen) => seen.includes("waiting"),
  );
  await client.request("POST", `/api/runs/${runId}/cancel`);
  await ended;
  expect(states.at(-1)).toBe("canceled");
});

it("misses no end, however close it is to the subscription", async () => {
  const id = await createWorkflow(client, { blocks: [transform("say", 1)] });
  await Promise.all(
    Array.from({ length: 40 }, async () => {
      await watch(await startRun(client, id)).ended;
    }),
  );
});

it("tells a subscriber again after its connection was lost", async () => {
  const id = await createWorkflow(client, { blocks: [wait("pause", 1, "h")] });
  const runId = await startWaiting(client, id);
  const { states, ended } = watch(runId);
  await waitFor(
    async () => states.length,
    (count) => count > 0,
  );
  const before = states.length;
  await database.sql`
    select pg_terminate_backend(pid) from pg_stat_activity
    where application_name = 'watching process' and query ilike 'listen%'`;
  await waitFor(
    async () => states.length,
    (count) => count > before,
  );
  await client.request("POST", `/api/runs/${runId}/cancel`);
  await ended;
});

it("makes step writes of runs that nobody watches notify nobody", async () => {
  const id = await createWorkflow(client, { blocks: [transform("say", 1), wait("pause", 1, "h")] });
  const heard: string[] = [];
  await database.sql.listen("run_changed", (runId) => heard.push(runId));
  const [quiet, watched] = [await startWaiting(client, id), await startWaiting(client, id)];
  const { states, ended } = watch(watched);
  await waitFor(
    async () => states.length,
    (count) => count > 0,
  );
  for (const runId of [quiet, watched]) await client.request("POST", `/api/runs/${runId}/cancel`);
  await ended;
  await waitFor(
    async () => heard,
    (runIds) => runIds.includes(watched),
  );
  expect(heard).not.toContain(quiet);
});

it("tells nothing any more once unsubscribed", async () => {
  const id = await createWorkflow(client, { blocks: [transform("say", 1)] });
  const runId = await startRun(client, id);
  let calls = 0;
  changes.subscribe(runId, () => {
    calls += 1;
  })();
  await watch(runId).ended;
  expect(calls).toBe(0);
});
