import { expect } from "vitest";
import type { Sql } from "../../server/db/client.js";
import { type Answer, endedRun, readRun, type TestClient, waitFor } from "./client.js";
import { block, connect, type Parts, trigger } from "./workflows.js";

/** A workflow that waits for an event. */
export function waitingFor(params: Record<string, unknown>): Parts {
  return {
    blocks: [trigger, block("wait", "wait_for_event", params)],
    connections: connect("start>wait"),
  };
}

/** What tests do with the signals of a client's organization. */
export function signalsOf(client: TestClient, sql: Sql) {
  const signal = (body: unknown, headers: Record<string, string> = {}, from = client): Promise<Answer> =>
    from.request("POST", "/api/signals", body, headers);
  return {
    signal,
    /** Sends a signal that has to be taken, and gives the answer's body. */
    async sendSignal(body: Record<string, unknown>, from = client) {
      const answer = await signal(body, {}, from);
      expect(answer.body).toMatchObject({ id: expect.any(String) });
      expect(answer.status).toBe(202);
      return answer.body;
    },
    /** What the wait of an ended run came to. */
    outputOf: async (runId: string) => (await endedRun(client, runId)).output.outputs.wait,
    /** What the waits of so many runs of a workflow came to, by run; asks for all of them at once, not for each. */
    async outputsOf(workflowId: string, count: number) {
      const { body } = await waitFor(
        () => client.request("GET", `/api/runs?workflowId=${workflowId}&state=completed&limit=100`),
        (answer) => answer.body.data.length === count,
      );
      const outputs = new Map<string, { readonly data: unknown; readonly timedOut: boolean }>();
      for (const { id } of body.data) outputs.set(id, (await readRun(client, id)).output.outputs.wait);
      return outputs;
    },
    /** Signals of the name that nobody has taken yet, oldest first. */
    buffered: (name: string) =>
      sql`select payload from signals where name = ${name} and consumed_at is null order by position`,
  };
}
