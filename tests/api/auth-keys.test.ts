import { describe, expect, it } from "vitest";
import { callAuth, joinOrganization } from "../support/auth-calls.js";
import { type Answer, send } from "../support/client.js";
import { useTestServer } from "../support/server-hooks.js";
import { type SignedUp, signUp } from "../support/sign-up.js";

const server = useTestServer();

const codeOf = ({ status, body }: Answer) => ({ status, code: body?.code });
const call = (session: SignedUp | null, method: "GET" | "POST", path: string, body?: unknown) =>
  callAuth(server.url, session, method, `/api-key${path}`, body);
const works = async (key: string) => (await send(server.url, key, "GET", "/api/workflows")).status === 200;

describe("minting", () => {
  it("needs a name only: the key belongs to the active organization and starts with fk_", async () => {
    const ada = await signUp(server.url);
    const { status, body } = await call(ada, "POST", "/create", { name: "ci" });
    expect(status).toBe(200);
    expect(body).toMatchObject({
      name: "ci",
      referenceId: ada.organizationId,
      permissions: null,
      expiresAt: null,
    });
    expect(body.key).toMatch(/^fk_[A-Za-z]{64}$/);
    expect(await works(body.key)).toBe(true);
  });

  it("takes another organization of the session's user, and no other one", async () => {
    const ada = await signUp(server.url);
    const grace = await signUp(server.url);
    const second = await callAuth(server.url, ada, "POST", "/organization/create", {
      name: "Second",
      slug: `second-${ada.userId.toLowerCase()}`,
      keepCurrentActiveOrganization: true,
    });
    const organizationId = second.body.id;
    const minted = await call(ada, "POST", "/create", { organizationId });
    expect(minted.body.referenceId).toBe(organizationId);
    for (const foreign of [grace.organizationId, "missing"]) {
      const refused = await call(ada, "POST", "/create", { organizationId: foreign });
      expect(codeOf(refused)).toEqual({ status: 403, code: "USER_NOT_MEMBER_OF_ORGANIZATION" });
    }
  });

  it("takes permissions and an end, and refuses what would not be kept", async () => {
    const ada = await signUp(server.url);
    const permissions = { workflows: ["read"], runs: ["read", "write"] };
    const minted = await call(ada, "POST", "/create", { permissions, expiresIn: 60 });
    expect(minted.body.permissions).toEqual(permissions);
    expect(Date.parse(minted.body.expiresAt)).toBeGreaterThan(Date.now());
    for (const body of [
      { permissions: { workflows: ["fly"] } },
      { permissions: { toString: ["call"] } },
      { permissions: ["workflows:read"] },
      { permissions: null },
      { expiresIn: 0 },
      { expiresIn: "60" },
      { name: "" },
      { name: "x".repeat(101) },
      { prefix: "sk_" },
      { remaining: 5 },
      { rateLimitMax: 5 },
    ]) {
      const refused = await call(ada, "POST", "/create", body);
      expect(codeOf(refused), JSON.stringify(body)).toEqual({ status: 400, code: "VALIDATION_ERROR" });
    }
  });

  it("is for sessions: with a key it is INVALID_REFERENCE_ID_FROM_API_KEY, with nothing unauthorized", async () => {
    const ada = await signUp(server.url);
    const { key } = (await call(ada, "POST", "/create", {})).body;
    for (const headers of [
      { "x-api-key": key },
      { authorization: `Bearer ${key}` },
      { "x-api-key": key, cookie: ada.cookie },
    ]) {
      const answer = await callAuth(server.url, null, "POST", "/api-key/create", {}, headers);
      expect(codeOf(answer)).toEqual({ status: 401, code: "INVALID_REFERENCE_ID_FROM_API_KEY" });
    }
    const revoked = { "x-api-key": `fk_${"a".repeat(64)}` };
    for (const headers of [revoked, {}]) {
      const answer = await callAuth(server.url, null, "POST", "/api-key/create", {}, headers);
      expect(codeOf(answer)).toEqual({ status: 401, code: "UNAUTHORIZED_SESSION" });
    }
  });

  it("is for owners and admins, and so is reading, changing and revoking", async () => {
    const ada = await signUp(server.url);
    const admin = await joinOrganization(server.url, ada, "admin");
    const member = await joinOrganization(server.url, ada, "member");
    const minted = await call(admin, "POST", "/create", { name: "by admin" });
    expect(minted.body.referenceId).toBe(ada.organizationId);
    const keyId = minted.body.id;
    const tries = [
      call(member, "POST", "/create", {}),
      call(member, "GET", "/list"),
      call(member, "GET", `/get?id=${keyId}`),
      call(member, "POST", "/update", { keyId, name: "mine" }),
      call(member, "POST", "/delete", { keyId }),
    ];
    for (const answer of await Promise.all(tries)) {
      expect(codeOf(answer)).toEqual({ status: 403, code: "INSUFFICIENT_API_KEY_PERMISSIONS" });
    }
    expect(await works(minted.body.key)).toBe(true);
    expect((await call(admin, "POST", "/delete", { keyId })).status).toBe(200);
  });
});

describe("keys of an organization", () => {
  it("are listed without secrets, by default those of the active organization", async () => {
    const ada = await signUp(server.url);
    const first = await call(ada, "POST", "/create", { name: "first" });
    await call(ada, "POST", "/create", { name: "second" });
    const { body } = await call(ada, "GET", "/list?sortBy=createdAt&sortDirection=asc");
    expect(body.total).toBe(2);
    expect(body.apiKeys.map(({ name }: { name: string }) => name)).toEqual(["first", "second"]);
    expect(JSON.stringify(body)).not.toContain(first.body.key);
    for (const key of body.apiKeys) expect(key).not.toHaveProperty("key");
    const page = await call(ada, "GET", `/list?organizationId=${ada.organizationId}&limit=1&offset=1`);
    expect(page.body.apiKeys).toHaveLength(1);
  });

  it("do not exist for strangers: a foreign id answers exactly what a missing id answers", async () => {
    const ada = await signUp(server.url);
    const eve = await signUp(server.url);
    const { id, key } = (await call(ada, "POST", "/create", {})).body;
    const asStranger = (keyId: string) =>
      Promise.all([
        call(eve, "GET", `/get?id=${keyId}`),
        call(eve, "POST", "/update", { keyId, enabled: false }),
        call(eve, "POST", "/delete", { keyId }),
      ]);
    const [foreign, missing] = await Promise.all([asStranger(id), asStranger("missing")]);
    expect(foreign.map(({ status, body }) => ({ status, body }))).toEqual(
      missing.map(({ status, body }) => ({ status, body })),
    );
    for (const answer of foreign) expect(codeOf(answer)).toEqual({ status: 404, code: "KEY_NOT_FOUND" });
    const list = (organizationId: string) => call(eve, "GET", `/list?organizationId=${organizationId}`);
    expect((await list(ada.organizationId)).body).toEqual((await list("missing")).body);
    expect(await works(key)).toBe(true);
  });

  it("cannot be given more over HTTP than they were minted with", async () => {
    const ada = await signUp(server.url);
    const { id } = (await call(ada, "POST", "/create", { permissions: { runs: ["read"] } })).body;
    const widened = await call(ada, "POST", "/update", { keyId: id, permissions: { workflows: ["write"] } });
    expect(codeOf(widened)).toEqual({ status: 400, code: "SERVER_ONLY_PROPERTY" });
  });
});

describe("verifying", () => {
  it("answers a key that works with what it is, without its secret", async () => {
    const ada = await signUp(server.url);
    const { id, key } = (await call(ada, "POST", "/create", { name: "ci", permissions: { runs: ["read"] } }))
      .body;
    const { status, body } = await call(null, "POST", "/verify", { key });
    expect(status).toBe(200);
    expect(body).toMatchObject({
      valid: true,
      key: { id, name: "ci", referenceId: ada.organizationId, permissions: { runs: ["read"] } },
    });
    expect(JSON.stringify(body)).not.toContain(key);
  });

  it("answers INVALID_TOKEN for a missing, unknown, disabled or revoked key", async () => {
    const ada = await signUp(server.url);
    const revoked = (await call(ada, "POST", "/create", {})).body;
    const disabled = (await call(ada, "POST", "/create", {})).body;
    await call(ada, "POST", "/delete", { keyId: revoked.id });
    await call(ada, "POST", "/update", { keyId: disabled.id, enabled: false });
    const keys = [revoked.key, disabled.key, `fk_${"a".repeat(64)}`, "nonsense", "", null, undefined];
    for (const key of keys) {
      const answer = await call(null, "POST", "/verify", { key });
      expect(codeOf(answer), String(key)).toEqual({ status: 401, code: "INVALID_TOKEN" });
    }
    expect(codeOf(await call(null, "POST", "/verify", { key: 5 }))).toEqual({
      status: 400,
      code: "VALIDATION_ERROR",
    });
  });
});
