import { expect } from "vitest";
import type { Sql } from "../../server/db/client.js";
import { readRun, type TestClient, waitFor } from "./client.js";
import type { SettableClock } from "./clocks.js";
import { createWorkflow, trigger, walkPages } from "./workflows.js";

/** Creates a schedule, of a workflow of its own unless one is named, and gives it as it was answered. */
export async function createSchedule(client: TestClient, body: Readonly<Record<string, unknown>> = {}) {
  const workflowId = body.workflowId ?? (await createWorkflow(client, { blocks: [trigger] }));
  const answer = await client.request("POST", "/api/schedules", { cron: "0 9 * * *", workflowId, ...body });
  expect([answer.status, answer.body.error]).toEqual([201, undefined]);
  return answer.body;
}

/** What tests do with the schedules of a client's organization, on a server that goes by the clock. */
export function schedulesOf(client: TestClient, { clock, sql }: { clock: SettableClock; sql: Sql }) {
  /** Rows of the ledger, oldest first, as `minute outcome`; waits until `isDone`. */
  const ledger = (id: string, isDone: (rows: string[]) => boolean): Promise<string[]> =>
    waitFor(async () => {
      const rows = await walkPages(client, `/api/schedules/${id}/occurrences`, 100);
      return rows.map((row) => `${row.scheduledFor.slice(11, 16)} ${row.outcome}`).reverse();
    }, isDone);
  /** The run that an instant has got. */
  const runOf = async (id: string, minute: string): Promise<string> => {
    const rows = await walkPages(client, `/api/schedules/${id}/occurrences`, 100);
    return rows.find((row) => row.scheduledFor.slice(11, 16) === minute).runId;
  };
  return {
    /** Creates a schedule that fires every minute and gives its id. */
    schedule: async (more: Readonly<Record<string, unknown>> = {}): Promise<string> =>
      (await createSchedule(client, { cron: "* * * * *", ...more })).id,
    get: async (id: string) => (await client.request("GET", `/api/schedules/${id}`)).body,
    ledger,
    ledgerOf: (id: string, count: number) => ledger(id, (rows) => rows.length >= count),
    runOf,
    stateOf: async (runId: string) => (await readRun(client, runId)).state,
    /** Sets the clock; the scheduler sleeps by real time, but looks at the clock again when it is notified. */
    async moveTo(instant: string): Promise<void> {
      clock.set(instant);
      await sql`notify schedule_changed`;
    },
  };
}
