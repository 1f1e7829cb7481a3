import { newClient } from "../tests/support/client.js";
import { measuredOperations, principalRequest } from "./operations.js";
import { openCountingProxy, type Traffic } from "./round-trips.js";
import type { Stage } from "./stage.js";
import { median } from "./statistics.js";

/** Requests before counting starts: every pooled connection has prepared its statements by then. */
const WARM_UP_REQUESTS = 20;
const COUNTED_REQUESTS = 20;

/** What one request makes the server ask the database. */
export interface DatabaseCost extends Traffic {
  readonly name: string;
}

/** Counts statements and round trips of single requests, between the server and the database. */
export async function countDatabaseCosts(stage: Stage): Promise<DatabaseCost[]> {
  const proxy = await openCountingProxy(await stage.createDatabase("counted", true));
  const server = await stage.startServer(proxy.url, { ROLE: "api", DATABASE_POOL_SIZE: "2" });
  const client = await newClient(server.url);
  const authentication = {
    name: "authentication with an API key",
    prepare: async () => [principalRequest(client)],
  };
  const costs: DatabaseCost[] = [];
  for (const { name, prepare } of [authentication, ...measuredOperations]) {
    const requests = await prepare(client);
    const traffic: Traffic[] = [];
    for (let number = 0; number < WARM_UP_REQUESTS + COUNTED_REQUESTS; number += 1) {
      const before = proxy.traffic();
      const request = requests[number % requests.length];
      if (request !== undefined) await client.request(request.method, request.path, request.body);
      const { statements, roundTrips } = proxy.traffic();
      if (number < WARM_UP_REQUESTS) continue;
      traffic.push({
        statements: statements - before.statements,
        roundTrips: roundTrips - before.roundTrips,
      });
    }
    costs.push({
      name,
      statements: median(traffic.map(({ statements }) => statements)),
      roundTrips: median(traffic.map(({ roundTrips }) => roundTrips)),
    });
  }
  await server.end();
  await proxy.close();
  return costs;
}
