import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Database, openDatabase, type Sql } from "../../server/db/client.js";
import { isConnectionLoss } from "../../server/errors/error-body.js";
import { createTestDatabase, type TestDatabase } from "../support/database.js";
import { waitUntil } from "../support/engine-stage.js";

let testDatabase: TestDatabase;
let database: Database;
let observer: Database;

beforeAll(async () => {
  testDatabase = await createTestDatabase();
  database = openDatabase(testDatabase.url, { max: 4, applicationName: "pool under test" });
  observer = openDatabase(testDatabase.url, { max: 1, applicationName: "pool observer" });
});
afterAll(async () => {
  await database.close();
  await observer.close();
  await testDatabase.drop();
});

const cutConnections = () => observer.sql`
  select pg_terminate_backend(pid) from pg_stat_activity
  where datname = current_database() and application_name = 'pool under test'`;

const pidOf = async (sql: Sql) => {
  const [row] = await sql<{ pid: number }[]>`select pg_backend_pid() as pid`;
  return row?.pid;
};
const isGone = (pid: number | undefined) => async () => {
  const rows = await observer.sql`select from pg_stat_activity where pid = ${pid ?? 0}`;
  return rows.length === 0 ? true : null;
};

describe("a pool whose connections are lost", () => {
  it("answers the next statements at once", async () => {
    for (let cut = 0; cut < 10; cut += 1) {
      const before = await Promise.all(Array.from({ length: 4 }, () => pidOf(database.sql)));
      const busy = Array.from({ length: 8 }, () => pidOf(database.sql).catch(() => undefined));
      await cutConnections();
      await Promise.all(busy);
      await waitUntil(isGone(before[0]), 5_000, "the end of the connection");
      const startedAt = performance.now();
      await waitUntil(async () => (await pidOf(database.sql).catch(() => null)) ?? null, 4_000, "an answer");
      expect(performance.now() - startedAt).toBeLessThan(2_000);
    }
  });

  it("refuses the next statement of a transaction that lost its connection, and commits nothing of it", async () => {
    await database.sql`create table kept (id int)`;
    const failure = await database
      .transaction(async ({ sql }) => {
        const pid = await pidOf(sql);
        await sql`insert into kept values (1)`;
        await cutConnections();
        await waitUntil(isGone(pid), 5_000, "the end of the connection");
        await sql`insert into kept values (2)`;
      })
      .catch((error: unknown) => error);
    expect(isConnectionLoss(failure)).toBe(true);
    expect(await database.sql`select * from kept`).toHaveLength(0);
    await database.transaction(({ sql }) => sql`insert into kept values (3)`);
    expect(await database.sql`select id from kept`).toMatchObject([{ id: 3 }]);
  });

  it("keeps its subscriptions", async () => {
    const heard: string[] = [];
    let listens = 0;
    await database.sql.listen(
      "pool_test",
      (text) => heard.push(text),
      () => {
        listens += 1;
      },
    );
    await cutConnections();
    await waitUntil(async () => (listens === 2 ? true : null), 5_000, "the second subscription");
    await observer.sql`select pg_notify('pool_test', 'hello')`;
    await waitUntil(async () => (heard.includes("hello") ? true : null), 5_000, "the notification");
  });
});

describe("arrays of text", () => {
  it("arrive as they were sent", async () => {
    const items = ["plain", 'qu"ote', "back\\slash", "com,ma", "{brace}", "", "null", " ü "];
    const rows = await database.sql<{ item: string }[]>`select unnest(${items}::text[]) as item`;
    expect(rows.map(({ item }) => item)).toEqual(items);
    expect(await database.sql`select 1 where 'com,ma' = any(${items})`).toHaveLength(1);
  });
});
