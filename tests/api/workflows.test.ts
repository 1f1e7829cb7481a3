import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createFlowkeepClient } from "../../router/client.js";
import { WorkflowDocument } from "../../server/workflows/document.js";
import { endedRun, newClient, type TestClient } from "../support/client.js";
import { startTestServer, type TestServer } from "../support/server.js";
import {
  block,
  clockAt,
  connect,
  createWorkflow,
  edit,
  transform,
  trigger,
  wait,
  walkPages,
} from "../support/workflows.js";

let server: TestServer;
let client: TestClient;
const clock = clockAt("2026-11-22T09:00:00.123Z");

beforeAll(async () => {
  server = await startTestServer({ now: clock.now });
  client = await newClient(server.url);
});
afterAll(() => server.close());

const emptyDocument = {
  version: "1.0.0",
  metadata: { name: "Untitled workflow", description: "", tags: [] },
  blocks: [],
  connections: [],
  variables: {},
};

/** A document with fields that no schema names, at every level. */
const richDocument = {
  version: "1.0.0",
  metadata: { name: "Rich", description: "Has it all.", tags: ["a", "b"], owner: { team: "red" } },
  blocks: [
    { ...trigger, enabled: true, colour: "green" },
    {
      ...transform("shape", { who: "{{trigger.name}}", "": [1, null, { deep: "ü" }] }),
      enabled: false,
      name: "Shape it",
      position: { x: -1.5, y: 2 },
      retry: { maxAttempts: 2, initialMs: 10 },
      timeoutMs: 500,
      onError: "fail",
      notes: ["kept"],
    },
  ],
  connections: [{ source: "start", target: "shape", sourceHandle: "out", label: "kept too" }],
  variables: { limit: 5, nested: { list: [true] } },
  editor: { zoom: 1.25 },
};

const create = (body?: unknown, by = client) => by.request("POST", "/api/workflows", body);
const get = (id: string) => client.request("GET", `/api/workflows/${id}`);

describe("creating a workflow", () => {
  it("needs nothing and gives an empty document with its place and version", async () => {
    for (const body of [undefined, {}]) {
      const { status, headers, body: created } = await create(body);
      expect(status).toBe(201);
      expect(created).toEqual({
        id: expect.any(String),
        workflow: emptyDocument,
        version: 1,
        createdAt: "2026-11-22T09:00:00.123Z",
        updatedAt: "2026-11-22T09:00:00.123Z",
      });
      expect(headers.get("location")).toBe(`/api/workflows/${created.id}`);
      expect(headers.get("etag")).toBe('"1"');
      const read = await client.request("GET", String(headers.get("location")));
      expect(read.body).toEqual(created);
    }
  });

  it("takes metadata only and keeps unknown fields of it", async () => {
    const { body } = await create({ metadata: { name: "Named", icon: "bolt" } });
    expect(body.workflow).toEqual({
      ...emptyDocument,
      metadata: { name: "Named", description: "", tags: [], icon: "bolt" },
    });
  });

  it("keeps a full document as it is, unknown fields included, in the answer and when it is read", async () => {
    const { body } = await create({ workflow: richDocument });
    expect(body.workflow).toEqual(richDocument);
    expect((await get(body.id)).body.workflow).toEqual(richDocument);
  });

  it("lets the metadata of the request win over the document's, field by field", async () => {
    const { body } = await create({ metadata: { name: "Mine", tags: [] }, workflow: richDocument });
    expect(body.workflow.metadata).toEqual({ ...richDocument.metadata, name: "Mine", tags: [] });
  });

  it("keeps a document with validation errors as a draft", async () => {
    const draft = { blocks: [block("odd", "no_such_type")], connections: connect("odd>nowhere") };
    const { status, body } = await create({ workflow: draft });
    expect(status).toBe(201);
    expect(body.workflow.blocks).toEqual([{ ...block("odd", "no_such_type"), enabled: true }]);
    expect(body.workflow.connections).toEqual([{ source: "odd", target: "nowhere" }]);
  });

  it("answers the same over tRPC", async () => {
    const trpc = createFlowkeepClient({ url: server.url, apiKey: client.key });
    const created = await trpc.workflows.create.mutate({ workflow: WorkflowDocument.parse(richDocument) });
    expect(created).toEqual((await get(created.id)).body);
    expect(await trpc.workflows.get.query({ id: created.id })).toEqual(created);
  });

  it.each([
    ["a name of 201 characters", { metadata: { name: "n".repeat(201) } }, "metadata.name"],
    ["an empty name", { metadata: { name: "" } }, "metadata.name"],
    ["21 tags", { metadata: { tags: Array(21).fill("t") } }, "metadata.tags"],
    ["a tag of 51 characters", { metadata: { tags: ["t".repeat(51)] } }, "metadata.tags.0"],
    [
      "a description of 5001 characters",
      { metadata: { description: "d".repeat(5_001) } },
      "metadata.description",
    ],
    [
      "501 blocks",
      { workflow: { blocks: Array.from({ length: 501 }, (_, n) => wait(`w${n}`, 1)) } },
      "workflow.blocks",
    ],
    [
      "a block id of 65 characters",
      { workflow: { blocks: [wait("w".repeat(65), 1)] } },
      "workflow.blocks.0.id",
    ],
    ["a reserved block id", { workflow: { blocks: [wait("trigger", 1)] } }, "workflow.blocks.0.id"],
    [
      "a text for a boolean",
      { workflow: { blocks: [block("w", "x", {}, { enabled: "true" })] } },
      "workflow.blocks.0.enabled",
    ],
    ["a document that is no object", { workflow: [] }, "workflow"],
  ])("refuses %s and says where", async (_, body, path) => {
    const answer = await create(body);
    expect(answer.status).toBe(400);
    expect(answer.body).toMatchObject({
      error: "invalid_body",
      issues: [{ path: path.split(".").map(toKey) }],
    });
  });

  it("takes names, tags, ids and blocks up to their limits", async () => {
    const metadata = {
      name: "n".repeat(200),
      description: "d".repeat(5_000),
      tags: Array(20).fill("t".repeat(50)),
    };
    const blocks = Array.from({ length: 500 }, (_, n) => wait(`w${n}`.padEnd(64, "_"), 1));
    const { status, body } = await create({ metadata, workflow: { blocks } });
    expect(status).toBe(201);
    expect(body.workflow.metadata).toEqual(metadata);
    expect(body.workflow.blocks).toHaveLength(500);
  });
});

function toKey(text: string): string | number {
  return /^\d+$/.test(text) ? Number(text) : text;
}

describe("the list", () => {
  let owner: TestClient;
  const names: Record<string, string> = {};
  const listNames = async (query: string) => {
    const { status, body } = await owner.request("GET", `/api/workflows${query}`);
    expect(status).toBe(200);
    return body.data.map(({ name }: { name: string }) => name).sort();
  };

  beforeAll(async () => {
    owner = await newClient(server.url);
    for (const [name, description, tags] of [
      ["100% done", "", ["red"]],
      ["snake_case", "", ["red", "blue"]],
      ["back\\slash", "", []],
      ["Plain", "Has the WORD inside", ["green"]],
      ["word first", "", ["re"]],
    ] as const) {
      names[name] = (await create({ metadata: { name, description, tags } }, owner)).body.id;
    }
  });

  it("shows name, description, tags, version and instants, newest first, without documents", async () => {
    clock.set("2026-11-22T09:00:01.000Z");
    const { body: newest } = await create({ metadata: { name: "Newest", tags: ["x"] } }, owner);
    clock.set("2026-11-22T09:00:00.123Z");
    const { body } = await owner.request("GET", "/api/workflows?limit=1");
    expect(body.data).toEqual([
      {
        id: newest.id,
        name: "Newest",
        description: "",
        tags: ["x"],
        version: 1,
        createdAt: "2026-11-22T09:00:01.000Z",
        updatedAt: "2026-11-22T09:00:01.000Z",
      },
    ]);
    await owner.request("DELETE", `/api/workflows/${newest.id}`);
  });

  it("searches name and description without regard to case, and takes %, _ and \\ literally", async () => {
    expect(await listNames("?search=word")).toEqual(["Plain", "word first"]);
    expect(await listNames(`?search=${encodeURIComponent("%")}`)).toEqual(["100% done"]);
    expect(await listNames("?search=_")).toEqual(["snake_case"]);
    expect(await listNames(`?search=${encodeURIComponent("\\")}`)).toEqual(["back\\slash"]);
    expect(await listNames(`?search=${encodeURIComponent("0% d")}`)).toEqual(["100% done"]);
    expect(await listNames("?search=nothing")).toEqual([]);
  });

  it("filters by one whole tag, also together with a search", async () => {
    expect(await listNames("?tag=red")).toEqual(["100% done", "snake_case"]);
    expect(await listNames("?tag=re")).toEqual(["word first"]);
    expect(await listNames("?tag=red&search=case")).toEqual(["snake_case"]);
    expect(await listNames("?tag=purple")).toEqual([]);
  });

  it("follows edits of the metadata", async () => {
    const id = await createWorkflow(owner, { metadata: { name: "Before", tags: ["old"] } });
    const { body } = await owner.request("GET", `/api/workflows/${id}`);
    const metadata = { name: "After", description: "", tags: ["new"] };
    await owner.request("PUT", `/api/workflows/${id}`, { workflow: { ...body.workflow, metadata } });
    expect(await listNames("?tag=new")).toEqual(["After"]);
    expect(await listNames("?tag=old")).toEqual([]);
  });

  it.each([1, 3, 4, 50])(
    "has pages of %i that lead through all rows once, forwards and back, though all have the same instant",
    async (limit) => {
      const rows = await walkPages(owner, "/api/workflows", limit);
      expect(new Set(rows.map(({ createdAt }) => createdAt))).toEqual(new Set(["2026-11-22T09:00:00.123Z"]));
      expect(rows.map(({ id }) => id)).toEqual(expect.arrayContaining(Object.values(names)));
    },
  );

  it("keeps its filters from page to page", async () => {
    const rows = await walkPages(owner, "/api/workflows?tag=red", 1);
    expect(rows.map(({ name }) => name).sort()).toEqual(["100% done", "snake_case"]);
  });

  it("has 50 rows on a page by default and 100 at most", async () => {
    const many = await newClient(server.url);
    await Promise.all(Array.from({ length: 51 }, () => createWorkflow(many)));
    const { body } = await many.request("GET", "/api/workflows");
    expect(body.data).toHaveLength(50);
    expect(body.pagination).toEqual({ next: expect.any(String), prev: null });
    expect((await many.request("GET", "/api/workflows?limit=100")).body.data).toHaveLength(51);
    for (const query of ["limit=101", "limit=0", "limit=abc", "limit=1e9", "after=nonsense", "before="]) {
      const answer = await many.request("GET", `/api/workflows?${query}`);
      expect([query, answer.status, answer.body.error]).toEqual([query, 400, "invalid_body"]);
    }
  });
});

describe("replacing a workflow", () => {
  it("accepts what GET returned unchanged and writes it as the next version", async () => {
    const { body: created } = await create({ workflow: richDocument });
    const { body: read } = await get(created.id);
    clock.set("2026-11-22T09:30:00.000Z");
    const { status, headers, body } = await client.request("PUT", `/api/workflows/${created.id}`, read);
    clock.set("2026-11-22T09:00:00.123Z");
    expect(status).toBe(200);
    expect(headers.get("etag")).toBe('"2"');
    expect(body).toEqual({ ...read, version: 2, updatedAt: "2026-11-22T09:30:00.000Z" });
    expect((await get(created.id)).body).toEqual(body);
  });

  it("goes by If-Match: the current version passes, a stale one is version_mismatch and changes nothing", async () => {
    const id = await createWorkflow(client);
    const put = (ifMatch: string | null) =>
      client.request(
        "PUT",
        `/api/workflows/${id}`,
        { workflow: { ...emptyDocument, variables: { ifMatch } } },
        ifMatch === null ? {} : { "if-match": ifMatch },
      );
    expect((await put("1")).body.version).toBe(2);
    expect((await put('"2"')).body.version).toBe(3);
    for (const stale of ["1", '"2"', "4", "2147483647"]) {
      const refused = await put(stale);
      expect(refused.status).toBe(412);
      expect(refused.body).toMatchObject({ error: "version_mismatch", current: 3 });
    }
    const { body, headers } = await get(id);
    expect(body).toMatchObject({ version: 3, workflow: { variables: { ifMatch: '"2"' } } });
    expect(headers.get("etag")).toBe('"3"');
    expect((await put(null)).body.version).toBe(4);
    for (const invalid of ["*", 'W/"4"', "0", "-1", "1.5", "4abc", "99999999999", '"4', "4,5", ""]) {
      const refused = await put(invalid);
      expect([invalid, refused.status, refused.body.error]).toEqual([invalid, 400, "invalid_if_match"]);
    }
    expect((await get(id)).body.version).toBe(4);
  });

  it("lets one of 10 parallel writes with the same If-Match through", async () => {
    const id = await createWorkflow(client);
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, writer) =>
        client.request(
          "PUT",
          `/api/workflows/${id}`,
          { workflow: { ...emptyDocument, variables: { writer } } },
          { "if-match": "1" },
        ),
      ),
    );
    expect(answers.map(({ status }) => status).sort()).toEqual([200, ...Array(9).fill(412)]);
    const winner = answers.findIndex(({ status }) => status === 200);
    expect((await get(id)).body).toMatchObject({ version: 2, workflow: { variables: { writer: winner } } });
  });

  it("needs a document", async () => {
    const id = await createWorkflow(client);
    const { status, body } = await client.request("PUT", `/api/workflows/${id}`, {});
    expect(status).toBe(400);
    expect(body).toMatchObject({ error: "invalid_body", issues: [{ path: ["workflow"] }] });
  });
});

describe("removing a workflow", () => {
  it("is 204 once, then the workflow is nowhere any more", async () => {
    const id = await createWorkflow(client, { blocks: [trigger] });
    const removed = await client.request("DELETE", `/api/workflows/${id}`);
    expect([removed.status, removed.body]).toEqual([204, null]);
    const rest: [string, string, unknown?][] = [
      ["DELETE", ""],
      ["GET", ""],
      ["PUT", "", { workflow: emptyDocument }],
      ["POST", "/operations", { ops: [] }],
      ["GET", "/versions"],
      ["GET", "/versions/1"],
      ["POST", "/versions/1/restore"],
      ["POST", "/run", {}],
    ];
    for (const [method, path, body] of rest) {
      const answer = await client.request(method, `/api/workflows/${id}${path}`, body);
      expect([method, path, answer.status, answer.body.error]).toEqual([method, path, 404, "not_found"]);
    }
    const listed = await walkPages(client, "/api/workflows", 100);
    expect(listed.map((row) => row.id)).not.toContain(id);
  });

  it("lets a run that waits finish with the document it started with", async () => {
    const id = await createWorkflow(client, {
      blocks: [wait("pause", 300), transform("after", "done")],
      connections: connect("pause>after"),
    });
    const { body: started } = await client.request("POST", `/api/workflows/${id}/run`);
    await client.request("DELETE", `/api/workflows/${id}`);
    const run = await endedRun(client, started.runId);
    expect(run).toMatchObject({ state: "completed", output: { outputs: { after: { result: "done" } } } });
  });

  it("switches its schedules off and says why", async () => {
    const id = await createWorkflow(client, { blocks: [trigger] });
    const other = await createWorkflow(client, { blocks: [trigger] });
    const schedule = (workflowId: string) =>
      client.request("POST", "/api/schedules", { workflowId, cron: "0 9 * * *" });
    const [{ body: stopped }, { body: kept }] = await Promise.all([schedule(id), schedule(other)]);
    await client.request("DELETE", `/api/workflows/${id}`);
    expect((await client.request("GET", `/api/schedules/${stopped.id}`)).body).toMatchObject({
      enabled: false,
      nextFireAt: null,
      stoppedReason: "The workflow was removed.",
    });
    expect((await client.request("GET", `/api/schedules/${kept.id}`)).body).toEqual({ ...kept, recent: [] });
  });

  it("leaves no schedule switched on that was created at the same moment", async () => {
    const rounds = Array.from({ length: 15 }, async () => {
      const workflowId = await createWorkflow(client, { blocks: [trigger] });
      const [created, removed] = await Promise.all([
        client.request("POST", "/api/schedules", { workflowId, cron: "0 9 * * *" }),
        client.request("DELETE", `/api/workflows/${workflowId}`),
      ]);
      expect(removed.status).toBe(204);
      if (created.status === 404) return created.body.error;
      return (await client.request("GET", `/api/schedules/${created.body.id}`)).body.stoppedReason;
    });
    const outcomes = new Set(await Promise.all(rounds));
    outcomes.delete("workflow_not_found");
    outcomes.delete("The workflow was removed.");
    expect([...outcomes]).toEqual([]);
  });
});

describe("limits of a document", () => {
  it("refuse a batch that would make it larger than 1 MiB, dry or not, and leave it as it was", async () => {
    const id = await createWorkflow(client);
    const add = (name: string) =>
      edit(client, id, [
        {
          operation_type: "add",
          block_id: name,
          type: "transform",
          params: { template: "x".repeat(400_000) },
        },
      ]);
    expect((await add("one")).body.version).toBe(2);
    expect((await add("two")).body.version).toBe(3);
    const refused = await add("three");
    expect(refused.status).toBe(422);
    expect(refused.body).toMatchObject({ error: "limit_exceeded", limit: 1_048_576 });
    expect(refused.body.message).toMatch(
      /^The document would have 1200\d\d\d bytes; the limit is 1048576\.$/,
    );
    const dry = await edit(
      client,
      id,
      [
        {
          operation_type: "add",
          block_id: "three",
          type: "transform",
          params: { template: "x".repeat(400_000) },
        },
      ],
      { dryRun: true },
    );
    expect([dry.status, dry.body.error]).toEqual([422, "limit_exceeded"]);
    const { body } = await get(id);
    expect(body.version).toBe(3);
    expect(body.workflow.blocks.map((row: { id: string }) => row.id)).toEqual(["one", "two"]);
  });
});
