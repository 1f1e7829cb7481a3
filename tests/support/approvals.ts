import { expect } from "vitest";
import { type Answer, send, type TestClient, waitFor } from "./client.js";
import { block, connect, createWorkflow, type Parts, transform, trigger } from "./workflows.js";

/** A workflow that asks what is to become of `{{trigger.amount}}` and has a way for each outcome. */
function asking(params: Record<string, unknown>): Parts {
  return {
    blocks: [
      trigger,
      block("ask", "human_approval", { prompt: "Refund {{trigger.amount}}?", ...params }),
      transform("pay", "paid"),
      transform("decline", "declined"),
      transform("remind", "nobody came"),
    ],
    connections: [
      ...connect("start>ask"),
      { source: "ask", target: "pay", sourceHandle: "approved" },
      { source: "ask", target: "decline", sourceHandle: "rejected" },
      { source: "ask", target: "remind", sourceHandle: "timed_out" },
    ],
  };
}

/** What tests do with the approvals of a client's organization. */
export function approvalsOf(client: TestClient) {
  /** The approvals of a run once there are so many. */
  const askedBy = async (runId: string, count = 1) => {
    const { body } = await waitFor(
      () => client.request("GET", `/api/approvals?runId=${runId}`),
      (answer) => answer.body.data.length === count,
    );
    return body.data;
  };
  const createAsking = (params: Record<string, unknown>) => createWorkflow(client, asking(params));
  return {
    askedBy,
    /** Creates a workflow whose runs ask. */
    createAsking,
    /** Starts a run that asks and gives its approval. */
    async ask(params: Record<string, unknown> = {}, starter = client.key) {
      const workflowId = await createAsking(params);
      const path = `/api/workflows/${workflowId}/run`;
      const { body } = await send(client.url, starter, "POST", path, { input: { amount: 5 } });
      const [approval] = await askedBy(body.runId);
      return approval;
    },
    decide(id: string, verb: "approve" | "reject", key = client.key, note?: string): Promise<Answer> {
      const body = note === undefined ? undefined : { note };
      return send(client.url, key, "POST", `/api/approvals/${id}/${verb}`, body);
    },
  };
}

/** What an answer with this code has to match. */
export const refusal = (status: number, error: string, message: RegExp) => ({
  status,
  body: { error, message: expect.stringMatching(message) },
});
