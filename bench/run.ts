import os from "node:os";
import { countDatabaseCosts } from "./database-costs.js";
import { measuredOperations } from "./operations.js";
import { burstTable, costTable, requestTable, runTable } from "./report.js";
import { prepareRequests, type RequestRound } from "./request-rounds.js";
import { prepareRuns, type RunRound } from "./run-rounds.js";
import { type BurstRound, prepareBursts } from "./schedule-burst.js";
import { openStage, type Stage } from "./stage.js";

const ROUNDS = 5;
const BOUNDS = { seconds: 2, requests: 20_000 };
const WARM_UP_BOUNDS = { seconds: 4, requests: 20_000 };
const RUNS = 1_000;
const WARM_UP_RUNS = 500;
const BURSTS = 3;

/** No round begins later than this, so that a busy machine makes for fewer rounds and not for a longer bench. */
const LAST_ROUND_MS = 215_000;

/** Measures everything on a PostgreSQL of its own and prints it as tables, in less than seven minutes. */
async function bench(stage: Stage): Promise<void> {
  console.log(describeMachine());
  console.log(costTable(await countDatabaseCosts(stage)));
  console.log(requestTable(await measureRequests(stage)));
  console.log(runTable(await measureRuns(stage)));
  console.log(burstTable(await measureBursts(stage)));
  console.log(`Load average at the end: ${os.loadavg()[0]?.toFixed(1)}`);
}

/** Subject and floor alternate, so that what else the machine does hits both. */
async function measureRequests(stage: Stage): Promise<Map<string, RequestRound[]>> {
  const measure = await prepareRequests(stage);
  for (const operation of measuredOperations) await measure(operation, WARM_UP_BOUNDS);
  const rounds = new Map<string, RequestRound[]>(measuredOperations.map(({ name }) => [name, []]));
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const operation of measuredOperations) {
      rounds.get(operation.name)?.push(await measure(operation, BOUNDS));
    }
  }
  return rounds;
}

async function measureRuns(stage: Stage): Promise<RunRound[]> {
  const measure = await prepareRuns(stage);
  await measure(WARM_UP_RUNS);
  const rounds: RunRound[] = [];
  do rounds.push(await measure(RUNS));
  while (rounds.length < ROUNDS && performance.now() < LAST_ROUND_MS);
  return rounds;
}

async function measureBursts(stage: Stage): Promise<BurstRound[]> {
  const measure = await prepareBursts(stage);
  const rounds: BurstRound[] = [];
  for (let round = 0; round < BURSTS; round += 1) rounds.push(await measure());
  return rounds;
}

function describeMachine(): string {
  const [cpu] = os.cpus();
  const gigabytes = Math.round(os.totalmem() / 2 ** 30);
  const load = os.loadavg()[0]?.toFixed(1);
  return `${new Date().toISOString().slice(0, 10)}, ${os.cpus().length} × ${cpu?.model}, ${gigabytes} GB, Node ${process.version}, load average ${load}\n`;
}

const stage = await openStage();
try {
  await bench(stage);
} finally {
  await stage.close();
}
