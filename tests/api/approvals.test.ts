import { beforeEach, describe, expect, it } from "vitest";
import { approvalsOf, refusal } from "../support/approvals.js";
import { joinOrganization } from "../support/auth-calls.js";
import { endedRun, newClient, send, waitFor } from "../support/client.js";
import { createSchedule } from "../support/schedules.js";
import { useClient, useTestServer } from "../support/server-hooks.js";
import { mintKey } from "../support/sign-up.js";
import { createWebhook, deliver } from "../support/webhooks.js";
import { walkPages } from "../support/workflows.js";

const HOUR_MS = 3_600_000;

const server = useTestServer();
const ada = useClient(server, beforeEach);
const { ask, askedBy, createAsking, decide } = approvalsOf(ada);

describe("an approval", () => {
  it("shows what is asked, and lets the run go on the approved way with who and why", async () => {
    const approval = await ask({ details: { invoice: 7 }, timeoutHours: 2 });
    expect(approval).toMatchObject({
      blockId: "ask",
      prompt: "Refund 5?",
      details: { invoice: 7 },
      approvers: null,
      quorum: 1,
      state: "pending",
      decidedAt: null,
      decisions: [],
    });
    expect(Date.parse(approval.expiresAt) - Date.parse(approval.createdAt)).toBe(2 * HOUR_MS);
    expect(await ada.request("GET", `/api/approvals/${approval.id}`)).toMatchObject({ body: approval });

    const { token, userId } = ada.session;
    const answer = await decide(approval.id, "approve", token, "Checked.");
    const decision = {
      by: { kind: "user", id: userId, name: "Ada Lovelace" },
      decision: "approved",
      note: "Checked.",
      decidedAt: expect.any(String),
    };
    expect(answer).toMatchObject({ status: 200, body: { state: "approved", decisions: [decision] } });
    const run = await endedRun(ada, approval.runId);
    expect(run.output.outputs.ask).toEqual({
      approved: true,
      outcome: "approved",
      by: "Ada Lovelace",
      note: "Checked.",
      timedOut: false,
      decisions: [decision],
    });
    expect(run.output.outputs.pay).toEqual({ result: "paid" });
    expect(run.output.outputs).not.toHaveProperty("decline");
  });

  it("rejected by one lets the run go on the rejected way", async () => {
    const { id, runId } = await ask({ quorum: 2 });
    expect(await decide(id, "reject", ada.key, "Too much.")).toMatchObject({ body: { state: "rejected" } });
    const { outputs } = (await endedRun(ada, runId)).output;
    expect(outputs.ask).toMatchObject({ approved: false, by: "test", note: "Too much." });
    expect(outputs).toMatchObject({ decline: { result: "declined" } });
  });

  it("with a quorum waits for as many different people", async () => {
    const grace = await joinOrganization(server.url, ada.session);
    const { id, runId } = await ask({ quorum: 2, approvers: { roles: ["owner", "member"] } });
    expect(await decide(id, "approve", ada.session.token)).toMatchObject({ body: { state: "pending" } });
    expect(await decide(id, "approve", ada.session.token)).toMatchObject({
      status: 200,
      body: { state: "pending", decisions: [{ decision: "approved" }] },
    });
    expect(await decide(id, "approve", grace.token, "Fine.")).toMatchObject({ body: { state: "approved" } });
    const { outputs } = (await endedRun(ada, runId)).output;
    expect(outputs.ask).toMatchObject({ by: "Ada Lovelace, Grace Hopper", note: "Fine.", approved: true });
  });

  it("takes the same decision again and refuses another one", async () => {
    const { id } = await ask();
    const first = await decide(id, "approve");
    expect(await decide(id, "approve")).toMatchObject({ status: 200, body: first.body });
    expect(await decide(id, "reject")).toMatchObject(refusal(409, "conflict", /You have approved/));
    expect(await decide(id, "approve", ada.session.token)).toMatchObject({ status: 200, body: first.body });
    expect(await decide(id, "reject", ada.session.token)).toMatchObject(
      refusal(409, "conflict", /approved already/),
    );
  });

  it("decided by ten people at once is decided once, and every answer fits", async () => {
    const keys = await Promise.all(Array.from({ length: 10 }, () => mintKey(server.url, ada.session)));
    const { id, runId } = await ask();
    const answers = await Promise.all(
      keys.map((key, index) => decide(id, index % 2 === 0 ? "approve" : "reject", key)),
    );
    const { body } = await ada.request("GET", `/api/approvals/${id}`);
    expect(body.decisions).toHaveLength(1);
    const winner = body.state === "approved" ? 0 : 1;
    for (const [index, { status }] of answers.entries())
      expect(status).toBe(index % 2 === winner ? 200 : 409);
    expect((await endedRun(ada, runId)).output.outputs.ask.approved).toBe(body.state === "approved");
  });

  it("of another organization is not there", async () => {
    const { id } = await ask();
    const eve = await newClient(server.url);
    const there = await eve.request("GET", `/api/approvals/${id}`);
    expect(there).toMatchObject({ status: 404, body: { error: "not_found" } });
    expect(await decide(id, "approve", eve.key)).toMatchObject({ status: 404, body: there.body });
    expect((await eve.request("GET", "/api/approvals")).body.data).toEqual([]);
  });
});

describe("approvers", () => {
  it("are those with one of the roles or named, by id or e-mail; others are told who may", async () => {
    const [grace, alan, edsger] = [
      await joinOrganization(server.url, ada.session),
      await joinOrganization(server.url, ada.session, "admin", "Alan Turing"),
      await joinOrganization(server.url, ada.session, "member", "Edsger Dijkstra"),
    ];
    const byRole = await ask({ approvers: { roles: ["admin"] } });
    expect(await decide(byRole.id, "approve", grace.token)).toMatchObject(
      refusal(403, "forbidden", /role admin/),
    );
    expect(await decide(byRole.id, "approve", ada.session.token)).toMatchObject({ status: 403 });
    expect(await decide(byRole.id, "approve", alan.token)).toMatchObject({ status: 200 });

    const members = [grace.userId, edsger.email.toUpperCase()];
    const byName = await ask({ approvers: { members }, quorum: 2 });
    expect(await decide(byName.id, "approve", alan.token)).toMatchObject(
      refusal(403, "forbidden", /members it names/),
    );
    expect(await decide(byName.id, "approve", grace.token)).toMatchObject({ status: 200 });
    expect(await decide(byName.id, "approve", edsger.token)).toMatchObject({
      status: 200,
      body: { state: "approved" },
    });
  });

  it("are people: an API key may not decide in their place, nor hand the right on", async () => {
    const { id } = await ask({ approvers: { roles: ["owner"] } });
    const told = refusal(403, "forbidden", /reserved for people/);
    expect(await decide(id, "approve")).toMatchObject(told);
    expect(await ada.request("POST", `/api/approvals/${id}/links`, { name: "Me" })).toMatchObject(told);
  });

  it("do not include whoever started the run when self-approval is not allowed", async () => {
    const grace = await joinOrganization(server.url, ada.session);
    const { id } = await ask({ allowSelfApproval: false }, ada.session.token);
    const { token } = ada.session;
    expect(await decide(id, "approve", token)).toMatchObject(
      refusal(403, "forbidden", /You started the run/),
    );
    expect(await decide(id, "approve", ada.key)).toMatchObject(refusal(403, "forbidden", /API key/));
    const links = `/api/approvals/${id}/links`;
    expect(await send(server.url, token, "POST", links, { name: "Me" })).toMatchObject({ status: 403 });
    expect(await decide(id, "approve", grace.token)).toMatchObject({ status: 200 });
  });

  it("do not include whoever asked for the run with a key, by a schedule or by a webhook", async () => {
    const grace = await joinOrganization(server.url, ada.session);
    const workflowId = await createAsking({ allowSelfApproval: false });
    const schedule = await createSchedule(ada, { workflowId, cron: "0 0 1 1 *", overlap: "allow" });
    const webhook = await createWebhook(ada, { workflowId });
    const delivered = await deliver(webhook.url, { body: {} });
    const runIds = [];
    for (const credential of [ada.key, ada.session.token]) {
      for (const path of [
        `/api/workflows/${workflowId}/run`,
        `/api/schedules/${schedule.id}/trigger`,
        `/api/webhooks/${webhook.id}/deliveries/${delivered.body.deliveryId}/redeliver`,
      ]) {
        runIds.push((await send(server.url, credential, "POST", path)).body.runId);
      }
    }
    const backfill = { from: "2026-01-01T00:00:00Z", to: "2026-01-01T00:01:00Z" };
    const path = `/api/schedules/${schedule.id}`;
    expect((await ada.request("POST", `${path}/backfill`, backfill)).body).toMatchObject({ accepted: 1 });
    const { body } = await waitFor(
      () => ada.request("GET", `${path}/occurrences?outcome=backfilled`),
      (answer) => answer.body.data.length === 1,
    );
    runIds.push(body.data[0].runId);
    for (const runId of runIds) {
      const [{ id, startedBy }] = await askedBy(runId);
      expect(startedBy).toBe(ada.session.userId);
      const refused = await decide(id, "approve", ada.session.token);
      expect(refused).toMatchObject(refusal(403, "forbidden", /You started the run/));
      expect(await decide(id, "approve", grace.token)).toMatchObject({ status: 200 });
    }
    const [unasked] = await askedBy(delivered.body.runId);
    expect(unasked.startedBy).toBe(webhook.id);
  });

  it("need the permission approvals:write", async () => {
    const { id } = await ask();
    const reader = await mintKey(server.url, ada.session, { permissions: { approvals: ["read"] } });
    expect(await send(server.url, reader, "GET", `/api/approvals/${id}`)).toMatchObject({ status: 200 });
    expect(await decide(id, "approve", reader)).toMatchObject(refusal(403, "forbidden", /approvals:write/));
  });

  it("that cannot meet the quorum are refused at edit time", async () => {
    const { body } = await ada.request("POST", "/api/workflows", {});
    const params = { prompt: "Go?", approvers: { members: ["a@example.com"] }, quorum: 2 };
    const answer = await ada.request("POST", `/api/workflows/${body.id}/operations`, {
      ops: [{ operation_type: "add", block_id: "ask", type: "human_approval", params }],
    });
    expect(answer.body.validation_errors).toMatchObject([
      { block_id: "ask", error: expect.stringContaining("quorum") },
    ]);
  });
});

describe("the list", () => {
  it("has pending ones first, then newest first, in pages that fit together, by state and run", async () => {
    const asked = [];
    for (let count = 0; count < 5; count += 1) asked.push(await ask());
    const [a, b, c, d, e] = asked.map(({ id }) => String(id));
    await decide(String(b), "approve");
    await decide(String(e), "reject");
    const ids = (rows: readonly { id: string }[]) => rows.map(({ id }) => id);
    expect(ids(await walkPages(ada, "/api/approvals", 2))).toEqual([d, c, a, e, b]);
    expect(ids(await walkPages(ada, "/api/approvals?state=pending", 2))).toEqual([d, c, a]);
    expect(ids(await walkPages(ada, "/api/approvals?state=approved", 1))).toEqual([b]);
    const { body } = await ada.request("GET", `/api/approvals?runId=${asked[4].runId}`);
    expect(body.data).toMatchObject([{ id: e, decisions: [{ decision: "rejected" }] }]);
  });
});
