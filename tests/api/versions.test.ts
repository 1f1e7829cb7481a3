import { describe, expect, it } from "vitest";
import { createFlowkeepClient } from "../../router/client.js";
import { newClient } from "../support/client.js";
import { clockAt } from "../support/clocks.js";
import { add } from "../support/edit-operations.js";
import { useClient, useTestServer } from "../support/server-hooks.js";
import { createWorkflow, edit, transform, walkPages } from "../support/workflows.js";

const clock = clockAt("2026-11-22T09:00:00.000Z");
const server = useTestServer({ now: clock.now });
const client = useClient(server);

/** A workflow whose version n has the blocks b2 to bn. */
async function workflowWithVersions(count: number): Promise<string> {
  const id = await createWorkflow(client);
  for (let version = 2; version <= count; version += 1) await edit(client, id, [add(`b${version}`)]);
  return id;
}

const blockIds = (workflow: { blocks: { id: string }[] }) => workflow.blocks.map(({ id }) => id);

describe("versions", () => {
  it("are listed newest first with who made them and when, without documents", async () => {
    const id = await createWorkflow(client);
    clock.set("2026-11-22T09:00:01.000Z");
    await edit(client, id, [add("b2")]);
    clock.set("2026-11-22T09:00:00.000Z");
    const { status, body } = await client.request("GET", `/api/workflows/${id}/versions`);
    expect(status).toBe(200);
    expect(body).toEqual({
      data: [
        { version: 2, createdAt: "2026-11-22T09:00:01.000Z", createdBy: expect.any(String) },
        { version: 1, createdAt: "2026-11-22T09:00:00.000Z", createdBy: body.data[0].createdBy },
      ],
      pagination: { next: null, prev: null },
    });
  });

  it("have pages without gap or duplicate, forwards and back, though all have the same instant", async () => {
    const id = await workflowWithVersions(12);
    for (const limit of [1, 5, 12]) {
      const rows = await walkPages(client, `/api/workflows/${id}/versions`, limit, "version");
      expect(rows.map(({ version }) => version)).toEqual([12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1]);
    }
  });

  it("never change: each keeps the document it was written with", async () => {
    const id = await workflowWithVersions(3);
    const read = (version: number) => client.request("GET", `/api/workflows/${id}/versions/${version}`);
    const before = await Promise.all([read(1), read(2), read(3)]);
    await client.request("PUT", `/api/workflows/${id}`, { workflow: { variables: { replaced: true } } });
    const after = await Promise.all([read(1), read(2), read(3)]);
    expect(after.map(({ body }) => body)).toEqual(before.map(({ body }) => body));
    expect(after.map(({ body }) => blockIds(body.workflow))).toEqual([[], ["b2"], ["b2", "b3"]]);
    expect(after[1]?.body).toMatchObject({ id, version: 2, createdAt: "2026-11-22T09:00:00.000Z" });
  });

  it("that do not exist are not_found, whatever stands in their place", async () => {
    const id = await createWorkflow(client);
    for (const version of ["2", "0", "-1", "1.5", "one", "99999999999", "1e0"]) {
      for (const [method, suffix] of [
        ["GET", ""],
        ["POST", "/restore"],
      ] as const) {
        const answer = await client.request(method, `/api/workflows/${id}/versions/${version}${suffix}`);
        expect([version, answer.status, answer.body.error]).toEqual([version, 404, "not_found"]);
      }
    }
  });

  it("refuse a cursor of another list", async () => {
    const id = await workflowWithVersions(2);
    const workflows = await client.request("GET", "/api/workflows?limit=1");
    const answer = await client.request(
      "GET",
      `/api/workflows/${id}/versions?after=${workflows.body.pagination.next}`,
    );
    expect([answer.status, answer.body.error]).toEqual([400, "invalid_body"]);
  });
});

describe("restoring a version", () => {
  it("writes its document as the next version and keeps all others", async () => {
    const id = await workflowWithVersions(3);
    const { status, headers, body } = await client.request("POST", `/api/workflows/${id}/versions/2/restore`);
    expect(status).toBe(200);
    expect(headers.get("etag")).toBe('"4"');
    expect(body).toMatchObject({ id, version: 4 });
    expect(blockIds(body.workflow)).toEqual(["b2"]);
    expect((await client.request("GET", `/api/workflows/${id}`)).body).toEqual(body);
    const third = await client.request("GET", `/api/workflows/${id}/versions/3`);
    expect(blockIds(third.body.workflow)).toEqual(["b2", "b3"]);
  });

  it("brings the name and the tags of the list back", async () => {
    const owner = await newClient(server.url);
    const id = await createWorkflow(owner, { metadata: { name: "First", tags: ["first"] } });
    await owner.request("PUT", `/api/workflows/${id}`, { workflow: { metadata: { name: "Second" } } });
    await owner.request("POST", `/api/workflows/${id}/versions/1/restore`);
    const { body } = await owner.request("GET", "/api/workflows?tag=first");
    expect(body.data).toMatchObject([{ id, name: "First", version: 3 }]);
  });

  it("goes by If-Match", async () => {
    const id = await workflowWithVersions(2);
    const restore = (ifMatch: string) =>
      client.request("POST", `/api/workflows/${id}/versions/1/restore`, undefined, { "if-match": ifMatch });
    const stale = await restore("1");
    expect([stale.status, stale.body.error, stale.body.current]).toEqual([412, "version_mismatch", 2]);
    expect((await restore('"2"')).body.version).toBe(3);
    expect((await restore("x")).body.error).toBe("invalid_if_match");
  });

  it("answers the same over tRPC, with expectedVersion in the place of If-Match", async () => {
    const id = await createWorkflow(client, { blocks: [transform("b1", 1)] });
    await edit(client, id, [add("b2")]);
    const trpc = createFlowkeepClient({ url: server.url, apiKey: client.key });
    const versions = await trpc.workflows.versions.query({ id, limit: 1 });
    expect(versions.data).toMatchObject([{ version: 2 }]);
    expect(await trpc.workflows.version.query({ id, version: 1 })).toMatchObject({ id, version: 1 });
    await expect(trpc.workflows.restore.mutate({ id, version: 1, expectedVersion: 1 })).rejects.toMatchObject(
      { data: { error: "version_mismatch", current: 2, httpStatus: 412 } },
    );
    const restored = await trpc.workflows.restore.mutate({ id, version: 1, expectedVersion: 2 });
    expect([restored.version, blockIds(restored.workflow)]).toEqual([3, ["b1"]]);
  });
});
