import { beforeAll, describe, expect, it } from "vitest";
import { type Answer, send } from "../support/client.js";
import { call, doors, procedureAt, procedures } from "../support/doors.js";
import { type Estate, makeEstate, rowOf } from "../support/operations-table.js";
import { useTestServer } from "../support/server-hooks.js";

const server = useTestServer({ config: { role: "worker" } });
let ada: Estate;
beforeAll(async () => {
  ada = await makeEstate(server.url);
});

/** A REST request with the organization's key; the answer was JSON or empty, else this throws. */
const ask = (method: string, path: string, headers?: Record<string, string>): Promise<Answer> =>
  send(server.url, ada.client.key, method, path, undefined, headers);

const lists = [...procedures.keys()].filter((procedurePath) =>
  /\.(?:list|versions|logs)$/.test(procedurePath),
);
const paged = lists.filter((procedurePath) => /^(?:workflows|runs|schedules)\./.test(procedurePath));

/** Path of a list's REST operation with the organization's ids. */
async function pathOf(procedurePath: string): Promise<string> {
  const input = await rowOf(procedurePath).input(ada);
  return `/api${procedureAt(procedurePath).path.replace(/\{(\w+)\}/g, (_, name: string) => String(input[name]))}`;
}

const cursor = (text: string) => Buffer.from(text).toString("base64url");
const someId = "0198c5f2-7b1e-4a39-9d0e-3f5f6a1c2b4d";

describe.each(paged)("%s", (procedurePath) => {
  it.each([
    "limit=abc",
    "limit=1e9",
    "limit=101",
    "limit=0",
    "limit=-1",
    "limit=1.5",
    "limit=",
    "limit=%2050",
    "limit=0x10",
    "limit=99999999999999999999",
    "limit=1&limit=2",
    "after=a&after=b",
    "after=",
    "after=garbage",
    "after=%00",
    "after=%F0%9F%92%A9",
    `after=${"a".repeat(10_000)}`,
    `after=${cursor("1.")}`,
    `after=${cursor(`1.${someId}x`)}`,
    `after=${cursor(`-1.${someId}`)}`,
    `after=${cursor(`1e3.${someId}`)}`,
    `after=${cursor(`999999999999999.${someId}`)}`,
    `after=${cursor("1.' or true --")}`,
    `after=${cursor(`1.${someId}`)}=`,
  ])("refuses ?%s as invalid_body that names the field", async (query) => {
    const answer = await ask("GET", `${await pathOf(procedurePath)}?${query}`);
    expect(answer).toMatchObject({ status: 400, body: { error: "invalid_body" } });
    expect(answer.body.issues[0].path[0]).toBe(query.split("=")[0]);
    expect(answer.body.message).toContain(query.split("=")[0]);
  });

  it.each([
    { limit: "5" },
    { limit: 0 },
    { limit: 1e9 },
    { limit: null },
    { limit: true },
    { after: 5 },
    { after: "garbage" },
    { after: ["a", "b"] },
    { after: "\u0000" },
  ])("refuses %j over tRPC", async (wrong) => {
    const input = { ...(await rowOf(procedurePath).input(ada)), ...wrong };
    const answer = await call("trpc", server.url, ada.client.key, procedurePath, input);
    expect(answer).toMatchObject({ status: 400, error: { error: "invalid_body" } });
    expect(answer.error.issues[0].path).toEqual([Object.keys(wrong)[0]]);
  });

  it("takes a forged position and another list's cursor for a position, or refuses them; both doors alike", async () => {
    const { body: other } = await ask("GET", "/api/workflows?limit=1");
    const input = await rowOf(procedurePath).input(ada);
    const cursors = [
      other.pagination.next,
      cursor(`0.${someId}`),
      cursor(`99999999999999.${someId}`),
      cursor("1.7"),
    ];
    for (const after of cursors) {
      const [rest, trpc] = await Promise.all(
        doors.map((door) => call(door, server.url, ada.client.key, procedurePath, { ...input, after })),
      );
      expect([200, 400]).toContain(rest?.status);
      expect(trpc).toMatchObject({ status: rest?.status, result: rest?.result, error: rest?.error });
    }
  });
});

describe("further query parameters", () => {
  it.each(["workflows", "runs", "schedules"])(
    "/api/%s refuses a bad ?before and both cursors at once",
    async (list) => {
      const valid = cursor(`1.${list === "schedules" ? "sch_1" : someId}`);
      for (const query of ["before=garbage", "before=", `after=${valid}&before=${valid}`]) {
        const answer = await ask("GET", `/api/${list}?${query}`);
        expect(answer).toMatchObject({
          status: 400,
          body: { error: "invalid_body", issues: [{ path: ["before"] }] },
        });
      }
    },
  );

  it.each([
    "state=done",
    "state=completed&state=failed",
    "trigger=cron",
    "createdAfter=yesterday",
    "createdAfter=2026-11-22",
    "createdBefore=%00",
    "workflowId=%00",
    "workflowId=a&workflowId=b",
  ])("/api/runs refuses ?%s", async (query) => {
    expect(await ask("GET", `/api/runs?${query}`)).toMatchObject({
      status: 400,
      body: { error: "invalid_body" },
    });
  });

  it.each([
    "search=%00",
    "search=",
    "search=a&search=b",
    `search=${"a".repeat(201)}`,
    "tag=",
    "tag=%ED%A0%80&tag=b",
  ])("/api/workflows refuses ?%s", async (query) => {
    expect(await ask("GET", `/api/workflows?${query}`)).toMatchObject({
      status: 400,
      body: { error: "invalid_body" },
    });
  });

  it.each([
    "search=%25",
    "search=_",
    "search=%5C",
    "search='%20or%201=1--",
    "search=%E0%A4%A",
    "__proto__=1",
    "a[b]=1",
  ])("/api/workflows reads ?%s as text or leaves it", async (query) => {
    expect(await ask("GET", `/api/workflows?${query}`)).toMatchObject({ status: 200 });
  });
});
