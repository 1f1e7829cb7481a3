import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { type Database, openDatabase } from "../../server/db/client.js";
import { retireWorker } from "../../server/engine/leases.js";

const WORKER_FILE = fileURLToPath(new URL("runtime-worker.ts", import.meta.url));
const CHANNEL = "stage_steps";
const PATIENCE_MS = 60_000;

/** Beginning or end of one step: `{run} {step} {status}`. */
type Boundary = string;

/** Workers on one database that are killed with -9 while they work on a run. */
export interface KillStage {
  /**
   * Lets workers work until `isDone`, and kills the one that works right after each beginning and each end of a step
   * that `isKilled` picks, once per step; another takes over. `act` is called again and again meanwhile. Returns how
   * many were killed.
   */
  killUntil(options: {
    readonly isDone: () => Promise<boolean>;
    readonly isKilled?: (step: string) => boolean;
    readonly act?: () => Promise<void>;
  }): Promise<number>;
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
    create trigger stage_step after insert or update of status on openworkflow.step_attempts
      for each row execute function openworkflow.stage_step();`);
  const boundaries = await listen(database);
  let standby = prepare(databaseUrl);
  return {
    async killUntil({ isDone, isKilled = () => true, act = async () => {} }) {
      const seen = new Set<Boundary>();
      const isNew = (boundary: Boundary) => {
        if (seen.has(boundary)) return false;
        seen.add(boundary);
        return isKilled(boundary.split(" ")[1] ?? "");
      };
      for (let kills = 0; ; kills += 1) {
        const worker = await standby;
        standby = prepare(databaseUrl);
        boundaries.clear();
        worker.stdin?.write("start\n");
        const isOver = await boundaries.next(isNew, isDone, act);
        await kill(worker);
        await forget(database);
        if (isOver) return kills;
      }
    },
    async close() {
      await kill(await standby);
      await database.close();
    },
  };
}

/** Starts a worker that waits for its word. */
async function prepare(databaseUrl: string): Promise<ChildProcess> {
  const child = spawn(process.execPath, ["--import", "tsx", WORKER_FILE, databaseUrl], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const [code] = await Promise.race([once(child.stdout, "data"), once(child, "exit")]);
  if (typeof code === "number") throw new Error(`The worker ended with ${code} before it was ready.`);
  return child;
}

async function kill(child: ChildProcess): Promise<void> {
  const exit = once(child, "exit");
  child.kill("SIGKILL");
  await exit;
}

/** What a living worker does within three seconds of another's death. */
async function forget({ sql }: Database): Promise<void> {
  const rows = await sql<{ number: number }[]>`select number from openworkflow.flowkeep_workers`;
  for (const { number } of rows) await retireWorker(sql, number);
}

async function listen({ sql }: Database) {
  let heard: Boundary[] = [];
  let wake = () => {};
  await sql.listen(CHANNEL, (boundary) => {
    heard.push(boundary);
    wake();
  });
  return {
    clear() {
      heard = [];
    },
    /** True once `isDone` holds, false with the first boundary that is new. */
    async next(
      isNew: (boundary: Boundary) => boolean,
      isDone: () => Promise<boolean>,
      act: () => Promise<void>,
    ) {
      for (const deadline = Date.now() + PATIENCE_MS; Date.now() < deadline; ) {
        const batch = heard;
        heard = [];
        // Only the first new one is where the worker is killed; the others have passed already.
        if (batch.filter(isNew).length > 0) return false;
        if (await isDone()) return true;
        await act();
        if (heard.length > 0) continue;
        await new Promise<void>((resolve) => {
          wake = resolve;
          setTimeout(resolve, 50);
        });
      }
      throw new Error(`The run has not ended within ${PATIENCE_MS} ms.`);
    },
  };
}
