import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { createFlowkeepClient } from "../../router/client.js";
import { endedRun, newClient, type TestClient, waitFor } from "../support/client.js";
import { closeServers, serve } from "../support/http-block.js";
import { startTestServer, type TestServer } from "../support/server.js";
import {
  block,
  clockAt,
  connect,
  createWorkflow,
  edit,
  logsOf,
  runDocument,
  startRun,
  transform,
  trigger,
  wait,
  walkPages,
} from "../support/workflows.js";

let server: TestServer;
let client: TestClient;
const clock = clockAt("2026-11-22T09:00:00.000Z");

beforeAll(async () => {
  server = await startTestServer({ now: clock.now });
  client = await newClient(server.url);
});
afterEach(closeServers);
afterAll(() => server.close());

const echo = { blocks: [trigger, transform("echo", "{{trigger}}")], connections: connect("start>echo") };

async function read(runId: string, by = client) {
  return (await by.request("GET", `/api/runs/${runId}`)).body;
}

async function inState(runId: string, state: string, by = client) {
  return waitFor(
    () => read(runId, by),
    (run) => run.state === state,
  );
}

/** A server that answers when it is told to, and says when it was asked and when the caller went away. */
async function gate() {
  const events = { asked: 0, gone: 0 };
  let open = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  const { origin } = await serve(async (request, response) => {
    events.asked += 1;
    response.on("close", () => {
      if (!response.writableEnded) events.gone += 1;
    });
    await opened;
    response.end(request.url);
  });
  return { origin, events, open };
}

describe("starting a run", () => {
  it("is 202 with its place, and the run completes with the output of every block", async () => {
    const workflowId = await createWorkflow(client, {
      blocks: [
        trigger,
        transform("greet", "Hello {{trigger.name}}"),
        transform("shout", "{{greet.result}}!"),
      ],
      connections: connect("start>greet>shout"),
    });
    const { status, headers, body } = await client.request("POST", `/api/workflows/${workflowId}/run`, {
      input: { name: "Ada" },
    });
    expect(status).toBe(202);
    expect(headers.get("location")).toBe(`/api/runs/${body.runId}`);
    expect(await endedRun(client, body.runId)).toEqual({
      id: body.runId,
      workflowId,
      workflowVersion: 1,
      state: "completed",
      trigger: { kind: "manual" },
      input: { name: "Ada" },
      output: {
        outputs: { start: { name: "Ada" }, greet: { result: "Hello Ada" }, shout: { result: "Hello Ada!" } },
      },
      error: null,
      blocks: Object.fromEntries(
        ["start", "greet", "shout"].map((id) => [
          id,
          {
            state: "completed",
            attempts: 1,
            startedAt: "2026-11-22T09:00:00.000Z",
            finishedAt: "2026-11-22T09:00:00.000Z",
          },
        ]),
      ),
      createdAt: "2026-11-22T09:00:00.000Z",
      startedAt: expect.any(String),
      finishedAt: expect.any(String),
    });
  });

  it("needs no body: the input is {} then", async () => {
    const workflowId = await createWorkflow(client, echo);
    const { status, body } = await client.request("POST", `/api/workflows/${workflowId}/run`);
    expect(status).toBe(202);
    expect(await endedRun(client, body.runId)).toMatchObject({
      input: {},
      output: { outputs: { start: {}, echo: { result: {} } } },
    });
  });

  it.each([
    ["an object", { a: { b: [1, "ü", null] }, "": 0 }],
    ["an array", [1, [2], { three: 3 }]],
    ["a text", "{{vars.no}} 'quoted' \\ \"text\""],
    ["an empty text", ""],
    ["a number", 1.5e-7],
    ["zero", 0],
    ["false", false],
  ])("takes %s as input and keeps it", async (_, input) => {
    expect(await runDocument(client, echo, input)).toMatchObject({
      input,
      output: { outputs: { start: input, echo: { result: input } } },
    });
  });

  it("takes null as input and keeps it; blocks see {}", async () => {
    expect(await runDocument(client, echo, null)).toMatchObject({
      state: "completed",
      input: null,
      output: { outputs: { start: {}, echo: { result: {} } } },
    });
  });

  it("of a workflow without an enabled block is workflow_invalid", async () => {
    const empty = await createWorkflow(client);
    const disabled = await createWorkflow(client, { blocks: [{ ...trigger, enabled: false }] });
    for (const id of [empty, disabled]) {
      const { status, body } = await client.request("POST", `/api/workflows/${id}/run`, {});
      expect(status).toBe(422);
      expect(body).toEqual({
        error: "workflow_invalid",
        message: "The workflow has no enabled block, so there is nothing to run.",
        validation_errors: [],
      });
    }
  });

  it("of a workflow with validation errors is workflow_invalid with all of them, and starts nothing", async () => {
    const id = await createWorkflow(client, {
      blocks: [transform("a", "{{nobody.result}}"), block("b", "http"), block("c", "no_such_type")],
    });
    const { status, body } = await client.request("POST", `/api/workflows/${id}/run`, {});
    expect(status).toBe(422);
    expect(body).toMatchObject({
      error: "workflow_invalid",
      message: expect.stringMatching(/^The workflow has 3 validation errors: template: .*nobody/),
      validation_errors: [
        { block_id: "a", block_type: "transform", code: "reference_block_not_found", field: "template" },
        { block_id: "b", block_type: "http", code: "missing_param", field: "url" },
        { block_id: "c", block_type: "no_such_type", code: "block_type_not_registered" },
      ],
    });
    expect((await client.request("GET", `/api/runs?workflowId=${id}`)).body.data).toEqual([]);
    const edited = await edit(client, id, []);
    expect(edited.body.validation_errors).toEqual(body.validation_errors);
  });

  it("of an unknown workflow or version is not_found", async () => {
    const id = await createWorkflow(client, echo);
    const unknown = "0198c5f2-7b1e-4a39-9d0e-3f5f6a1c2b4d";
    for (const [workflow, body] of [
      [unknown, {}],
      ["nonsense", {}],
      [id, { version: 2 }],
    ] as const) {
      const answer = await client.request("POST", `/api/workflows/${workflow}/run`, body);
      expect([answer.status, answer.body.error]).toEqual([404, "not_found"]);
    }
  });
});

describe("the version of a run", () => {
  it("is the one it started with, also when the workflow is edited while it waits", async () => {
    const id = await createWorkflow(client, {
      blocks: [wait("pause", 500), transform("say", "old")],
      connections: connect("pause>say"),
    });
    const runId = await startRun(client, id);
    await inState(runId, "waiting");
    const { body } = await edit(client, id, [
      { operation_type: "update", block_id: "say", params: { template: "new" } },
      { operation_type: "add", block_id: "more", type: "transform", params: { template: 1 } },
      { operation_type: "update", block_id: "pause", params: { duration: 0 } },
    ]);
    expect(body.version).toBe(2);
    const newer = await startRun(client, id);
    const [oldRun, newRun] = [await endedRun(client, runId), await endedRun(client, newer)];
    expect([
      oldRun.workflowVersion,
      Object.keys(oldRun.output.outputs).sort(),
      oldRun.output.outputs.say,
    ]).toEqual([1, ["pause", "say"], { result: "old" }]);
    expect([newRun.workflowVersion, newRun.output.outputs.say, newRun.output.outputs.more]).toEqual([
      2,
      { result: "new" },
      { result: 1 },
    ]);
  });

  it("can be chosen", async () => {
    const id = await createWorkflow(client, { blocks: [transform("say", "one")] });
    await edit(client, id, [{ operation_type: "update", block_id: "say", params: { template: "two" } }]);
    const outputs = [];
    for (const body of [{ version: 1 }, { version: 2 }, {}]) {
      const run = await endedRun(client, await startRun(client, id, body));
      outputs.push([run.workflowVersion, run.output.outputs.say.result]);
    }
    expect(outputs).toEqual([
      [1, "one"],
      [2, "two"],
      [2, "two"],
    ]);
  });
});

describe("an idempotency key", () => {
  const run = (id: string, body: unknown, headers = {}, by = client) =>
    by.request("POST", `/api/workflows/${id}/run`, body, headers);

  it("gives the same run for the same input, from the body and from the header", async () => {
    const id = await createWorkflow(client, echo);
    const input = { a: 1, b: [-0, 1e21, "ü"], c: { d: null } };
    const { body: first } = await run(id, { input, idempotencyKey: "k1" });
    for (const answer of [
      await run(id, { input, idempotencyKey: "k1" }),
      await run(id, { input: { c: input.c, b: input.b, a: 1 } }, { "idempotency-key": "k1" }),
      await run(id, { input, idempotencyKey: "k1" }, { "idempotency-key": "k1" }),
      await run(id, `{"idempotencyKey":"k1","input":{"a":1.0,"b":[-0,1e21,"\\u00fc"],"c":{"d":null}}}`),
    ]) {
      expect([answer.status, answer.body]).toEqual([202, first]);
      expect(answer.headers.get("location")).toBe(`/api/runs/${first.runId}`);
    }
    expect(await walkPages(client, `/api/runs?workflowId=${id}`, 10)).toHaveLength(1);
  });

  it("with another input is idempotency_key_reused and names the first run", async () => {
    const id = await createWorkflow(client, echo);
    const { body: first } = await run(id, { input: { a: 1 }, idempotencyKey: "k" });
    for (const input of [{ a: 2 }, { a: "1" }, { a: 1, b: 2 }, {}, [{ a: 1 }], null]) {
      const answer = await run(id, { input }, { "idempotency-key": "k" });
      expect(answer.status).toBe(422);
      expect(answer.body).toMatchObject({ error: "idempotency_key_reused", runId: first.runId });
    }
  });

  it("starts one run however many requests come at once", async () => {
    const id = await createWorkflow(client, echo);
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => run(id, { input: { n: 1 } }, { "idempotency-key": "at-once" })),
    );
    expect(answers.map(({ status }) => status)).toEqual(Array(20).fill(202));
    expect(new Set(answers.map(({ body }) => body.runId)).size).toBe(1);
    expect(await walkPages(client, `/api/runs?workflowId=${id}`, 10)).toHaveLength(1);
  });

  it("belongs to one workflow of one organization", async () => {
    const stranger = await newClient(server.url);
    const ids = await Promise.all([createWorkflow(client, echo), createWorkflow(client, echo)]);
    const foreign = await createWorkflow(stranger, echo);
    const answers = [
      await run(ids[0], { idempotencyKey: "shared" }),
      await run(ids[1], { idempotencyKey: "shared", input: { other: true } }),
      await run(foreign, { idempotencyKey: "shared", input: 5 }, {}, stranger),
    ];
    expect(answers.map(({ status }) => status)).toEqual([202, 202, 202]);
    expect(new Set(answers.map(({ body }) => body.runId)).size).toBe(3);
  });

  it("gives its run also after the workflow has become invalid", async () => {
    const id = await createWorkflow(client, echo);
    const { body: first } = await run(id, { idempotencyKey: "k" });
    await edit(client, id, [
      { operation_type: "update", block_id: "echo", params: { template: "{{nobody.x}}" } },
    ]);
    const again = await run(id, { idempotencyKey: "k" });
    expect([again.status, again.body]).toEqual([202, first]);
    expect((await run(id, { idempotencyKey: "k", input: 1 })).body.error).toBe("idempotency_key_reused");
    expect((await run(id, { idempotencyKey: "new" })).body.error).toBe("workflow_invalid");
  });

  it("must be a text of 1 to 255 characters, the same in body and header", async () => {
    const id = await createWorkflow(client, echo);
    for (const [body, headers] of [
      [{ idempotencyKey: "" }, {}],
      [{ idempotencyKey: "k".repeat(256) }, {}],
      [{ idempotencyKey: 5 }, {}],
      [{}, { "idempotency-key": "k".repeat(256) }],
      [{}, { "idempotency-key": "two words" }],
      [{ idempotencyKey: "a" }, { "idempotency-key": "b" }],
    ] as const) {
      const answer = await run(id, body, headers);
      expect([answer.status, answer.body.error]).toEqual([400, "invalid_body"]);
    }
    expect(await walkPages(client, `/api/runs?workflowId=${id}`, 10)).toHaveLength(0);
  });
});

describe("the state of a run", () => {
  it("goes from pending over running and waiting to completed", async () => {
    const api = await startTestServer({ config: { role: "api" } });
    try {
      const owner = await newClient(api.url);
      const { origin, events, open } = await gate();
      const id = await createWorkflow(owner, {
        blocks: [block("call", "http", { url: origin }), wait("pause", 300), transform("end", 1)],
        connections: connect("call>pause>end"),
      });
      const runId = await startRun(owner, id);
      expect(await read(runId, owner)).toMatchObject({
        state: "pending",
        startedAt: null,
        finishedAt: null,
        output: null,
        error: null,
      });
      const worker = await startTestServer({ databaseUrl: api.databaseUrl, config: { role: "worker" } });
      try {
        const running = await inState(runId, "running", owner);
        expect(running).toMatchObject({ startedAt: expect.any(String), finishedAt: null, output: null });
        await waitFor(
          async () => events.asked,
          (asked) => asked === 1,
        );
        open();
        const waiting = await inState(runId, "waiting", owner);
        expect(waiting).toMatchObject({ startedAt: running.startedAt, finishedAt: null, output: null });
        const completed = await endedRun(owner, runId);
        expect(completed).toMatchObject({
          state: "completed",
          startedAt: running.startedAt,
          error: null,
          output: { outputs: { end: { result: 1 } } },
        });
        const instants = [completed.createdAt, completed.startedAt, completed.finishedAt];
        expect([...instants].sort()).toEqual(instants);
      } finally {
        await worker.close();
      }
    } finally {
      await api.close();
    }
  });

  it("is never completed without its output, however fast it is asked for", async () => {
    const id = await createWorkflow(client, echo);
    await Promise.all(
      Array.from({ length: 10 }, async () => {
        const runId = await startRun(client, id);
        for (;;) {
          const run = await read(runId);
          expect(run.output !== null).toBe(run.state === "completed");
          if (run.state === "completed") return;
        }
      }),
    );
  });
});

describe("the list of runs", () => {
  let owner: TestClient;
  const ids: Record<string, string> = {};
  const list = async (query: string) => {
    const { status, body } = await owner.request("GET", `/api/runs${query}`);
    expect(status).toBe(200);
    const nameOf = Object.fromEntries(Object.entries(ids).map(([name, id]) => [id, name]));
    return body.data.map(({ id }: { id: string }) => nameOf[id] ?? id);
  };
  let fine = "";
  let broken = "";

  beforeAll(async () => {
    owner = await newClient(server.url);
    fine = await createWorkflow(owner, echo);
    broken = await createWorkflow(owner, {
      blocks: [block("call", "http", { url: "{{trigger.url}}" })],
    });
    const slow = await createWorkflow(owner, { blocks: [wait("pause", 1, "h")] });
    for (const [name, minute, workflowId] of [
      ["first", "00", fine],
      ["failed", "01", broken],
      ["waiting", "02", slow],
      ["last", "03", fine],
    ] as const) {
      clock.set(`2026-11-22T10:${minute}:00.000Z`);
      ids[name] = await startRun(owner, workflowId);
    }
    clock.set("2026-11-22T10:04:30.000Z");
    await owner.request("POST", "/api/schedules", { workflowId: fine, cron: "4 10 * * *" });
    const { body } = await owner.request("POST", "/api/admin/tick");
    ids.scheduled = body.fired[0].runId;
    clock.set("2026-11-22T09:00:00.000Z");
    for (const name of ["first", "failed", "last", "scheduled"]) await endedRun(owner, String(ids[name]));
    await inState(String(ids.waiting), "waiting", owner);
  });

  it("shows every run of the organization, newest first, without input and output", async () => {
    expect(await list("")).toEqual(["scheduled", "last", "waiting", "failed", "first"]);
    const { body } = await owner.request("GET", "/api/runs?limit=1");
    expect(body.data[0]).toEqual({
      id: ids.scheduled,
      workflowId: fine,
      workflowVersion: 1,
      state: "completed",
      trigger: expect.objectContaining({ kind: "schedule" }),
      createdAt: "2026-11-22T10:04:30.000Z",
      startedAt: expect.any(String),
      finishedAt: expect.any(String),
    });
  });

  it("filters by workflow, state, trigger and creation, also all at once", async () => {
    expect(await list(`?workflowId=${broken}`)).toEqual(["failed"]);
    expect(await list(`?workflowId=${broken.toUpperCase()}`)).toEqual(["failed"]);
    expect(await list("?state=waiting")).toEqual(["waiting"]);
    expect(await list("?state=failed")).toEqual(["failed"]);
    expect(await list("?state=canceled")).toEqual([]);
    expect(await list("?trigger=schedule")).toEqual(["scheduled"]);
    expect(await list("?trigger=manual")).toEqual(["last", "waiting", "failed", "first"]);
    expect(await list("?createdAfter=2026-11-22T10:01:00Z")).toEqual(["scheduled", "last", "waiting"]);
    expect(await list("?createdBefore=2026-11-22T10:01:00.000Z")).toEqual(["first"]);
    const berlin = encodeURIComponent("2026-11-22T11:00:59.999+01:00");
    expect(await list(`?createdAfter=${berlin}&createdBefore=2026-11-22T10:03:00Z`)).toEqual([
      "waiting",
      "failed",
    ]);
    expect(
      await list(`?workflowId=${fine}&state=completed&trigger=manual&createdAfter=2026-11-22T10:00:30Z`),
    ).toEqual(["last"]);
  });

  it("is empty for a workflow that is not there", async () => {
    expect(await list("?workflowId=0198c5f2-7b1e-4a39-9d0e-3f5f6a1c2b4d")).toEqual([]);
    expect(await list("?workflowId=nonsense")).toEqual([]);
  });

  it.each([
    "state=done",
    "trigger=cron",
    "createdAfter=yesterday",
    "createdAfter=2026-11-22",
    "createdBefore=2026-11-22T10:00:00",
    "limit=101",
    "after=nonsense",
    "state=failed&state=completed",
  ])("refuses %s", async (query) => {
    const { status, body } = await owner.request("GET", `/api/runs?${query}`);
    expect([status, body.error, body.issues[0].path]).toEqual([400, "invalid_body", [query.split("=")[0]]]);
  });

  it("has pages without gap or duplicate, forwards and back, though all runs have the same instant", async () => {
    const many = await newClient(server.url);
    const id = await createWorkflow(many, echo);
    const started = await Promise.all(Array.from({ length: 12 }, () => startRun(many, id)));
    for (const runId of started) await endedRun(many, runId);
    for (const limit of [1, 5, 12]) {
      const rows = await walkPages(many, "/api/runs?state=completed", limit);
      expect(rows.map((row) => row.id).sort()).toEqual([...started].sort());
    }
  });
});

describe("the logs of a run", () => {
  const chain = {
    blocks: [trigger, transform("a", 1), transform("b", 2), wait("pause", 30), transform("c", 3)],
    connections: connect("start>a>b>pause>c"),
  };

  it("tell what each block did, in order, with its output", async () => {
    const run = await runDocument(client, chain, { n: 1 });
    const logs = await logsOf(client, run.id);
    expect(logs.map((row: Record<string, unknown>) => [row.name, row.blockId, row.kind, row.status])).toEqual(
      [
        ["start", "start", "block", "completed"],
        ["a", "a", "block", "completed"],
        ["b", "b", "block", "completed"],
        ["pause@wait", "pause", "wait", "completed"],
        ["pause", "pause", "block", "completed"],
        ["c", "c", "block", "completed"],
      ],
    );
    expect(logs[0]).toMatchObject({ attempt: 1, output: { n: 1 }, error: null });
    expect(logs[5].output).toEqual({ result: 3 });
    for (const { startedAt, finishedAt } of logs) expect(startedAt <= finishedAt).toBe(true);
    expect(new Set(logs.map(({ id }: { id: string }) => id)).size).toBe(6);
  });

  it("have pages that lead through all of them once", async () => {
    const run = await runDocument(client, chain);
    const all = await logsOf(client, run.id);
    for (const limit of [1, 2, 4, 6]) {
      const pages = [];
      let after = "";
      do {
        const { body } = await client.request("GET", `/api/runs/${run.id}/logs?limit=${limit}${after}`);
        pages.push(body.data);
        after = body.pagination.next === null ? "" : `&after=${body.pagination.next}`;
      } while (after !== "");
      expect(pages.flat()).toEqual(all);
      expect(pages).toHaveLength(Math.ceil(6 / limit));
    }
    const bad = await client.request("GET", `/api/runs/${run.id}/logs?after=nonsense`);
    expect([bad.status, bad.body.error]).toEqual([400, "invalid_body"]);
  });

  it("of a run that has not started are empty, and of one that waits show the wait", async () => {
    const id = await createWorkflow(client, { blocks: [wait("pause", 1, "h")] });
    const runId = await startRun(client, id);
    await inState(runId, "waiting");
    expect(await logsOf(client, runId)).toMatchObject([
      {
        name: "pause@wait",
        blockId: "pause",
        kind: "wait",
        status: "waiting",
        finishedAt: null,
        output: null,
      },
    ]);
  });
});

describe("canceling a run", () => {
  const cancel = (runId: string) => client.request("POST", `/api/runs/${runId}/cancel`);

  it("that waits is 204, and again 204; nothing of it runs any more", async () => {
    const id = await createWorkflow(client, {
      blocks: [wait("pause", 1, "h"), transform("after", 1)],
      connections: connect("pause>after"),
    });
    const runId = await startRun(client, id);
    await inState(runId, "waiting");
    const first = await cancel(runId);
    expect([first.status, first.body]).toEqual([204, null]);
    const canceled = await read(runId);
    expect(canceled).toMatchObject({
      state: "canceled",
      output: null,
      error: null,
      finishedAt: expect.any(String),
    });
    expect((await cancel(runId)).status).toBe(204);
    expect(await read(runId)).toEqual(canceled);
    expect(await logsOf(client, runId)).toMatchObject([{ name: "pause@wait", status: "canceled" }]);
  });

  it("that runs ends its running step", async () => {
    const { origin, events } = await gate();
    const id = await createWorkflow(client, {
      blocks: [block("call", "http", { url: origin }), transform("after", 1)],
      connections: connect("call>after"),
    });
    const runId = await startRun(client, id);
    await waitFor(
      async () => events.asked,
      (asked) => asked === 1,
    );
    expect((await cancel(runId)).status).toBe(204);
    await waitFor(
      async () => events.gone,
      (gone) => gone === 1,
    );
    expect((await read(runId)).state).toBe("canceled");
    expect(await logsOf(client, runId)).toMatchObject([{ name: "call", status: "canceled" }]);
  });

  it("that has completed or failed is cancel_failed and leaves it as it was", async () => {
    const completed = await runDocument(client, echo);
    const failed = await runDocument(client, { blocks: [block("call", "http", { url: "{{trigger.url}}" })] });
    for (const run of [completed, failed]) {
      const { status, body } = await cancel(run.id);
      expect(status).toBe(500);
      expect(body).toMatchObject({
        error: "cancel_failed",
        message: expect.stringContaining(run.state),
        requestId: expect.any(String),
      });
      expect(await read(run.id)).toEqual(run);
    }
  });
});

describe("over tRPC", () => {
  it("runs are started, read, listed and canceled with the same answers", async () => {
    const trpc = createFlowkeepClient({ url: server.url, apiKey: client.key });
    const id = await createWorkflow(client, { blocks: [wait("pause", 1, "h")] });
    const { runId } = await trpc.workflows.run.mutate({ id, input: [1], idempotencyKey: "t" });
    await inState(runId, "waiting");
    expect(await trpc.runs.get.query({ runId })).toEqual(await read(runId));
    expect((await trpc.runs.list.query({ workflowId: id })).data).toMatchObject([
      { id: runId, state: "waiting" },
    ]);
    expect((await trpc.runs.logs.query({ runId })).data).toEqual(await logsOf(client, runId));
    await expect(trpc.workflows.run.mutate({ id, idempotencyKey: "t" })).rejects.toMatchObject({
      data: { error: "idempotency_key_reused", runId, httpStatus: 422 },
    });
    await trpc.runs.cancel.mutate({ runId });
    expect((await trpc.runs.get.query({ runId })).state).toBe("canceled");
  });
});
