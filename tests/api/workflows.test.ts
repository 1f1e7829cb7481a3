import { describe, expect, it } from "vitest";
import { createFlowkeepClient } from "../../router/client.js";
import { WorkflowDocument } from "../../server/workflows/document.js";
import { clockAt } from "../support/clocks.js";
import { add } from "../support/edit-operations.js";
import { useClient, useTestServer } from "../support/server-hooks.js";
import { block, connect, createWorkflow, edit, transform, trigger, wait } from "../support/workflows.js";

const clock = clockAt("2026-11-22T09:00:00.123Z");
const server = useTestServer({ now: clock.now });
const client = useClient(server);

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

const create = (body?: unknown) => client.request("POST", "/api/workflows", body);
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

describe("limits of a document", () => {
  it("refuse a batch that would make it larger than 1 MiB, dry or not, and leave it as it was", async () => {
    const id = await createWorkflow(client);
    const addLarge = (name: string, more = {}) => edit(client, id, [add(name, "x".repeat(400_000))], more);
    expect((await addLarge("one")).body.version).toBe(2);
    expect((await addLarge("two")).body.version).toBe(3);
    const refused = await addLarge("three");
    expect(refused.status).toBe(422);
    expect(refused.body).toMatchObject({ error: "limit_exceeded", limit: 1_048_576 });
    expect(refused.body.message).toMatch(
      /^The document would have 1200\d\d\d bytes; the limit is 1048576: take something out, or move blocks into a workflow that run_workflow starts\.$/,
    );
    const dry = await addLarge("three", { dryRun: true });
    expect([dry.status, dry.body.error]).toEqual([422, "limit_exceeded"]);
    const { body } = await get(id);
    expect(body.version).toBe(3);
    expect(body.workflow.blocks.map((row: { id: string }) => row.id)).toEqual(["one", "two"]);
  });
});
