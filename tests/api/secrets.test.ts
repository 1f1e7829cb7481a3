import { describe, expect, it } from "vitest";
import { newClient, send } from "../support/client.js";
import { useClient, useSql, useTestServer } from "../support/server-hooks.js";
import { mintKey } from "../support/sign-up.js";
import { walkPages } from "../support/workflows.js";

const server = useTestServer();
const client = useClient(server);
const sql = useSql(server);

const put = (name: string, value: unknown, as = client) =>
  as.request("PUT", `/api/secrets/${name}`, { value });

describe("a secret", () => {
  it("is created, replaced and deleted, and shows its name and dates only", async () => {
    const created = await put("STRIPE_KEY", "sk_live_first");
    expect(created).toMatchObject({ status: 200, body: { name: "STRIPE_KEY" } });
    expect(Object.keys(created.body).sort()).toEqual(["createdAt", "name", "updatedAt"]);

    const replaced = await put("STRIPE_KEY", "sk_live_second");
    expect(replaced.body.createdAt).toBe(created.body.createdAt);
    expect(replaced.body.updatedAt >= created.body.updatedAt).toBe(true);

    const { body } = await client.request("GET", "/api/secrets");
    expect(body.data).toEqual([replaced.body]);

    expect((await client.request("DELETE", "/api/secrets/STRIPE_KEY")).status).toBe(204);
    expect(await client.request("DELETE", "/api/secrets/STRIPE_KEY")).toMatchObject({
      status: 404,
      body: { error: "not_found" },
    });
    expect((await client.request("GET", "/api/secrets")).body.data).toEqual([]);
  });

  it.each(["1ST", "WITH-DASH", "with space", "ä", "X".repeat(65), "a.b"])(
    "cannot be called %s",
    async (name) => {
      expect(await put(encodeURIComponent(name), "value")).toMatchObject({
        status: 400,
        body: { error: "invalid_body", issues: [{ path: ["name"] }] },
      });
    },
  );

  it.each(["_", "lower_case", "X".repeat(64), "A1"])("can be called %s", async (name) => {
    expect(await put(name, "value")).toMatchObject({ status: 200, body: { name } });
    expect((await client.request("DELETE", `/api/secrets/${name}`)).status).toBe(204);
  });

  it("holds 1 byte to 64 KiB of text without NUL", async () => {
    expect((await put("LONG", "ä".repeat(32_768))).status).toBe(200);
    for (const value of ["", "ä".repeat(32_769), "a\u0000b", 5, null, ["a"], "\ud800"]) {
      expect(await put("LONG", value)).toMatchObject({ status: 400, body: { error: "invalid_body" } });
    }
    expect((await put("LONG", undefined)).body).toMatchObject({ error: "invalid_body" });
  });

  it("belongs to its organization", async () => {
    const other = await newClient(server.url);
    await put("SHARED_NAME", "of the first");
    await put("SHARED_NAME", "of the other", other);
    expect((await other.request("GET", "/api/secrets")).body.data).toHaveLength(1);
    expect((await other.request("DELETE", "/api/secrets/SHARED_NAME")).status).toBe(204);
    const names = (await client.request("GET", "/api/secrets")).body.data.map(
      ({ name }: { name: string }) => name,
    );
    expect(names).toContain("SHARED_NAME");
  });

  it("is listed by those who may read and changed by those who may write", async () => {
    const key = await mintKey(server.url, client.session, { permissions: { secrets: ["read"] } });
    expect((await send(server.url, key, "GET", "/api/secrets")).status).toBe(200);
    expect((await send(server.url, key, "PUT", "/api/secrets/A", { value: "b" })).status).toBe(403);
    expect((await send(server.url, key, "DELETE", "/api/secrets/A")).status).toBe(403);
  });

  it("appears on pages of a list, newest first", async () => {
    const other = await newClient(server.url);
    for (const name of ["A", "B", "C", "D", "E"]) await put(name, "value", other);
    const rows = await walkPages(other, "/api/secrets", 2, "name");
    expect(rows.map(({ name }) => name)).toEqual(["E", "D", "C", "B", "A"]);
  });

  it("is gone with its organization", async () => {
    const other = await newClient(server.url);
    await put("ORPHAN", "value", other);
    await sql`delete from organization where id = ${other.session.organizationId}`;
    expect(await sql`select from secrets where name = 'ORPHAN'`).toHaveLength(0);
  });
});
