import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { build } from "esbuild";
import { type Database, openDatabase } from "../../server/db/client.js";
import { retireWorker } from "../../server/engine/worker/leases.js";
import { killProcess } from "./processes.js";

const ROOT = path.resolve(import.meta.dirname, "../..");
/** Where the workers' compiled code is kept: workers start in a fraction of the time that a loader needs. */
const BUILD_FOLDER = path.join(ROOT, "node_modules/.cache/kill-stage");
const CHANNEL = "stage_steps";
const PATIENCE_MS = 60_000;
/** Workers that are loaded beforehand, because loading takes far longer than a worker lives. */
const STANDBYS = 2;

/** End of one step or beginning of one wait: `{step} {status}`. */
type Boundary = string;

/** Workers on one database that are killed with -9 while they work on a run. */
export interface KillStage {
  /**
   * Lets workers work until `isDone`, and kills the one that works right after the end of each step and the beginning
   * of each wait that `isKilled` picks; another takes over. Spares a worker with a step that two have died in already,
   * because the third death would be taken for the step's fault. `act` is called again and again meanwhile. Returns
   * after what workers were killed: several in a row where they came before the one death.
   */
  killUntil(options: {
    readonly isDone: () => Promise<boolean>;
    readonly isKilled?: (step: string) => boolean;
    readonly act?: () => Promise<void>;
  }): Promise<ReadonlySet<Boundary>>;
  close(): Promise<void>;
}

/** Prepares the database to tell of every step. */
export async function openKillStage(databaseUrl: string): Promise<KillStage> {
  const database = openDatabase(databaseUrl, { max: 3, applicationName: "kill stage" });
  await database.sql.unsafe(`
    create function openworkflow.stage_step() returns trigger language plpgsql as $$
    begin
      perform pg_notify('${CHANNEL}', concat_ws(' ', new.workflow_run_id, new.step_name, new.status));
      return null;
    end $$;
    create trigger stage_step_end after update of status on openworkflow.step_attempts
      for each row execute function openworkflow.stage_step();
    create trigger stage_wait_begin after insert on openworkflow.step_attempts
      for each row when (new.kind = 'signal-wait') execute function openworkflow.stage_step();`);
  await build({
    entryPoints: ["server/**/*.ts", "tests/support/runtime-worker.ts"].map((each) => path.join(ROOT, each)),
    outbase: ROOT,
    outdir: BUILD_FOLDER,
    format: "esm",
    platform: "node",
    target: "node20",
    logLevel: "warning",
  });
  // Without a package of its own the folder would hold CommonJS.
  await writeFile(path.join(BUILD_FOLDER, "package.json"), '{"type":"module"}');
  const boundaries = await listen(database);
  const standbys = Array.from({ length: STANDBYS }, () => prepare(databaseUrl));
  return {
    async killUntil({ isDone, isKilled = () => true, act = async () => {} }) {
      const killedAfter = new Set<Boundary>();
      for (;;) {
        standbys.push(prepare(databaseUrl));
        const worker = await standbys.shift();
        if (worker === undefined) throw new Error("There is no worker left.");
        const isOver = await boundaries.next({
          worker,
          isKilled,
          killedAfter,
          isDone,
          act,
          fragile: await fragile(database),
        });
        await killProcess(worker);
        await forget(database);
        if (isOver) return killedAfter;
      }
    },
    async close() {
      for (const standby of standbys) await killProcess(await standby);
      await database.close();
    },
  };
}

/** Starts a worker that waits for its word. */
async function prepare(databaseUrl: string): Promise<ChildProcess> {
  const file = path.join(BUILD_FOLDER, "tests/support/runtime-worker.js");
  const child = spawn(process.execPath, [file, databaseUrl], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const [code] = await Promise.race([once(child.stdout, "data"), once(child, "exit")]);
  if (typeof code === "number") throw new Error(`The worker ended with ${code} before it was ready.`);
  return child;
}

/** What a living worker does within three seconds of another's death. */
async function forget({ sql }: Database): Promise<void> {
  const rows = await sql<{ number: number }[]>`select number from openworkflow.flowkeep_workers`;
  for (const { number } of rows) await retireWorker(sql, number);
}

/** Steps that two workers have died in. */
async function fragile({ sql }: Database): Promise<Set<string>> {
  const rows = await sql<{ step: string }[]>`
    select concat_ws(' ', workflow_run_id, step_name) as step from openworkflow.step_attempts
    where kind = 'function' group by workflow_run_id, step_name
    having count(*) filter (where status = 'running') > 1 and bool_and(status = 'running')`;
  return new Set(rows.map(({ step }) => step));
}

interface Life {
  readonly worker: ChildProcess;
  readonly isKilled: (step: string) => boolean;
  readonly killedAfter: Set<Boundary>;
  readonly isDone: () => Promise<boolean>;
  readonly act: () => Promise<void>;
  readonly fragile: Set<string>;
}

async function listen({ sql }: Database) {
  let hear = (_told: string) => {};
  await sql.listen(CHANNEL, (told) => hear(told));
  /** Resolves when everything that was committed before has been heard. */
  const hearAll = async () => {
    const mark = randomUUID();
    const heard = new Promise<void>((resolve) => {
      const before = hear;
      hear = (told) => (told === mark ? resolve() : before(told));
    });
    await sql.notify(CHANNEL, mark);
    await heard;
  };
  return {
    /** Lets the worker work; true once `isDone` holds, false when it was killed. */
    async next({ worker, isKilled, killedAfter, isDone, act, fragile }: Life): Promise<boolean> {
      hear = (told) => {
        const [runId, step = "", status] = told.split(" ");
        fragile.delete(`${runId} ${step}`);
        if (fragile.size > 0 || !isKilled(step)) return;
        killedAfter.add(`${step} ${status}`);
        worker.kill("SIGKILL");
      };
      worker.stdin?.write("start\n");
      for (const deadline = Date.now() + PATIENCE_MS; Date.now() < deadline; ) {
        if (await isDone()) {
          await hearAll();
          return true;
        }
        if (worker.killed) return false;
        await act();
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      throw new Error(`The run has not ended within ${PATIENCE_MS} ms.`);
    },
  };
}
