import { beforeAll, describe, expect, it } from "vitest";
import { newClient, send } from "../support/client.js";
import { call, doors, type Input, procedureAt, procedures } from "../support/doors.js";
import { type Estate, greeting, LEAP_DAY, makeEstate, rowOf } from "../support/operations-table.js";
import { useTestServer } from "../support/server-hooks.js";

const server = useTestServer({ config: { role: "worker" } });

const refused = { status: 400, error: { error: "invalid_body", issues: expect.any(Array) } };

/** First in the file: nothing has called the router of this process yet. */
describe("a boolean as text", () => {
  it("is refused by both doors before and after other calls, in either order", async () => {
    const { key } = await newClient(server.url);
    const schedule = { workflowId: crypto.randomUUID(), cron: LEAP_DAY };
    const create = (door: (typeof doors)[number], enabled: unknown) =>
      call(door, server.url, key, "schedules.create", { ...schedule, enabled });
    for (const order of [doors, doors.toReversed(), doors]) {
      for (const door of order) {
        expect(await create(door, "false")).toMatchObject(refused);
        expect(await create(door, false)).toMatchObject({
          status: 404,
          error: { error: "workflow_not_found" },
        });
      }
      await Promise.all(order.map((door) => call(door, server.url, key, "workflows.list", { limit: 5 })));
    }
  });
});

describe("with an organization", () => {
  let ada: Estate;
  beforeAll(async () => {
    ada = await makeEstate(server.url);
  });

  const block = (fields: Input) => ({
    workflow: { blocks: [{ id: "greet", type: "transform", ...fields }] },
  });

  const wrongTypes: [procedure: string, wrong: Input][] = [
    ["schedules.create", { enabled: "" }],
    ["schedules.create", { enabled: 1 }],
    ["schedules.create", { enabled: null }],
    ["schedules.create", { startAt: 0 }],
    ["schedules.create", { startAt: "2026" }],
    ["schedules.create", { startAt: true }],
    ["schedules.create", { cron: 5 }],
    ["schedules.create", { timezone: "Mars/Olympus" }],
    ["schedules.create", { payload: [] }],
    ["schedules.preview", { count: "5" }],
    ["schedules.preview", { count: "" }],
    ["schedules.preview", { count: true }],
    ["workflows.edit", { dryRun: "true" }],
    ["workflows.edit", { ops: "[]" }],
    ["workflows.edit", { ops: null }],
    ["workflows.run", { version: "1" }],
    ["workflows.run", { idempotencyKey: "" }],
    ["workflows.replace", { expectedVersion: "2" }],
    ["workflows.replace", { workflow: [] }],
    ["workflows.replace", block({ enabled: "false" })],
    ["workflows.replace", block({ enabled: 0 })],
    ["workflows.replace", block({ timeoutMs: "1000" })],
    ["workflows.replace", block({ position: { x: "1", y: 0 } })],
    ["workflows.replace", block({ retry: { maxAttempts: "3" } })],
    ["workflows.restore", { expectedVersion: true }],
  ];

  it.each(wrongTypes)("%s refuses %j through both doors", async (procedurePath, wrong) => {
    const input = { ...(await rowOf(procedurePath).input(ada)), ...wrong };
    for (const door of doors) {
      expect(await call(door, server.url, ada.client.key, procedurePath, input)).toMatchObject(refused);
    }
  });

  it("JSON keeps its type: null, texts and numbers come back from a run as they were sent", async () => {
    for (const door of doors) {
      for (const input of [null, false, 0, "", "5", [], { a: { b: [null, "true", 1.5] } }]) {
        const { result } = await call(door, server.url, ada.client.key, "workflows.run", {
          id: ada.workflowId,
          input,
        });
        const { body } = await ada.client.request("GET", `/api/runs/${result.runId}`);
        expect(body.input).toEqual(input);
      }
    }
  });

  describe("bodies", () => {
    const reading = [...procedures.keys()].filter((procedurePath) => {
      const { method } = procedureAt(procedurePath);
      return method !== "GET" && method !== "DELETE";
    });
    const needingInput = reading.filter((procedurePath) => procedurePath !== "admin.tick");

    /** Sends a body as it is to the REST path of a procedure, with the ids of the organization in the path. */
    async function post(procedurePath: string, body: string | null, contentType: string | null) {
      const { method, path } = procedureAt(procedurePath);
      const input = await rowOf(procedurePath).input(ada);
      const filled = path.replace(/\{(\w+)\}/g, (_, name: string) => String(input[name]));
      const headers = new Headers({ authorization: `Bearer ${ada.client.key}` });
      if (contentType !== null) headers.set("content-type", contentType);
      const response = await fetch(`${server.url}/api${filled}`, { method, headers, body });
      const text = await response.text();
      return { status: response.status, body: text === "" ? null : JSON.parse(text) };
    }

    /** Sends a body as it is to the tRPC path of a mutation. */
    async function postTrpc(procedurePath: string, body: string, contentType = "application/json") {
      const headers = { "content-type": contentType };
      const answer = await send(server.url, ada.client.key, "POST", `/trpc/${procedurePath}`, body, headers);
      return { status: answer.status, error: answer.body.error?.data };
    }

    const unreadable: [name: string, body: string][] = [
      ["an array", "[1]"],
      ["a text", '"text"'],
      ["a number", "5"],
      ["null", "null"],
      ["malformed JSON", '{"workflow":'],
      ["two objects", "{}{}"],
      ["a form", "a=b"],
      ["10,000 levels of arrays", "[".repeat(10_000) + "]".repeat(10_000)],
      ["10,000 levels of objects", '{"input":'.repeat(10_000) + "1" + "}".repeat(10_000)],
      ["NUL in a text", String.raw`{"input":"a\u0000b"}`],
      ["NUL in a key", String.raw`{"input":{"a\u0000":1}}`],
      ["half a surrogate pair", String.raw`{"input":"\ud800"}`],
    ];

    describe.each(unreadable)("%s", (_, body) => {
      it.each(reading)("is invalid_body for %s over REST", async (procedurePath) => {
        const answer = await post(procedurePath, body, "application/json");
        expect(answer).toMatchObject({
          status: 400,
          body: { error: "invalid_body", issues: expect.any(Array) },
        });
      });

      it.each(needingInput.filter((procedurePath) => !procedureAt(procedurePath).isQuery))(
        "is invalid_body for %s over tRPC",
        async (procedurePath) => {
          expect(await postTrpc(procedurePath, body)).toMatchObject(refused);
        },
      );
    });

    it.each([
      "text/plain",
      "application/x-www-form-urlencoded",
      "multipart/form-data; boundary=x",
      "application/json; charset=nonsense",
    ])("as %s are invalid_body through both doors", async (contentType) => {
      expect(await post("workflows.create", "{}", contentType)).toMatchObject({
        status: 400,
        body: { error: "invalid_body" },
      });
      if (contentType.startsWith("application/json")) return;
      expect(await postTrpc("workflows.create", "{}", contentType)).toMatchObject(refused);
    });

    it.each(["application/json", "application/json; charset=utf-8", "application/JSON;charset=UTF-8"])(
      "as %s are read through both doors",
      async (contentType) => {
        const body = JSON.stringify({ metadata: { name: "Grüße" } });
        expect(await post("workflows.create", body, contentType)).toMatchObject({
          status: 201,
          body: { workflow: { metadata: { name: "Grüße" } } },
        });
        expect(await postTrpc("workflows.create", body, contentType)).toMatchObject({ status: 200 });
      },
    );

    it.each([
      ["admin.tick", 200],
      ["runs.cancel", 204],
      ["workflows.run", 202],
      ["workflows.create", 201],
      ["workflows.restore", 200],
    ])("may be left out of %s, with and without a content type", async (procedurePath, status) => {
      for (const contentType of [null, "application/json", "text/plain"]) {
        expect(await post(procedurePath, null, contentType)).toMatchObject({ status });
        expect(await post(procedurePath, "", contentType)).toMatchObject({ status });
      }
    });

    it.each(["schedules.create", "schedules.preview", "workflows.replace", "workflows.edit"])(
      "left out of %s are invalid_body that names what is missing",
      async (procedurePath) => {
        const answer = await post(procedurePath, null, null);
        expect(answer).toMatchObject({ status: 400, body: { error: "invalid_body" } });
        expect(answer.body.issues[0].path).toHaveLength(1);
      },
    );

    it("above 1 MiB are payload_too_large on every operation, and of 1 MiB are read", async () => {
      const sized = (bytes: number) => `{"input":"${"x".repeat(bytes - 12)}"}`;
      for (const procedurePath of reading) {
        expect(await post(procedurePath, sized(1_048_577), "application/json")).toMatchObject({
          status: 413,
          body: { error: "payload_too_large", limitBytes: 1_048_576 },
        });
      }
      expect(await postTrpc("workflows.run", sized(1_048_577))).toMatchObject({ status: 413 });
      expect(await post("workflows.run", sized(1_048_576), "application/json")).toMatchObject({
        status: 202,
      });
    });

    it("with keys of Object.prototype pollute nothing and break nothing", async () => {
      const params = '{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}},"toString":1}';
      const blocks = `[{"id":"greet","type":"transform","params":${params},"__proto__":{"polluted":1}}]`;
      const op = `{"operation_type":"add","block_id":"b","type":"transform","params":${params}}`;
      for (const [procedurePath, body] of [
        [
          "workflows.create",
          `{"__proto__":{"polluted":1},"workflow":{"blocks":${blocks},"variables":${params}}}`,
        ],
        ["workflows.edit", `{"ops":[${op},{"operation_type":"__proto__"},{"operation_type":"constructor"}]}`],
        ["workflows.run", `{"input":${params}}`],
        ["schedules.create", `{"workflowId":"${ada.workflowId}","cron":"${LEAP_DAY}","payload":${params}}`],
      ] as const) {
        expect((await post(procedurePath, body, "application/json")).status).toBeLessThan(500);
      }
      expect(({} as Record<string, unknown>).polluted).toBeUndefined();
    });

    it("with very long texts are refused by their field, or kept", async () => {
      const long = "x".repeat(900_000);
      for (const door of doors) {
        for (const [procedurePath, wrong, field] of [
          ["workflows.create", { metadata: { name: long } }, "metadata"],
          ["workflows.create", { workflow: { ...greeting, version: long } }, "workflow"],
          ["schedules.create", { cron: long }, "cron"],
          ["schedules.create", { timezone: long }, "timezone"],
          ["workflows.run", { idempotencyKey: long }, "idempotencyKey"],
        ] as const) {
          const input = { ...(await rowOf(procedurePath).input(ada)), ...wrong };
          const answer = await call(door, server.url, ada.client.key, procedurePath, input);
          expect(answer).toMatchObject(refused);
          expect(answer.error.issues[0].path[0]).toBe(field);
        }
      }
    });
  });
});
