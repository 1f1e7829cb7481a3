import type { Db } from "./client.js";

/**
 * Keeps a query that is built once for each pool, for those that nearly every request makes: building one costs more
 * than sending it. `build` ends in `.prepare(name)` and has placeholders for its values.
 */
export function preparedQuery<Query>(build: (db: Db) => Query): (db: Db) => Query {
  const built = new WeakMap<Db, Query>();
  return (db) => {
    const query = built.get(db) ?? build(db);
    built.set(db, query);
    return query;
  };
}
