import { pino } from "pino";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createIdentity } from "../../server/auth/identity.js";
import { type Database, openDatabase } from "../../server/db/client.js";
import { callAuth, joinOrganization } from "../support/auth-calls.js";
import { send } from "../support/client.js";
import { useTestServer } from "../support/server-hooks.js";
import { mintKey, type SignedUp, signUp } from "../support/sign-up.js";

const server = useTestServer();
let database: Database;

beforeAll(() => {
  database = openDatabase(server.databaseUrl, { max: 2, applicationName: "flowkeep test" });
});
afterAll(() => database.close());

/** Answer of a protected route to these headers. */
const ask = (headers: Record<string, string>) =>
  send(server.url, null, "GET", "/api/workflows", undefined, headers);
const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

/** Mints a key and answers with its secret and its id. */
async function mint(
  owner: SignedUp,
  body: Record<string, unknown> = {},
): Promise<{ key: string; id: string }> {
  return (await callAuth(server.url, owner, "POST", "/api-key/create", { name: "test", ...body })).body;
}

describe("credentials", () => {
  it("are a cookie, a session token raw or signed, or a key in either header, right after sign-up", async () => {
    const ada = await signUp(server.url);
    const key = await mintKey(server.url, ada);
    const signIn = await callAuth(server.url, null, "POST", "/sign-in/email", ada);
    const signed = String(signIn.headers.get("set-auth-token"));
    expect(signed).toContain(".");
    const all = [
      { cookie: ada.cookie },
      bearer(ada.token),
      bearer(signed),
      bearer(encodeURIComponent(signed)),
      bearer(key),
      { authorization: `bearer ${key}` },
      { "x-api-key": key },
    ];
    for (const headers of all) expect((await ask(headers)).status, JSON.stringify(headers)).toBe(200);
  });

  it("resolve to the organization and the kind of principal", async () => {
    const ada = await signUp(server.url);
    const { key, id } = await mint(ada);
    const { authenticate } = server.services.identity;
    expect(await authenticate({ cookie: ada.cookie })).toMatchObject({
      kind: "user",
      id: ada.userId,
      organizationId: ada.organizationId,
    });
    expect(await authenticate({ "x-api-key": key })).toMatchObject({
      kind: "api_key",
      id,
      organizationId: ada.organizationId,
    });
  });

  it("are unauthorized when absent, malformed, unknown or forged", async () => {
    const ada = await signUp(server.url);
    const key = await mintKey(server.url, ada);
    const [name, value] = ada.cookie.split("=", 2);
    const forged = `${name}=${encodeURIComponent(`${ada.token}.${Buffer.alloc(32).toString("base64")}`)}`;
    const all: Record<string, string>[] = [
      {},
      { authorization: "" },
      { authorization: "Bearer" },
      { authorization: `Basic ${key}` },
      { authorization: key },
      bearer("fk_"),
      bearer(`${key}x`),
      bearer(`${key} x`),
      bearer("x".repeat(32)),
      bearer(`${ada.token}.forged`),
      bearer("%00%ff"),
      { "x-api-key": "" },
      { "x-api-key": ada.token },
      { "x-api-key": `fk_${"a".repeat(64)}` },
      { cookie: forged },
      { cookie: `${name}=${ada.token}` },
      { cookie: `${name}=${String(value).slice(1)}` },
      { cookie: ";=;" },
    ];
    for (const headers of all) {
      const { status, body } = await ask(headers);
      expect({ status, error: body.error }, JSON.stringify(headers)).toEqual({
        status: 401,
        error: "unauthorized",
      });
    }
  });

  it("in a header win over the cookie, and a malformed header is not healed by one", async () => {
    const ada = await signUp(server.url);
    const grace = await signUp(server.url);
    const key = await mintKey(server.url, grace);
    const { authenticate } = server.services.identity;
    const { cookie } = ada;
    const principal = await authenticate({ cookie, "x-api-key": key });
    expect(principal.organizationId).toBe(grace.organizationId);
    expect((await authenticate({ cookie, ...bearer(key) })).organizationId).toBe(grace.organizationId);
    for (const headers of [
      { cookie, authorization: "Nonsense" },
      { cookie, "x-api-key": "nonsense" },
    ]) {
      expect((await ask(headers)).body.error).toBe("unauthorized");
    }
    expect((await ask({ authorization: "Nonsense", "x-api-key": key })).body.error).toBe("unauthorized");
  });

  it("in a cookie count only for pages of trusted origins", async () => {
    const { cookie, token } = await signUp(server.url);
    expect((await ask({ cookie, origin: "https://evil.example" })).body.error).toBe("unauthorized");
    expect((await ask({ cookie, origin: "null" })).body.error).toBe("unauthorized");
    expect((await ask({ cookie, origin: server.url })).status).toBe(200);
    expect((await ask({ ...bearer(token), origin: "https://evil.example" })).status).toBe(200);
  });
});

describe("every request is checked anew:", () => {
  it("a deleted, a disabled and an expired key are refused on the next request", async () => {
    const ada = await signUp(server.url);
    const deleted = await mint(ada);
    const disabled = await mint(ada);
    const expired = await mint(ada, { expiresIn: 3_600 });
    for (const { key } of [deleted, disabled, expired]) expect((await ask(bearer(key))).status).toBe(200);
    await callAuth(server.url, ada, "POST", "/api-key/delete", { keyId: deleted.id });
    await callAuth(server.url, ada, "POST", "/api-key/update", { keyId: disabled.id, enabled: false });
    await database.sql`update apikey set expires_at = now() - interval '1 second' where id = ${expired.id}`;
    for (const { key } of [deleted, disabled, expired]) {
      expect((await ask(bearer(key))).body.error).toBe("unauthorized");
      expect((await ask({ "x-api-key": key })).body.error).toBe("unauthorized");
    }
  });

  it("an ended and a signed-out session are refused", async () => {
    const ended = await signUp(server.url);
    await database.sql`update session set expires_at = now() - interval '1 second' where token = ${ended.token}`;
    expect((await ask(bearer(ended.token))).body.error).toBe("unauthorized");
    const signedOut = await signUp(server.url);
    await callAuth(server.url, signedOut, "POST", "/sign-out");
    expect((await ask({ cookie: signedOut.cookie })).body.error).toBe("unauthorized");
  });

  it("a removed member has no active organization until choosing another one", async () => {
    const ada = await signUp(server.url);
    const grace = await joinOrganization(server.url, ada);
    const { authenticate } = server.services.identity;
    expect((await authenticate(bearer(grace.token))).organizationId).toBe(ada.organizationId);
    const removed = await callAuth(server.url, ada, "POST", "/organization/remove-member", {
      memberIdOrEmail: grace.email,
      organizationId: ada.organizationId,
    });
    expect(removed.status).toBe(200);
    const { status, body } = await ask(bearer(grace.token));
    expect({ status, error: body.error }).toEqual({ status: 401, error: "no_active_organization" });
    const own = await callAuth(server.url, grace, "GET", "/organization/list");
    const organizationId = own.body[0].id;
    await callAuth(server.url, grace, "POST", "/organization/set-active", { organizationId });
    expect((await authenticate(bearer(grace.token))).organizationId).toBe(organizationId);
  });

  it("a deleted organization takes its keys and its place in sessions with it", async () => {
    const ada = await signUp(server.url);
    const key = await mintKey(server.url, ada);
    const { organizationId } = ada;
    const deleted = await callAuth(server.url, ada, "POST", "/organization/delete", { organizationId });
    expect(deleted.status).toBe(200);
    expect((await ask(bearer(key))).body.error).toBe("unauthorized");
    expect((await ask(bearer(ada.token))).body.error).toBe("no_active_organization");
    const again = await callAuth(server.url, null, "POST", "/sign-in/email", ada);
    expect((await ask(bearer(again.body.token))).body.error).toBe("no_active_organization");
  });

  it("a foreign organization cannot be made active, and the present one stays", async () => {
    const ada = await signUp(server.url);
    const grace = await signUp(server.url);
    for (const organizationId of [grace.organizationId, "missing"]) {
      const answer = await callAuth(server.url, ada, "POST", "/organization/set-active", { organizationId });
      expect(answer.status).toBe(403);
      expect(answer.body.code).toBe("USER_IS_NOT_A_MEMBER_OF_THE_ORGANIZATION");
    }
    const principal = await server.services.identity.authenticate(bearer(ada.token));
    expect(principal.organizationId).toBe(ada.organizationId);
    const none = await callAuth(server.url, ada, "POST", "/organization/set-active", {
      organizationId: null,
    });
    expect(none.status).toBe(200);
    expect((await ask(bearer(ada.token))).body.error).toBe("no_active_organization");
  });

  it("permissions of a key restrict it, and are refused with 403 beyond", async () => {
    const ada = await signUp(server.url);
    const key = await mintKey(server.url, ada, { permissions: { workflows: ["read"] } });
    const { permissions } = await server.services.identity.authenticate(bearer(key));
    expect([...permissions]).toEqual(["workflows:read"]);
    expect((await ask(bearer(key))).status).toBe(200);
    const answer = await send(server.url, key, "POST", "/api/workflows", {});
    expect({ status: answer.status, error: answer.body.error }).toEqual({ status: 403, error: "forbidden" });
  });
});

describe("cost and bookkeeping", () => {
  /** An identity whose statements are counted. */
  function counting() {
    let statements = 0;
    const sql = new Proxy(database.sql, {
      apply: (target, self, args) => {
        statements += 1;
        return Reflect.apply(target, self, args);
      },
    });
    const identity = createIdentity({
      database: { ...database, sql },
      secret: "0f9c1b7e5a3d42868d1f7c2b9e4a6d035b8c",
      baseUrl: server.url,
      trustedOrigins: [],
      logger: pino({ level: "silent" }),
      stampAfterMs: 60_000,
    });
    return { identity, statements: () => statements };
  }

  it("one authentication is one statement, and junk is refused without any", async () => {
    const ada = await signUp(server.url);
    const key = await mintKey(server.url, ada);
    const { identity, statements } = counting();
    for (const headers of [{ cookie: ada.cookie }, bearer(ada.token), bearer(key), { "x-api-key": key }]) {
      const before = statements();
      await identity.authenticate(headers);
      expect(statements() - before).toBe(1);
    }
    const before = statements();
    await expect(identity.authenticate(bearer("fk_short"))).rejects.toMatchObject({
      errorCode: "unauthorized",
    });
    await expect(identity.authenticate({ cookie: "better-auth.session_token=a.b" })).rejects.toThrow();
    expect(statements() - before).toBe(0);
    await identity.close();
  });

  it("the last use of keys is written in one statement at close, not per request", async () => {
    const ada = await signUp(server.url);
    const minted = await Promise.all([mint(ada), mint(ada), mint(ada)]);
    const { identity, statements } = counting();
    for (let round = 0; round < 5; round += 1) {
      await Promise.all(minted.map(({ key }) => identity.authenticate(bearer(key))));
    }
    expect(statements()).toBe(15);
    const readStamps = () => database.sql<{ lastRequest: Date | null }[]>`
      select last_request from apikey where id = any(${minted.map(({ id }) => id)}::text[])`;
    expect((await readStamps()).map(({ lastRequest }) => lastRequest)).toEqual([null, null, null]);
    await identity.close();
    expect(statements()).toBe(16);
    for (const { lastRequest } of await readStamps())
      expect(Date.now() - Number(lastRequest)).toBeLessThan(60_000);
  });

  it("a session slides once a day, one without remember-me never", async () => {
    const ada = await signUp(server.url);
    const brief = await callAuth(server.url, null, "POST", "/sign-in/email", { ...ada, rememberMe: false });
    const { identity } = counting();
    const remainingDays = async (token: string) => {
      const [row] = await database.sql<{ days: number }[]>`
        select extract(epoch from expires_at - now())::float8 / 86400 as days from session where token = ${token}`;
      return Number(row?.days);
    };
    await database.sql`
      update session set created_at = created_at - interval '3 days', expires_at = expires_at - interval '3 days'
      where token = ${ada.token}`;
    expect(await remainingDays(ada.token)).toBeLessThan(4.1);
    await identity.authenticate(bearer(ada.token));
    await identity.authenticate(bearer(brief.body.token));
    await identity.close();
    expect(await remainingDays(ada.token)).toBeGreaterThan(6.9);
    expect(await remainingDays(brief.body.token)).toBeLessThan(1.01);
  });
});
