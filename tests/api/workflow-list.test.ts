import { beforeAll, describe, expect, it } from "vitest";
import { newClient } from "../support/client.js";
import { clockAt } from "../support/clocks.js";
import { useClient, useTestServer } from "../support/server-hooks.js";
import { createWorkflow, walkPages } from "../support/workflows.js";

const clock = clockAt("2026-11-22T09:00:00.123Z");
const server = useTestServer({ now: clock.now });
const owner = useClient(server);

const create = (metadata: object) => owner.request("POST", "/api/workflows", { metadata });

describe("the list", () => {
  const names: Record<string, string> = {};
  const listNames = async (query: string) => {
    const { status, body } = await owner.request("GET", `/api/workflows${query}`);
    expect(status).toBe(200);
    return body.data.map(({ name }: { name: string }) => name).sort();
  };

  beforeAll(async () => {
    for (const [name, description, tags] of [
      ["100% done", "", ["red"]],
      ["snake_case", "", ["red", "blue"]],
      ["back\\slash", "", []],
      ["Plain", "Has the WORD inside", ["green"]],
      ["word first", "", ["re"]],
    ] as const) {
      names[name] = (await create({ name, description, tags })).body.id;
    }
  });

  it("shows name, description, tags, version and instants, newest first, without documents", async () => {
    clock.set("2026-11-22T09:00:01.000Z");
    const { body: newest } = await create({ name: "Newest", tags: ["x"] });
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
