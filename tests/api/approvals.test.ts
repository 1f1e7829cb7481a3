import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type Answer, endedRun, newClient, send, type TestClient, waitFor } from "../support/client.js";
import { startTestServer, type TestServer } from "../support/server.js";
import { mintKey, type SignedUp, signUp } from "../support/sign-up.js";
import {
  block,
  connect,
  createWorkflow,
  startRun,
  transform,
  trigger,
  walkPages,
} from "../support/workflows.js";

const HOUR_MS = 3_600_000;

let server: TestServer;
let ada: TestClient;
/** How far the server's clock is ahead, in milliseconds. */
let ahead = 0;

beforeAll(async () => {
  server = await startTestServer({ now: () => new Date(Date.now() + ahead) });
});
afterAll(() => server.close());
beforeEach(async () => {
  ahead = 0;
  ada = await newClient(server.url);
});

const asking = (params: Record<string, unknown> = {}) => ({
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
});

/** Starts a run that asks and gives its approval. */
async function ask(params: Record<string, unknown> = {}, starter = ada.key) {
  const workflowId = await createWorkflow(ada, asking(params));
  const { body } = await send(server.url, starter, "POST", `/api/workflows/${workflowId}/run`, {
    input: { amount: 5 },
  });
  return approvalOf(body.runId);
}

async function approvalOf(runId: string) {
  const { body } = await waitFor(
    () => ada.request("GET", `/api/approvals?runId=${runId}`),
    (answer) => answer.body.data.length > 0,
  );
  return body.data[0];
}

/** Comes back once the block waits. */
const waitingBlock = (runId: string, blockId: string) =>
  waitFor(
    () => ada.request("GET", `/api/runs/${runId}`),
    ({ body }) => body.blocks[blockId].state === "waiting",
  );

type Verb = "approve" | "reject";
const decide = (id: string, verb: Verb, key = ada.key, note?: string): Promise<Answer> =>
  send(server.url, key, "POST", `/api/approvals/${id}/${verb}`, note === undefined ? undefined : { note });
const refusal = (status: number, error: string, message: RegExp) => ({
  status,
  body: { error, message: expect.stringMatching(message) },
});

/** Signs somebody up and makes them a member of Ada's organization, active in their session. */
async function join(role: string, name: string): Promise<SignedUp> {
  const guest = await signUp(server.url, { name });
  const { organizationId, token } = ada.session;
  const post = (from: string, path: string, body: unknown) =>
    send(server.url, from, "POST", `/api/auth/organization/${path}`, body, { origin: server.url });
  const invited = await post(token, "invite-member", { email: guest.email, role, organizationId });
  const accepted = await post(guest.token, "accept-invitation", { invitationId: invited.body.id });
  expect(accepted.status).toBe(200);
  expect(await post(guest.token, "set-active", { organizationId })).toMatchObject({ status: 200 });
  return guest;
}

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
    const grace = await join("member", "Grace Hopper");
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

  it("is canceled with its run", async () => {
    const { id, runId } = await ask();
    await ada.request("POST", `/api/runs/${runId}/cancel`);
    expect(await ada.request("GET", `/api/approvals/${id}`)).toMatchObject({ body: { state: "canceled" } });
    expect(await decide(id, "approve")).toMatchObject(refusal(409, "conflict", /run has ended/));
    const { body } = await ada.request("GET", "/api/approvals?state=pending");
    expect(body.data).toEqual([]);
  });

  it("is canceled when another branch fails its run", async () => {
    const workflowId = await createWorkflow(ada, {
      blocks: [
        trigger,
        block("ask", "human_approval", { prompt: "Go?" }),
        block("event", "wait_for_event", { eventName: "boom" }),
        block("fail", "wait_until", { at: "{{event.data}}" }),
      ],
      connections: connect("start>ask", "start>event>fail"),
    });
    const runId = await startRun(ada, workflowId);
    const { id } = await approvalOf(runId);
    await ada.request("POST", "/api/signals", { name: "boom", payload: "no time" });
    expect(await endedRun(ada, runId)).toMatchObject({ state: "failed" });
    expect(await ada.request("GET", `/api/approvals/${id}`)).toMatchObject({ body: { state: "canceled" } });
  });

  it("that lost a race is canceled at once, and another wait that lost takes no signal", async () => {
    const workflowId = await createWorkflow(ada, {
      blocks: [
        trigger,
        block("ask", "human_approval", { prompt: "Go?" }),
        block("event", "wait_for_event", { eventName: "go" }),
        block("late", "wait_for_event", { eventName: "too late" }),
        transform("first", "went on", { join: "any" }),
        block("end", "wait_for_event", { eventName: "end" }),
      ],
      connections: connect("start>ask>first", "start>event>first", "start>late>first", "first>end"),
    });
    const runId = await startRun(ada, workflowId);
    const { id } = await approvalOf(runId);
    await waitingBlock(runId, "late");
    await ada.request("POST", "/api/signals", { name: "go" });
    await waitingBlock(runId, "end");
    const canceled = { body: { state: "canceled" } };
    await expect.poll(() => ada.request("GET", `/api/approvals/${id}`)).toMatchObject(canceled);
    const { blocks } = (await ada.request("GET", `/api/runs/${runId}`)).body;
    expect(blocks).toMatchObject({ ask: { state: "canceled" }, late: { state: "canceled" } });
    expect((await ada.request("POST", "/api/signals", { name: "too late" })).body).toMatchObject({
      delivered: [],
      buffered: true,
    });
    await ada.request("POST", "/api/signals", { name: "end" });
    expect((await endedRun(ada, runId)).output.outputs).toMatchObject({ first: { result: "went on" } });
  });

  it("that outlasts the timeoutMs of its block is canceled, and so is another run; the failure can be caught", async () => {
    const asked = await createWorkflow(ada, { blocks: [block("ask", "human_approval", { prompt: "Go?" })] });
    const limited = { timeoutMs: 200, onError: "continue" };
    const workflowId = await createWorkflow(ada, {
      blocks: [
        block("ask", "human_approval", { prompt: "Now?" }, limited),
        block("child", "run_workflow", { workflowId: asked }, limited),
        block("loop", "for_each", { items: [1] }, limited),
        block("body", "wait_for_event", { eventName: "never" }),
      ],
      connections: [{ source: "loop", target: "body", sourceHandle: "each" }],
    });
    const runId = await startRun(ada, workflowId);
    const { state, output } = await endedRun(ada, runId);
    const error = { code: "timeout", message: expect.stringContaining("200 ms") };
    expect(state).toBe("completed");
    expect(output.outputs).toEqual({ ask: { error }, child: { error }, loop: { error } });
    const approvals = (await ada.request("GET", "/api/approvals?limit=100")).body.data;
    expect(approvals.map((approval: { state: string }) => approval.state)).toEqual(["canceled", "canceled"]);
    const children = (await ada.request("GET", `/api/runs?workflowId=${asked}`)).body.data;
    expect(children).toMatchObject([{ state: "canceled" }]);
    expect((await ada.request("POST", "/api/signals", { name: "never" })).body).toMatchObject({
      buffered: true,
    });
  });

  describe("inside a loop", () => {
    const startLoop = async () => {
      const workflowId = await createWorkflow(ada, {
        blocks: [
          trigger,
          block("each", "for_each", { items: "{{trigger.amounts}}", parallelism: 3 }),
          block("ask", "human_approval", { prompt: "Pay {{each.item}}?", details: "{{each.index}}" }),
        ],
        connections: [...connect("start>each"), { source: "each", target: "ask", sourceHandle: "each" }],
      });
      const runId = await startRun(ada, workflowId, { input: { amounts: [10, 20, 30] } });
      const { body } = await waitFor(
        () => ada.request("GET", `/api/approvals?runId=${runId}`),
        (answer) => answer.body.data.length === 3,
      );
      return { runId, asked: body.data };
    };

    it("is one per item, and each item goes on by its own", async () => {
      const { runId, asked } = await startLoop();
      for (const { id, details } of asked) await decide(id, details === 1 ? "reject" : "approve");
      const run = await endedRun(ada, runId);
      expect(run.output.outputs.each).toMatchObject({
        results: [{ ask: { approved: true } }, { ask: { approved: false } }, { ask: { approved: true } }],
      });
    });

    it("is canceled with the run that clients see", async () => {
      const { runId } = await startLoop();
      await ada.request("POST", `/api/runs/${runId}/cancel`);
      const { body } = await ada.request("GET", `/api/approvals?runId=${runId}&state=canceled`);
      expect(body.data).toHaveLength(3);
    });
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
      await join("member", "Grace Hopper"),
      await join("admin", "Alan Turing"),
      await join("member", "Edsger Dijkstra"),
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
    const grace = await join("member", "Grace Hopper");
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

describe("a timeout", () => {
  const SHORT = 0.0001;

  it.each([
    ["continue", { approved: false, outcome: "timed_out" }, "remind"],
    ["reject", { approved: false, outcome: "rejected" }, "decline"],
    ["approve", { approved: true, outcome: "approved" }, "pay"],
  ])("with onTimeout %s goes its way", async (onTimeout, output, taken) => {
    const { id, runId } = await ask({ timeoutHours: SHORT, onTimeout });
    const { outputs } = (await endedRun(ada, runId)).output;
    expect(outputs.ask).toEqual({ ...output, by: null, note: null, timedOut: true, decisions: [] });
    expect(Object.keys(outputs).toSorted()).toEqual(["ask", "start", taken].toSorted());
    expect(await ada.request("GET", `/api/approvals/${id}`)).toMatchObject({ body: { state: "expired" } });
  });

  it("with onTimeout fail fails the block", async () => {
    const { runId } = await ask({ timeoutHours: SHORT, onTimeout: "fail" });
    expect(await endedRun(ada, runId)).toMatchObject({
      state: "failed",
      error: { code: "approval_timed_out", blockId: "ask" },
    });
  });

  it("lets nobody decide any more, also while the run has not noticed yet", async () => {
    const { id } = await ask({ timeoutHours: 1, quorum: 2 });
    expect(await decide(id, "approve")).toMatchObject({ status: 200 });
    ahead = HOUR_MS + 1;
    const told = refusal(410, "expired", /time to decide/);
    expect(await decide(id, "approve", ada.session.token)).toMatchObject(told);
    expect(await decide(id, "reject", ada.session.token)).toMatchObject(told);
    expect(await decide(id, "approve")).toMatchObject({ status: 200, body: { state: "expired" } });
    expect(await ada.request("POST", `/api/approvals/${id}/links`, { name: "Me" })).toMatchObject(told);
    expect((await ada.request("GET", "/api/approvals?state=pending")).body.data).toEqual([]);
    expect((await ada.request("GET", "/api/approvals?state=expired")).body.data).toMatchObject([{ id }]);
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

describe("a link", () => {
  const makeLink = async (id: string, name = "Grace Hopper", more: object = {}) => {
    const { status, body } = await ada.request("POST", `/api/approvals/${id}/links`, { name, ...more });
    expect(status).toBe(201);
    return String(body.url);
  };
  const submit = (url: string, fields: Record<string, string>) =>
    fetch(url, { method: "POST", body: new URLSearchParams(fields) });

  it("lets somebody without an account decide on a page that needs no script and loads nothing", async () => {
    const { id, runId } = await ask({
      prompt: '<script>alert("x")</script> & pay?',
      details: { "</pre><b>": "'" },
    });
    const url = await makeLink(id, "Grace <Hopper>");
    expect(url).toMatch(new RegExp(`^${server.url}/approve/[\\w-]{43}$`));

    const page = await fetch(url);
    expect(page.status).toBe(200);
    const html = await page.text();
    expect(html).toContain("&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt; &amp; pay?");
    expect(html).toContain("&lt;/pre&gt;&lt;b&gt;");
    expect(html).toContain("Grace &lt;Hopper&gt;");
    expect(html).not.toMatch(/<script|<b>|https?:/);
    const headers = Object.fromEntries(page.headers);
    expect(headers["content-security-policy"]).toMatch(
      /^default-src 'none'; style-src 'sha256-[\w+/=]+'; form-action 'self'; /,
    );
    expect(headers).toMatchObject({
      "content-type": "text/html; charset=utf-8",
      "referrer-policy": "no-referrer",
      "x-robots-tag": "noindex, nofollow",
      "cache-control": "no-store",
    });
    expect(await ada.request("GET", `/api/approvals/${id}`)).toMatchObject({ body: { state: "pending" } });

    const done = await submit(url, { decision: "approved", note: "By <post>" });
    expect([done.status, await done.text()]).toEqual([200, expect.stringContaining("You approved")]);
    const { outputs } = (await endedRun(ada, runId)).output;
    expect(outputs.ask).toMatchObject({
      by: "Grace <Hopper>",
      note: "By <post>",
      decisions: [{ by: { kind: "link", id: "link:Grace <Hopper>", name: "Grace <Hopper>" } }],
    });
  });

  it("works once: sending the form again is fine, changing one's mind is not", async () => {
    const { id } = await ask({ quorum: 2 });
    const url = await makeLink(id);
    expect((await submit(url, { decision: "approved" })).status).toBe(200);
    expect((await submit(url, { decision: "approved" })).status).toBe(200);
    expect((await submit(url, { decision: "rejected" })).status).toBe(409);
    const again = await fetch(url);
    expect([again.status, await again.text()]).toEqual([409, expect.stringContaining("You have approved")]);
    const { body } = await ada.request("GET", `/api/approvals/${id}`);
    expect(body).toMatchObject({ state: "pending", decisions: [{ note: null }] });
  });

  it("counts as one of the quorum, and its owner once however many links there are", async () => {
    const { id } = await ask({ quorum: 2 });
    const [one, same, other] = [await makeLink(id), await makeLink(id), await makeLink(id, "Alan Turing")];
    for (const url of [one, same]) expect((await submit(url, { decision: "approved" })).status).toBe(200);
    expect(await ada.request("GET", `/api/approvals/${id}`)).toMatchObject({ body: { state: "pending" } });
    expect((await submit(other, { decision: "approved" })).status).toBe(200);
    expect(await ada.request("GET", `/api/approvals/${id}`)).toMatchObject({ body: { state: "approved" } });
  });

  it("says what is wrong when it is unknown, expired, too late or badly filled in", async () => {
    const { id } = await ask();
    const [short, late, wrong] = [
      await makeLink(id, "A", { expiresInHours: 0.5 }),
      await makeLink(id, "B"),
      await makeLink(id, "C"),
    ];
    const unknown = await fetch(`${server.url}/approve/${"x".repeat(43)}`);
    expect([unknown.status, await unknown.text()]).toEqual([404, expect.stringContaining("not known")]);
    for (const fields of [{}, { decision: "maybe" }, { decision: "approved", note: "x".repeat(2_001) }]) {
      expect((await submit(wrong, fields)).status).toBe(400);
    }
    ahead = HOUR_MS;
    for (const answer of [await fetch(short), await submit(short, { decision: "approved" })]) {
      expect([answer.status, await answer.text()]).toEqual([410, expect.stringContaining("expired")]);
    }
    await decide(id, "reject");
    for (const answer of [await fetch(late), await submit(late, { decision: "approved" })]) {
      expect([answer.status, await answer.text()]).toEqual([
        409,
        expect.stringContaining("rejected already"),
      ]);
    }
  });

  it("never outlives its approval", async () => {
    const { id, expiresAt } = await ask({ timeoutHours: 1 });
    const { body } = await ada.request("POST", `/api/approvals/${id}/links`, { name: "A" });
    expect(body.expiresAt).toBe(expiresAt);
  });

  it("is refused to an address that asks too often", async () => {
    const limited = await startTestServer({
      databaseUrl: server.databaseUrl,
      config: { role: "api", authRateLimitPerMinute: 2 },
    });
    try {
      const url = `${limited.url}/approve/${"x".repeat(43)}`;
      for (const status of [404, 404, 429]) expect((await fetch(url)).status).toBe(status);
      const refused = await fetch(url);
      expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
    } finally {
      await limited.close();
    }
  });
});
