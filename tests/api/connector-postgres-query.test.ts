import postgres from "postgres";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { postgresQueryConnector } from "../../server/connectors/builtin/postgres-query.js";
import type { JsonObject } from "../../server/connectors/define-connector.js";
import { blockFailure, runBlock } from "../support/block-context.js";
import { waitFor } from "../support/client.js";
import { createTestDatabase, type TestDatabase } from "../support/database.js";

const connector = postgresQueryConnector({ allowsPrivate: true });
const ROLE = "postgres_query_reader";
const PASSWORD = "p@ss/word:with signs";

let database: TestDatabase;
let sql: postgres.Sql;
/** As a second role that may read and write the table `people` and nothing else. */
let connectionUrl = "";

beforeAll(async () => {
  database = await createTestDatabase();
  sql = postgres(database.url, { max: 1, onnotice: () => {} });
  await sql.unsafe(`
    create table people (id int primary key, name text not null, notes jsonb);
    insert into people values (1, 'Ada', '{"born": 1815}'), (2, 'Grace', null);
    drop role if exists ${ROLE};
    create role ${ROLE} login password '${PASSWORD}';
    grant select, insert, update on people to ${ROLE};`);
  const url = new URL(database.url);
  url.username = ROLE;
  url.password = PASSWORD;
  connectionUrl = url.href;
});
afterAll(async () => {
  await sql.unsafe(`drop owned by ${ROLE}; drop role ${ROLE};`);
  await sql.end();
  await database.drop();
});

const run = (query: string, more: JsonObject = {}) => runBlock(connector, { connectionUrl, query, ...more });
const fail = (query: string, more: JsonObject = {}) =>
  blockFailure(connector, { connectionUrl, query, ...more });
const sessions = () => sql`select pid, state from pg_stat_activity where usename = ${ROLE}`;

describe("the postgres_query block", () => {
  it("gives rows by column with values in their places", async () => {
    expect(await run("select id, name from people where name = $1", { values: ["Ada"] })).toEqual({
      rows: [{ id: 1, name: "Ada" }],
      rowCount: 1,
      truncated: false,
    });
    expect(await run("select 1 as one where false")).toEqual({ rows: [], rowCount: 0, truncated: false });
  });

  it("never reads a value as SQL", async () => {
    const values = ["'; drop table people; --"];
    expect(await run("select $1::text as text", { values })).toMatchObject({ rows: [{ text: values[0] }] });
    expect(await sql`select from people`).toHaveLength(2);
  });

  it("gives values that JSON can carry", async () => {
    const { rows } = await run(`select
      9007199254740993::int8 as big, 1.10::numeric as exact, 0.5::float8 as half, true as yes, null as nothing,
      date '2026-02-28' as day, timestamptz '2026-02-28 12:00:00.123456+02' as instant,
      timestamp '2026-02-28 12:00:00' as local, '\\xfbff'::bytea as bytes, '{"a": [1]}'::jsonb as json,
      array[1, 2] as list, array['2026-02-28 12:00+00'::timestamptz] as instants,
      'infinity'::timestamptz as never, gen_random_uuid() as id`);
    expect(rows).toEqual([
      {
        big: "9007199254740993",
        exact: "1.10",
        half: 0.5,
        yes: true,
        nothing: null,
        day: "2026-02-28",
        instant: "2026-02-28T10:00:00.123456Z",
        local: "2026-02-28T12:00:00",
        bytes: "+/8=",
        json: { a: [1] },
        list: [1, 2],
        instants: ["2026-02-28T12:00:00Z"],
        never: "infinity",
        id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      },
    ]);
  });

  it("takes values of every JSON kind", async () => {
    const values = [7, "text", true, null, { a: 1 }, [1, 2], ["x", "y"], "2026-02-28", { b: 2 }, "+/8="];
    const { rows } = await run(
      `select $1::int as n, $2::text as t, $3::bool as b, $4::int as nothing, $5::jsonb as o, $6::int[] as l,
        $7::jsonb as jl, $8::date as d, $9::text as ot, $10::bytea as bytes`,
      { values },
    );
    expect(rows).toEqual([
      {
        n: 7,
        t: "text",
        b: true,
        nothing: null,
        o: { a: 1 },
        l: [1, 2],
        jl: ["x", "y"],
        d: "2026-02-28",
        ot: '{"b":2}',
        bytes: "+/8=",
      },
    ]);
  });

  it.each([
    "insert into people values (3, 'Mallory')",
    "update people set name = 'Mallory'",
    "with gone as (update people set name = 'M' returning 1) select * from gone",
    "do $$ begin insert into people values (3, 'Mallory'); end $$",
  ])("refuses to change anything unless asked to: %s", async (query) => {
    expect(await fail(query)).toMatchObject({ code: "postgres_25006", isRetryable: false });
    expect(await sql`select name from people order by id`).toEqual([{ name: "Ada" }, { name: "Grace" }]);
  });

  it.each([
    "select 1; insert into people values (3, 'Mallory')",
    "commit; insert into people values (3, 'Mallory')",
    "set transaction read write; select 1",
  ])("takes one statement only: %s", async (query) => {
    expect(await fail(query)).toMatchObject({ code: "postgres_42601", isRetryable: false });
    expect(await sql`select from people`).toHaveLength(2);
  });

  it("changes what it is asked to and counts it", async () => {
    const insert = "insert into people values (4, $1), (5, $1)";
    expect(await run(insert, { values: ["Edsger"], readOnly: false })).toEqual({
      rows: [],
      rowCount: 2,
      truncated: false,
    });
    expect(
      await run("update people set name = 'E' where name = 'Edsger' returning id", { readOnly: false }),
    ).toEqual({ rows: [{ id: 4 }, { id: 5 }], rowCount: 2, truncated: false });
    await sql`delete from people where id > 2`;
  });

  it("gives the rows of statements that the database does not count", async () => {
    expect(await run("show server_version")).toMatchObject({
      rows: [{ server_version: expect.any(String) }],
      rowCount: 1,
      truncated: false,
    });
    const { rows, rowCount } = await run("explain (costs off) select 1");
    expect({ rows, rowCount }).toEqual({ rows: [{ "QUERY PLAN": "Result" }], rowCount: 1 });
    const all = await run("show all");
    expect(all.rowCount).toBeGreaterThan(200);
    expect(new Set((all.rows as JsonObject[]).map(({ name }) => name)).size).toBe(all.rowCount);
    expect(await run("show all", { maxRows: 150 })).toMatchObject({ rowCount: 150, truncated: true });
  });

  it("takes no text without a statement, which no database would answer", () => {
    const isTaken = (query: string) => connector.params.safeParse({ connectionUrl, query }).success;
    for (const query of [";", "   ", "-- only a comment", "/* a /* b */ -- c */ ;\n-- d"]) {
      expect(isTaken(query), query).toBe(false);
    }
    for (const query of [
      "select 1",
      "-- a\nselect 1",
      "/* -- */ select 1",
      "; select '--'",
      "-- /*\n1 -- */",
    ]) {
      expect(isTaken(query), query).toBe(true);
    }
  });

  it("says that there are too few values", async () => {
    for (const [query, values] of [
      ["select $1::int", []],
      ["select $1::int, $2::int", [1]],
    ] as const) {
      const error = await fail(query, { values: [...values] });
      expect(error).toMatchObject({ code: "postgres_08P01", isRetryable: false });
      expect(error.message).toMatch(/^values: give exactly one for each of \$1, \$2 … in the query \(/);
    }
  });

  it("fetches no more rows than asked for and says that there are more", async () => {
    const query = "select generate_series(1, 1000000000) as n";
    const { rows, rowCount, truncated } = await run(query, { maxRows: 250 });
    expect({ rows: (rows as unknown[]).length, rowCount, truncated }).toEqual({
      rows: 250,
      rowCount: 250,
      truncated: true,
    });
    expect(await run("select n from generate_series(1, 300) n", { maxRows: 300 })).toMatchObject({
      rowCount: 300,
      truncated: false,
    });
    expect(await run("select n from generate_series(1, 200) n")).toMatchObject({ rowCount: 200 });
  });

  it("takes no more than 1 MiB of rows, and changes nothing then", async () => {
    expect(await run("select repeat('x', 1048000) as text")).toMatchObject({ rowCount: 1 });
    const tooMuch = { code: "output_too_large", isRetryable: false };
    expect(await fail("select repeat('x', 1000000) from generate_series(1, 10000)")).toMatchObject(tooMuch);
    expect(
      await fail("update people set name = 'M' returning repeat('x', 1000000)", { readOnly: false }),
    ).toMatchObject(tooMuch);
    await waitFor(sessions, (rows) => rows.length === 0);
    expect(await sql`select name from people order by id`).toEqual([{ name: "Ada" }, { name: "Grace" }]);
  });

  it("says what the database says of its COMMIT", async () => {
    await sql.unsafe(`
      create table places (place int unique deferrable initially deferred);
      grant insert on places to ${ROLE};`);
    const twice = "insert into places values (1), (1)";
    expect(await fail(twice, { readOnly: false })).toMatchObject({
      code: "postgres_23505",
      isRetryable: false,
    });
    expect(await sql`select from places`).toHaveLength(0);
  });

  it("refuses to copy from or to a client that is not there", async () => {
    for (const query of ["copy people to stdout", "copy people from stdin"]) {
      expect(await fail(query, { readOnly: false })).toMatchObject({
        code: "postgres_0A000",
        isRetryable: false,
      });
    }
    await waitFor(sessions, (rows) => rows.length === 0);
  });

  it("ends a statement in the database when its time is up", async () => {
    expect(await fail("select pg_sleep(60)", { timeoutMs: 2_000 })).toMatchObject({
      code: "postgres_timeout",
      isRetryable: true,
    });
    await waitFor(sessions, (rows) => rows.length === 0);
  });

  it("cancels the statement in the database when its run is canceled", async () => {
    const controller = new AbortController();
    const running = runBlock(
      connector,
      { connectionUrl, query: "select pg_sleep(60)" },
      { signal: controller.signal },
    ).catch((error: unknown) => error);
    await waitFor(sessions, (rows) => rows.some(({ state }) => state === "active"));
    const canceled = new Error("canceled");
    controller.abort(canceled);
    expect(await running).toBe(canceled);
    await waitFor(sessions, (rows) => rows.length === 0);
  });

  it("leaves no connection behind", async () => {
    await run("select 1");
    await fail("select nonsense");
    await waitFor(sessions, (rows) => rows.length === 0);
  });

  it("says what the database says, and never the connection string", async () => {
    const nowhere = new URL(connectionUrl);
    nowhere.port = "9";
    const cases: [JsonObject, string, boolean][] = [
      [{ query: "select nonsense from people" }, "postgres_42703", false],
      [{ query: "select from session" }, "postgres_42501", false],
      [{ query: "select $1::int", values: ["x"] }, "postgres_22P02", false],
      [{ query: "select $1::int" }, "postgres_08P01", false],
      [{ query: "select 1", connectionUrl: nowhere.href }, "postgres_unreachable", true],
      [{ query: "select 1", connectionUrl: "postgres://reader@127.0.0.1" }, "postgres_invalid_url", false],
      [{ query: "select 1", connectionUrl: `${connectionUrl}?sslmode=maybe` }, "postgres_invalid_url", false],
      [
        { query: "select 1", connectionUrl: `${connectionUrl}?sslmode=require` },
        "postgres_unreachable",
        true,
      ],
    ];
    for (const [params, code, isRetryable] of cases) {
      const error = await blockFailure(connector, { connectionUrl, ...params });
      expect(error, JSON.stringify(params)).toMatchObject({ code, isRetryable });
      for (const part of [ROLE, PASSWORD, encodeURIComponent(PASSWORD), new URL(connectionUrl).password]) {
        expect(error.message).not.toContain(part);
      }
    }
  });

  it("names sslmode when the database does not offer the TLS that it asks for", async () => {
    const error = await fail("select 1", { connectionUrl: `${connectionUrl}?sslmode=require` });
    expect(error.message).toMatch(
      /\(ECONNRESET\) with TLS; if it does not offer TLS, write sslmode=prefer\.$/,
    );
  });

  it("goes to public addresses only, unless the server allows private ones", async () => {
    const guarded = postgresQueryConnector({ allowsPrivate: false });
    for (const host of ["127.0.0.1", "localhost", "[::1]", "192.168.0.1", "[::ffff:10.0.0.1]"]) {
      const url = `postgres://reader:word@${host}/${ROLE}?host=93.184.216.34&hostaddr=93.184.216.34`;
      expect(await blockFailure(guarded, { connectionUrl: url, query: "select 1" })).toMatchObject({
        code: "postgres_query_address_refused",
        isRetryable: false,
      });
    }
  });
});
