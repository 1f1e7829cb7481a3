import { PgDatabase, PgDialect } from "drizzle-orm/pg-core";
import { type PostgresJsQueryResultHKT, PostgresJsSession } from "drizzle-orm/postgres-js";
import { createTableRelationsHelpers, extractTablesRelationalConfig } from "drizzle-orm/relations";
import type postgres from "postgres";
import { lossOf, openPool, type PoolOptions } from "./pool.js";
import * as schema from "./schema/index.js";

type Schema = typeof schema;

/** Typed query builder over one pool or one transaction; store functions take it as their first argument. */
export type Db = PgDatabase<PostgresJsQueryResultHKT, Schema>;

/** The driver's tagged template, on a pool or inside a transaction. */
export type Sql = postgres.Sql;

/** Both views of one open transaction: what is written through either commits or rolls back together. */
export interface Transaction {
  readonly db: Db;
  readonly sql: Sql;
}

/** One pool of connections with both views and transactions. */
export interface Database extends Transaction {
  /** Runs `work` in one READ COMMITTED transaction; whatever it throws rolls back and is thrown on. */
  transaction<T>(work: (tx: Transaction) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

/**
 * Opens a pool. Columns come back in camelCase because openworkflow reads its rows so; Drizzle maps by position
 * and does not mind.
 */
export function openDatabase(url: string, options: PoolOptions): Database {
  const pool = openPool(url, options);
  const transaction = <T>(work: (tx: Transaction) => Promise<T>) =>
    inTransaction(pool, (sql) => work({ sql, db: buildDb(sql) }));
  return {
    sql: pool,
    db: buildDb(pool),
    transaction,
    close: () => pool.end({ timeout: 5 }),
  };
}

/**
 * Statements of so many values are prepared on their connection, which saves a round trip each time; one with more has
 * a list of some length in it, and there are too many lengths to keep.
 */
const MAX_PREPARED_VALUES = 24;

const dialect = new PgDialect();
const relational = extractTablesRelationalConfig(schema, createTableRelationsHelpers);
const relationalSchema = {
  fullSchema: schema,
  schema: relational.tables,
  tableNamesMap: relational.tableNamesMap,
};

/**
 * Builds Drizzle on a client without `drizzle()`, which would replace the driver's date and JSON serializers on the
 * shared pool and break the engine's own statements.
 */
function buildDb(sql: Sql): Db {
  const own = {
    begin: (work: (sql: Sql) => Promise<unknown>) => inTransaction(sql, work),
    unsafe: (query: string, values: unknown[] = [], options: object = {}) =>
      sql.unsafe(query, values as never[], { ...options, prepare: values.length <= MAX_PREPARED_VALUES }),
  };
  const client = new Proxy(sql, {
    get: (target, key) => Reflect.get(own, key) ?? Reflect.get(target, key),
  });
  const session = new PostgresJsSession(client, dialect, relationalSchema, {});
  return new PgDatabase(dialect, session, relationalSchema) as unknown as Db;
}

/**
 * Reserves a connection before BEGIN: under load the driver's own `begin` may let queued statements of others onto
 * the connection first (https://github.com/porsager/postgres/issues/823).
 */
async function inTransaction<T>(pool: Sql, work: (sql: Sql) => Promise<T>): Promise<T> {
  const reserved = await pool.reserve();
  const loss = lossOf(reserved);
  const orLost = <Result>(step: PromiseLike<Result>): PromiseLike<Result> =>
    loss === undefined ? step : Promise.race([step, loss]);
  let isUsable = true;
  try {
    // Travels with the first statement of the work: a connection runs its statements in order.
    const begun = orLost(reserved.unsafe("begin").execute());
    const [begin, done] = await Promise.allSettled([begun, orLost(work(reserved))]);
    if (begin.status === "rejected") throw begin.reason;
    if (done.status === "rejected") throw done.reason;
    await orLost(reserved.unsafe("commit"));
    return done.value;
  } catch (error) {
    await orLost(reserved.unsafe("rollback")).then(undefined, () => {
      isUsable = false;
    });
    throw error;
  } finally {
    if (isUsable) reserved.release();
  }
}
