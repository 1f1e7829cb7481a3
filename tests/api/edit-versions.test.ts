import { describe, expect, it } from "vitest";
import { add, join } from "../support/edit-operations.js";
import { useClient, useTestServer } from "../support/server-hooks.js";
import { createWorkflow, edit, transform, walkPages } from "../support/workflows.js";

const client = useClient(useTestServer());

async function read(id: string) {
  return (await client.request("GET", `/api/workflows/${id}`)).body;
}

describe("versions of an edited workflow", () => {
  it("stay where they are when a batch changes nothing", async () => {
    const id = await createWorkflow(client, { blocks: [transform("a", 1)] });
    const before = await read(id);
    const batches: unknown[][] = [
      [],
      [add("a")],
      [{ operation_type: "update", block_id: "a", params: { template: 1 } }],
      [{ operation_type: "update", block_id: "a", enabled: true }],
      [add("b"), { operation_type: "remove", block_id: "b" }],
    ];
    for (const ops of batches) {
      const { status, headers, body } = await edit(client, id, ops);
      expect([status, body.version, headers.get("etag")]).toEqual([200, 1, '"1"']);
      expect(body.summary).toContain("The workflow is as it was before.");
    }
    expect(await read(id)).toEqual(before);
    expect(await walkPages(client, `/api/workflows/${id}/versions`, 10, "version")).toHaveLength(1);
  });

  it("are not touched by a dry run, which answers as if it had been applied", async () => {
    const id = await createWorkflow(client, { blocks: [transform("a", 1)] });
    const before = await read(id);
    const ops = [add("b"), join("a", "b"), { operation_type: "remove", block_id: "nobody" }];
    const dry = await edit(client, id, ops, { dryRun: true });
    expect([dry.status, dry.headers.get("etag")]).toEqual([200, '"1"']);
    expect(dry.body).toMatchObject({ ok: false, version: 1, applied: 2 });
    expect(dry.body.summary).toContain("This was a dry run, so nothing was saved.");
    expect(await read(id)).toEqual(before);
    const wet = await edit(client, id, ops);
    expect(wet.body).toMatchObject({ version: 2, workflow: dry.body.workflow });
    expect(wet.body.skipped_items).toEqual(dry.body.skipped_items);
  });

  it("grow by one for each of 20 parallel one-block batches without If-Match, and all blocks are there", async () => {
    const id = await createWorkflow(client);
    const names = Array.from({ length: 20 }, (_, index) => `b${index}`);
    const answers = await Promise.all(names.map((name) => edit(client, id, [add(name)])));
    expect(answers.map(({ status }) => status)).toEqual(Array(20).fill(200));
    const versions = answers.map(({ body }) => body.version).sort((a, b) => a - b);
    expect(versions).toEqual(Array.from({ length: 20 }, (_, index) => index + 2));
    for (const { body } of answers) expect(body.workflow.blocks).toHaveLength(body.version - 1);
    const { version, workflow } = await read(id);
    expect(version).toBe(21);
    expect(workflow.blocks.map((row: { id: string }) => row.id).sort()).toEqual([...names].sort());
  });

  it("go by If-Match: the current one passes, a stale one is version_mismatch and nothing changes", async () => {
    const id = await createWorkflow(client);
    const patch = (ifMatch: string, name: string, more = {}) =>
      client.request(
        "POST",
        `/api/workflows/${id}/operations`,
        { ops: [add(name)], ...more },
        { "if-match": ifMatch },
      );
    expect((await patch("1", "a")).body.version).toBe(2);
    const before = await read(id);
    for (const more of [{}, { dryRun: true }]) {
      const stale = await patch('"1"', "b", more);
      expect(stale.status).toBe(412);
      expect(stale.body).toMatchObject({ error: "version_mismatch", current: 2 });
    }
    expect((await patch("two", "b")).body.error).toBe("invalid_if_match");
    expect(await read(id)).toEqual(before);
    const both = await client.request(
      "POST",
      `/api/workflows/${id}/operations`,
      { ops: [add("b")], expectedVersion: 1 },
      { "if-match": "2" },
    );
    expect([both.status, both.body.issues[0].path]).toEqual([400, ["expectedVersion"]]);
    expect((await patch('"2"', "b")).body.version).toBe(3);
  });
});
