import { OpenWorkflow } from "openworkflow";
import { BackendPostgres } from "openworkflow/postgres";
import type { Sql } from "../server/db/client.js";
import { untilCompleted } from "./completed-runs.js";
import { CONNECTIONS } from "./load.js";

/** As many runs at a time as Flowkeep's worker takes by default. */
const CONCURRENCY = 50;

/**
 * Runs per second of openworkflow alone, set up as its manual says, from the first insert until the last run has
 * completed; each run has that many trivial steps. `sql` looks at the same database.
 */
export async function measureEngine(
  databaseUrl: string,
  sql: Sql,
  { runs, steps }: { readonly runs: number; readonly steps: number },
): Promise<number> {
  const backend = await BackendPostgres.connect(databaseUrl);
  const client = new OpenWorkflow({ backend });
  const workflow = client.defineWorkflow<unknown, number>({ name: `steps-${steps}` }, async ({ step }) => {
    let last = 0;
    for (let index = 0; index < steps; index += 1) {
      last = await step.run({ name: `step-${index}` }, () => index);
    }
    return last;
  });
  const dispatch = async () => {
    const connections = Array.from({ length: CONNECTIONS }, async (_, connection) => {
      for (let run = connection; run < runs; run += CONNECTIONS) await workflow.run({ name: "Ada" });
    });
    await Promise.all(connections);
  };
  const worker = client.newWorker({ concurrency: CONCURRENCY });
  await worker.start();
  try {
    return await untilCompleted(sql, runs, dispatch);
  } finally {
    await worker.stop();
    await backend.stop();
  }
}
