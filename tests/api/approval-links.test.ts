import { beforeEach, describe, expect, it } from "vitest";
import { approvalsOf, refusal } from "../support/approvals.js";
import { callAuth, joinOrganization } from "../support/auth-calls.js";
import { endedRun, send } from "../support/client.js";
import { useShiftedClock } from "../support/clocks.js";
import { startTestServer } from "../support/server.js";
import { useClient, useTestServer } from "../support/server-hooks.js";
import type { SignedUp } from "../support/sign-up.js";

const HOUR_MS = 3_600_000;

const clock = useShiftedClock();
const server = useTestServer({ now: clock.now });
const ada = useClient(server, beforeEach);
const { ask, decide } = approvalsOf(ada);

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
      decisions: [{ by: { kind: "link", id: expect.any(String), name: "Grace <Hopper>" } }],
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

  it("has the voice of whoever makes it, so that nobody reaches a quorum alone", async () => {
    const { id } = await ask({ quorum: 2 });
    const [one, same, other] = [await makeLink(id), await makeLink(id), await makeLink(id, "Alan Turing")];
    for (const url of [one, same]) expect((await submit(url, { decision: "approved" })).status).toBe(200);
    const told = /that voice has approved this already; another approver/;
    for (const decision of ["approved", "rejected"]) {
      const answer = await submit(other, { decision });
      expect([answer.status, await answer.text()]).toEqual([409, expect.stringMatching(told)]);
    }
    expect((await fetch(other)).status).toBe(409);
    expect(await decide(id, "approve")).toMatchObject(refusal(409, "conflict", told));
    const more = await ada.request("POST", `/api/approvals/${id}/links`, { name: "Edsger Dijkstra" });
    expect(more).toMatchObject(refusal(409, "conflict", told));
    const alan = await joinOrganization(server.url, ada.session, "member", "Alan Turing");
    const { body } = await decide(id, "approve", alan.token);
    expect(body).toMatchObject({
      state: "approved",
      decisions: [{ by: { kind: "link", name: "Grace Hopper" } }, { by: { kind: "user", id: alan.userId } }],
    });
  });

  it("is of no use once its maker has decided, or may not decide any more", async () => {
    const { id } = await ask({ quorum: 2, approvers: { roles: ["admin"] } });
    const linkOf = async ({ token }: SignedUp) => {
      const path = `/api/approvals/${id}/links`;
      const { body } = await send(server.url, token, "POST", path, { name: "Grace Hopper" });
      return String(body.url);
    };
    const alan = await joinOrganization(server.url, ada.session, "admin", "Alan Turing");
    const late = await linkOf(alan);
    expect((await decide(id, "approve", alan.token)).status).toBe(200);
    expect((await submit(late, { decision: "approved" })).status).toBe(409);

    const edsger = await joinOrganization(server.url, ada.session, "admin", "Edsger Dijkstra");
    const left = await linkOf(edsger);
    expect((await fetch(left)).status).toBe(200);
    const removal = { memberIdOrEmail: edsger.email, organizationId: edsger.organizationId };
    const removed = await callAuth(server.url, ada.session, "POST", "/organization/remove-member", removal);
    expect(removed.status).toBe(200);
    for (const answer of [await fetch(left), await submit(left, { decision: "approved" })]) {
      const told = expect.stringContaining("may not decide any more");
      expect([answer.status, await answer.text()]).toEqual([403, told]);
    }
    expect((await ada.request("GET", `/api/approvals/${id}`)).body.state).toBe("pending");
  });

  it("keeps nothing of what comes after the decision, and says what was decided", async () => {
    const { id, runId } = await ask();
    const [sam, tom] = [await makeLink(id, "Sam"), await makeLink(id, "Tom")];
    expect((await submit(sam, { decision: "approved" })).status).toBe(200);
    await endedRun(ada, runId);
    const late = await submit(tom, { decision: "approved", note: "tom" });
    expect([late.status, await late.text()]).toEqual([409, expect.stringContaining("approved already")]);
    expect((await submit(sam, { decision: "approved" })).status).toBe(200);
    const { body } = await ada.request("GET", `/api/approvals/${id}`);
    expect(body.decisions).toMatchObject([{ by: { name: "Sam" }, note: null }]);
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
    clock.aheadMs = HOUR_MS;
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
