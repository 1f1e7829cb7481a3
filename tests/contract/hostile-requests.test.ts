import { beforeAll, describe, expect, it } from "vitest";
import { type Answer, send } from "../support/client.js";
import { call, procedures } from "../support/doors.js";
import { type Estate, greeting, makeEstate, rowOf } from "../support/operations-table.js";
import { useTestServer } from "../support/server-hooks.js";

const server = useTestServer({ config: { role: "worker" } });
let ada: Estate;
beforeAll(async () => {
  ada = await makeEstate(server.url);
});

/** A REST request with the organization's key; the answer was JSON or empty, else this throws. */
const ask = (method: string, path: string, headers?: Record<string, string>): Promise<Answer> =>
  send(server.url, ada.client.key, method, path, undefined, headers);

const someId = "0198c5f2-7b1e-4a39-9d0e-3f5f6a1c2b4d";

describe("If-Match", () => {
  const versioned = ["workflows.replace", "workflows.edit", "workflows.restore"];
  const change = (procedurePath: string, id: string, ifMatch: string) =>
    call(
      "rest",
      server.url,
      ada.client.key,
      procedurePath,
      { id, version: 1, workflow: greeting, ops: [] },
      { "if-match": ifMatch },
    );

  describe.each(versioned)("of %s", (procedurePath) => {
    it.each([
      "*",
      'W/"2"',
      "0",
      '"0"',
      "-1",
      "1.5",
      "2abc",
      "02",
      "+2",
      "2, 3",
      '"2',
      "''2''",
      "9007199254740992",
      "1e1",
      "two",
    ])("is invalid_if_match as %s", async (ifMatch) => {
      const answer = await change(procedurePath, ada.workflowId, ifMatch);
      expect(answer).toMatchObject({ status: 400, error: { error: "invalid_if_match" } });
    });

    it.each(["3", '"3"', "2147483647"])("is a version that does not fit as %s", async (ifMatch) => {
      const answer = await change(procedurePath, ada.workflowId, ifMatch);
      expect(answer).toMatchObject({ status: 412, error: { error: "version_mismatch", current: 2 } });
    });

    it.each(["1", '"1"'])("is the version of a new workflow as %s", async (ifMatch) => {
      const { id } = (
        await call("rest", server.url, ada.client.key, "workflows.create", { workflow: greeting })
      ).result;
      expect(await change(procedurePath, id, ifMatch)).toMatchObject({ status: 200 });
    });
  });
});

describe("paths", () => {
  const strange = [
    "%00",
    "a%00b",
    "%E0%A4%A",
    "%",
    "%2e%2e%2f",
    "-".repeat(36),
    "x".repeat(36),
    "a".repeat(8_000),
    "' or true --",
    "%F0%9F%92%A9",
    "__proto__",
    "constructor",
    "null",
    "undefined",
    "-1",
  ];

  /** A valid body for every operation, so that nothing but the path is wrong. */
  const bodies = new Map<string, object>();
  beforeAll(async () => {
    for (const [procedurePath, { path }] of procedures) {
      const input = await rowOf(procedurePath).input(ada);
      const inBody = Object.entries(input).filter(([name]) => !path.includes(`{${name}}`));
      bodies.set(procedurePath, Object.fromEntries(inBody));
    }
  });

  it.each(strange)("an id such as %s names nothing, whatever the operation", async (id) => {
    for (const [procedurePath, { method, path }] of procedures) {
      // The name in the path of a secret is the one that it creates.
      if (!path.includes("{") || procedurePath === "secrets.set") continue;
      const body = method === "GET" || method === "DELETE" ? undefined : bodies.get(procedurePath);
      const filled = path.replace(/\{(\w+)\}/g, id);
      const answer = await send(server.url, ada.client.key, method, `/api${filled}`, body);
      expect(answer, procedurePath).toMatchObject({ status: 404, body: { error: "not_found" } });
    }
  });

  it.each(["0", "-1", "1.5", "abc", "99999999999", "1e0", "%00"])(
    "a version such as %s does not exist",
    async (version) => {
      for (const [method, path] of [
        ["GET", `/api/workflows/${ada.workflowId}/versions/${version}`],
        ["POST", `/api/workflows/${ada.workflowId}/versions/${version}/restore`],
      ] as const) {
        expect(await ask(method, path)).toMatchObject({ status: 404, body: { error: "not_found" } });
      }
    },
  );

  it.each([
    ["GET", "/api"],
    ["GET", "/api/"],
    ["GET", "/api/nothing"],
    ["GET", "/api//workflows"],
    ["GET", "/api/%E0%A4%A"],
    ["GET", "/%E0%A4%A"],
    ["GET", "/%00"],
    ["GET", "/api/__proto__"],
    ["GET", "/docs/../api/nothing"],
    ["GET", "/docs/nothing.js"],
    ["GET", "/docs/%E0%A4%A"],
    ["POST", "/health/more"],
    ["DELETE", "/api/workflows"],
    ["PATCH", `/api/workflows/${someId}`],
    ["PUT", `/api/runs/${someId}`],
    ["POST", `/api/runs/${someId}`],
    ["GET", "/api/admin/tick"],
    ["GET", "/api/schedules/preview/more"],
    ["PROPFIND", "/api/workflows"],
  ])("%s %s is JSON not_found", async (method, path) => {
    expect(await ask(method, path)).toMatchObject({ status: 404, body: { error: "not_found" } });
  });

  it.each([
    ["GET", "/trpc", 404],
    ["GET", "/trpc/", 404],
    ["GET", "/trpc/nothing", 404],
    ["GET", "/trpc/workflows", 404],
    ["GET", "/trpc/workflows.nothing", 404],
    ["GET", "/trpc/__proto__", 404],
    ["GET", "/trpc/constructor", 404],
    ["GET", "/trpc/workflows.__proto__", 404],
    ["GET", "/trpc/%00", 404],
    ["GET", "/trpc/%E0%A4%A", 400],
    ["GET", "/trpc/workflows.create", 404],
    ["POST", "/trpc/workflows.list", 404],
    ["GET", "/trpc/workflows.list?input=%7B", 400],
    ["GET", "/trpc/workflows.list?input=%00", 400],
    ["GET", "/trpc/workflows.list?input=[1]", 400],
    ["GET", "/trpc/workflows.list?input=null", 400],
    ["GET", "/trpc/workflows.list?batch=1&input=[]", 400],
    ["GET", "/trpc/workflows.list?batch=1&input=5", 400],
    ["GET", "/trpc/workflows.list?batch=1&input=%7B", 400],
    ["GET", "/trpc/workflows.get", 400],
  ])("%s %s is a tRPC error with its code, %i", async (method, path, status) => {
    const { body, ...answer } = await ask(method, path, { "content-type": "application/json" });
    const { data } = Array.isArray(body) ? body[0].error : body.error;
    expect({ status: answer.status, error: data.error }).toEqual({
      status,
      error: status === 404 ? "not_found" : "invalid_body",
    });
  });
});
