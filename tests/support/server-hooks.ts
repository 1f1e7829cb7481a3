import postgres from "postgres";
import { afterAll, beforeAll } from "vitest";
import { newClient, type TestClient } from "./client.js";
import { startTestServer, type TestServer, type TestServerOptions } from "./server.js";

/**
 * A server for the tests of a file, or of the `describe` it is called in: started before the first of them and closed
 * after the last. A function of options is asked once what they need is there.
 */
export function useTestServer(options: TestServerOptions | (() => TestServerOptions) = {}): TestServer {
  let server: TestServer | null = null;
  beforeAll(async () => {
    server = await startTestServer(typeof options === "function" ? options() : options);
  });
  afterAll(() => server?.close());
  return standInFor(() => server);
}

/** A principal of an organization that nobody else is in: one for all tests, or with `beforeEach` one for each. */
export function useClient(
  server: TestServer,
  before: (make: () => Promise<void>) => void = beforeAll,
): TestClient {
  let client: TestClient | null = null;
  before(async () => {
    client = await newClient(server.url);
  });
  return standInFor(() => client);
}

/** A look behind the doors: the database of the server, closed before the server is. */
export function useSql(server: Pick<TestServer, "databaseUrl">): postgres.Sql {
  let sql: postgres.Sql | null = null;
  beforeAll(() => {
    sql = postgres(server.databaseUrl, { max: 2, onnotice: () => {} });
  });
  afterAll(() => sql?.end());
  return standInFor(() => sql);
}

/** Passes everything on to the value that the hooks have made last, so that a file can name it before there is one. */
export function standInFor<T extends object>(current: () => T | null): T {
  const present = () => {
    const value = current();
    if (value === null)
      throw new Error("A test or a hook reads this too early: the hook that makes it has not run.");
    return value;
  };
  return new Proxy((() => {}) as unknown as T, {
    get: (_, key) => Reflect.get(present(), key),
    apply: (_, self, values) => Reflect.apply(present() as () => unknown, self, values),
  });
}
