import { randomBytes } from "node:crypto";
import { describe, expect, it } from "vitest";
import { callAuth, joinOrganization } from "../support/auth-calls.js";
import { type Answer, send } from "../support/client.js";
import { startTestServer } from "../support/server.js";
import { useSql, useTestServer } from "../support/server-hooks.js";
import { mintKey, signUp } from "../support/sign-up.js";

const server = useTestServer();
const sql = useSql(server);

const newEmail = () => `user-${randomBytes(8).toString("hex")}@example.com`;
const codeOf = ({ status, body }: Answer) => ({ status, code: body?.code });

/** Sends a body as it is. */
async function raw(path: string, init: RequestInit): Promise<Answer> {
  const response = await fetch(`${server.url}/api/auth${path}`, { method: "POST", ...init });
  const text = await response.text();
  expect(response.headers.get("content-type")).toMatch(/^application\/json/);
  return { status: response.status, headers: response.headers, body: JSON.parse(text) };
}

describe("sign-up and sign-in", () => {
  it("answer INVALID_CREDENTIALS, USER_NOT_FOUND and USER_ALREADY_EXISTS, whatever the case of the address", async () => {
    const ada = await signUp(server.url);
    const signIn = (email: string, password: string) =>
      callAuth(server.url, null, "POST", "/sign-in/email", { email, password });
    expect((await signIn(ada.email.toUpperCase(), ada.password)).status).toBe(200);
    expect(codeOf(await signIn(ada.email.toUpperCase(), "wrong password"))).toEqual({
      status: 401,
      code: "INVALID_CREDENTIALS",
    });
    expect(codeOf(await signIn(newEmail(), ada.password))).toEqual({ status: 401, code: "USER_NOT_FOUND" });
    const again = { name: "Ada", email: ada.email.toUpperCase(), password: ada.password };
    expect(codeOf(await callAuth(server.url, null, "POST", "/sign-up/email", again))).toEqual({
      status: 422,
      code: "USER_ALREADY_EXISTS",
    });
  });

  it("make one user when the same address signs up several times at once", async () => {
    const body = { name: "Ada", email: newEmail(), password: "correct horse battery staple" };
    const answers = await Promise.all(
      Array.from({ length: 5 }, () => callAuth(server.url, null, "POST", "/sign-up/email", body)),
    );
    const codes = answers.map((answer) => (answer.status === 200 ? "made" : answer.body.code)).sort();
    expect(codes).toEqual([...Array(4).fill("USER_ALREADY_EXISTS"), "made"]);
  });

  it("answer the same for a wrong password and an unknown address with AUTH_CONCEAL_ACCOUNTS", async () => {
    const concealing = await startTestServer({
      config: { authConcealAccounts: true },
      databaseUrl: server.databaseUrl,
    });
    const ada = await signUp(concealing.url);
    const wrong = await callAuth(concealing.url, null, "POST", "/sign-in/email", {
      ...ada,
      password: "wrong one",
    });
    const unknown = await callAuth(concealing.url, null, "POST", "/sign-in/email", {
      ...ada,
      email: newEmail(),
    });
    await concealing.close();
    expect(wrong.body).toEqual(unknown.body);
    expect(codeOf(wrong)).toEqual({ status: 401, code: "INVALID_CREDENTIALS" });
    expect(unknown.status).toBe(401);
  });

  it("leave nothing behind when the personal organization cannot be made", async () => {
    await sql`alter table member add constraint refuse_owner check (role <> 'owner') not valid`;
    const email = newEmail();
    const body = { name: "Ada", email, password: "correct horse battery staple" };
    const answer = await callAuth(server.url, null, "POST", "/sign-up/email", body);
    await sql`alter table member drop constraint refuse_owner`;
    expect(answer.status).toBeGreaterThanOrEqual(400);
    expect(JSON.stringify(answer.body)).not.toMatch(/constraint|insert|params/i);
    expect(await sql`select 1 from "user" where email = ${email}`).toHaveLength(0);
    expect((await callAuth(server.url, null, "POST", "/sign-up/email", body)).status).toBe(200);
  });

  it("give every one of 20 users at once an own active organization, with two database connections", async () => {
    const narrow = await startTestServer({
      config: { databasePoolSize: 2 },
      databaseUrl: server.databaseUrl,
    });
    const name = "Ада Лавлейс";
    const users = await Promise.all(Array.from({ length: 20 }, () => signUp(narrow.url, { name })));
    const answers = await Promise.all(
      users.map(({ token }) => send(narrow.url, token, "GET", "/api/workflows")),
    );
    await narrow.close();
    expect(answers.map(({ status }) => status)).toEqual(Array(20).fill(200));
    expect(new Set(users.map(({ organizationId }) => organizationId)).size).toBe(20);
    const owners = await sql`
      select 1 from member join organization on organization.id = member.organization_id
      where role = 'owner' and user_id = any(${users.map(({ userId }) => userId)}::text[]) and name = ${name}`;
    expect(owners).toHaveLength(20);
  }, 60_000);
});

describe("a request with a cookie", () => {
  it("needs the Origin of this server, and one without a cookie does not", async () => {
    const ada = await signUp(server.url);
    const { cookie } = ada;
    const create = (headers: Record<string, string>) =>
      callAuth(server.url, null, "POST", "/organization/create", { name: "x", slug: newEmail() }, headers);
    expect(codeOf(await create({ cookie }))).toEqual({ status: 403, code: "MISSING_OR_NULL_ORIGIN" });
    expect(codeOf(await create({ cookie, origin: "null" }))).toEqual({
      status: 403,
      code: "MISSING_OR_NULL_ORIGIN",
    });
    expect(codeOf(await create({ cookie, origin: "https://evil.example" }))).toEqual({
      status: 403,
      code: "INVALID_ORIGIN",
    });
    expect((await create({ cookie, origin: server.url })).status).toBe(200);
    expect((await create({ authorization: `Bearer ${ada.token}` })).status).toBe(200);
    const mint = await callAuth(server.url, null, "POST", "/api-key/create", { name: "x" }, { cookie });
    expect(codeOf(mint)).toEqual({ status: 403, code: "MISSING_OR_NULL_ORIGIN" });
  });

  it("of a browser page elsewhere cannot sign anybody in", async () => {
    const ada = await signUp(server.url);
    const headers = {
      origin: "https://evil.example",
      "sec-fetch-site": "cross-site",
      "sec-fetch-mode": "cors",
    };
    const answer = await callAuth(server.url, null, "POST", "/sign-in/email", ada, headers);
    expect(codeOf(answer)).toEqual({ status: 403, code: "INVALID_ORIGIN" });
  });
});

describe("what cannot be read", () => {
  const json = { "content-type": "application/json" };

  it("is refused with {code, message}: broken JSON, other shapes and types, NUL, too much", async () => {
    const cases: [path: string, init: RequestInit, status: number, code: string][] = [
      ["/sign-in/email", { headers: json, body: "{" }, 400, "INVALID_BODY"],
      ["/sign-in/email", { headers: json, body: "[1]" }, 400, "INVALID_BODY"],
      ["/sign-in/email", { headers: json, body: "5" }, 400, "INVALID_BODY"],
      ["/sign-in/email", { headers: json, body: '{"email":"a\\u0000@b.c"}' }, 400, "INVALID_BODY"],
      ["/sign-in/email", { headers: json, body: '{"a\\u0000":1}' }, 400, "INVALID_BODY"],
      ["/sign-in/email", { headers: json, body: '{"email":5,"password":"x"}' }, 400, "VALIDATION_ERROR"],
      ["/sign-in/email", { headers: json, body: "{}" }, 400, "VALIDATION_ERROR"],
      ["/sign-in/email", {}, 400, "VALIDATION_ERROR"],
      [
        "/sign-in/email",
        { headers: json, body: `{"email":"${"x".repeat(70_000)}"}` },
        413,
        "PAYLOAD_TOO_LARGE",
      ],
      [
        "/sign-in/email",
        { headers: { "content-type": "text/plain" }, body: "{}" },
        415,
        "UNSUPPORTED_MEDIA_TYPE",
      ],
      ["/sign-in/email", { body: new URLSearchParams({ email: "a@b.c" }) }, 415, "UNSUPPORTED_MEDIA_TYPE"],
      ["/sign-in/email?a=%00", { headers: json, body: "{}" }, 400, "INVALID_BODY"],
      ["/organization/has-permission", { headers: json, body: '{"constructor":1}' }, 400, "INVALID_BODY"],
      [
        "/sign-up/email",
        { headers: json, body: '{"email":"no","password":"12345678","name":"a"}' },
        400,
        "VALIDATION_ERROR",
      ],
    ];
    for (const [path, init, status, code] of cases) {
      const answer = await raw(path, init);
      expect(codeOf(answer), `${path} ${String(init.body).slice(0, 40)}`).toEqual({ status, code });
      expect(answer.body.message).toEqual(expect.any(String));
    }
  });

  it("is a JSON 404 for unknown paths and other methods", async () => {
    for (const [method, path] of [
      ["GET", "/nope"],
      ["POST", "/sign-in"],
      ["GET", "/sign-in/email"],
      ["PUT", "/sign-in/email"],
      ["DELETE", "/api-key/delete"],
      ["POST", "//sign-in/email"],
      ["GET", "/error"],
      ["POST", "/%ff"],
      ["OPTIONS", "/get-session"],
    ] as const) {
      const answer = await raw(path, { method });
      expect(codeOf(answer), `${method} ${path}`).toEqual({ status: 404, code: "NOT_FOUND" });
    }
  });

  it("is never a 5xx: lists and updates with values that better-auth lets through", async () => {
    const ada = await signUp(server.url);
    const { organizationId } = ada;
    const members = `/organization/list-members?organizationId=${organizationId}`;
    const queries = ["sortBy=nope", "offset=-1", "limit=1e30", "limit=1.5", "offset=99999999999999999999"];
    const filters = ["filterField=nope", "filterField=createdAt", "filterField=role&filterOperator=in"];
    for (const query of [...queries, ...filters.map((filter) => `${filter}&filterValue=x`)]) {
      const answer = await callAuth(server.url, ada, "GET", `${members}&${query}`);
      expect(answer.status, query).toBe(400);
      expect(answer.body).toEqual({ code: expect.any(String), message: expect.any(String) });
    }
    for (const query of ["limit=abc", "limit=-1", "limit=1e9", "sortBy=nope", "sortDirection=up"]) {
      expect((await callAuth(server.url, ada, "GET", `/api-key/list?${query}`)).status, query).toBe(400);
    }
    const update = await callAuth(server.url, ada, "POST", "/organization/update", {
      organizationId,
      data: { id: "x" },
    });
    expect(codeOf(update)).toEqual({ status: 400, code: "VALIDATION_ERROR" });
  });

  it("is a conflict, not an error, when requests at once take the same slug", async () => {
    const ada = await signUp(server.url);
    const body = { name: "x", slug: `slug-${randomBytes(6).toString("hex")}` };
    const answers = await Promise.all(
      Array.from({ length: 5 }, () => callAuth(server.url, ada, "POST", "/organization/create", body)),
    );
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
    for (const { status, body } of answers.filter((answer) => answer.status !== 200)) {
      expect([`400 ORGANIZATION_ALREADY_EXISTS`, `409 CONFLICT`]).toContain(`${status} ${body.code}`);
    }
  });
});

it("a failure of the server says nothing of its cause and names the request", async () => {
  const ada = await signUp(server.url);
  await sql`alter table organization rename to organization_away`;
  const answer = await callAuth(server.url, ada, "GET", "/organization/list");
  await sql`alter table organization_away rename to organization`;
  expect(answer.status).toBe(500);
  expect(answer.body).toEqual({
    code: "INTERNAL_SERVER_ERROR",
    message: "Something went wrong on the server.",
    requestId: answer.headers.get("x-request-id"),
  });
});

it("a session knows the organization that was joined last, and a new one the first", async () => {
  const ada = await signUp(server.url);
  const grace = await joinOrganization(server.url, ada);
  const current = await callAuth(server.url, grace, "GET", "/get-session");
  expect(current.body.session.activeOrganizationId).toBe(ada.organizationId);
  const next = await callAuth(server.url, null, "POST", "/sign-in/email", grace);
  const own = await callAuth(server.url, next.body, "GET", "/get-session");
  expect(own.body.session.activeOrganizationId).not.toBe(ada.organizationId);
  expect(own.body.session.activeOrganizationId).toEqual(expect.any(String));
});

it("an API key is no session: it reads and changes nothing of the account", async () => {
  const ada = await signUp(server.url);
  const key = await mintKey(server.url, ada);
  const { cookie } = ada;
  for (const headers of [
    { "x-api-key": key },
    { authorization: `Bearer ${key}` },
    { "x-api-key": key, cookie },
  ]) {
    expect((await callAuth(server.url, null, "GET", "/get-session", undefined, headers)).body).toBeNull();
    for (const path of ["/organization/list", "/api-key/list"]) {
      expect((await callAuth(server.url, null, "GET", path, undefined, headers)).status).toBe(401);
    }
    const update = await callAuth(server.url, null, "POST", "/update-user", { name: "x" }, headers);
    expect(update.status).toBe(401);
  }
});
