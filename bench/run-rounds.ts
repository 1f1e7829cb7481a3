import { newClient } from "../tests/support/client.js";
import { untilCompleted } from "./completed-runs.js";
import { measureEngine } from "./engine-floor.js";
import { CONNECTIONS, sendLoad } from "./load.js";
import { createWorkflow, runRequest } from "./operations.js";
import type { Stage } from "./stage.js";

/** Longest that dispatching the runs of a round may take, in seconds. */
const DISPATCH_SECONDS = 30;

/** Runs that complete per second: Flowkeep's measured document, and openworkflow alone with one and with four steps. */
export interface RunRound {
  readonly flowkeep: number;
  readonly oneStep: number;
  readonly fourSteps: number;
}

/** Starts both engines; the returned function measures a round of that many runs on each. */
export async function prepareRuns(stage: Stage): Promise<(runs: number) => Promise<RunRound>> {
  const databaseUrl = await stage.createDatabase("runs", true);
  const { url } = await stage.startServer(databaseUrl, { ROLE: "all" });
  const client = await newClient(url);
  const request = runRequest(client, await createWorkflow(client));
  const plans = Array.from({ length: CONNECTIONS }, () => [request]);
  const dispatch = async (requests: number) => {
    await sendLoad(url, plans, 202, { requests, seconds: DISPATCH_SECONDS });
  };
  const sql = stage.openSql(databaseUrl);
  const engineUrl = await stage.createDatabase("engine", false);
  const engineSql = stage.openSql(engineUrl);
  return async (runs) => ({
    oneStep: await measureEngine(engineUrl, engineSql, { runs, steps: 1 }),
    flowkeep: await untilCompleted(sql, runs, () => dispatch(runs)),
    fourSteps: await measureEngine(engineUrl, engineSql, { runs, steps: 4 }),
  });
}
