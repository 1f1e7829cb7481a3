import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import postgres from "postgres";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  type EmbeddedPostgres,
  type EmbeddedPostgresOptions,
  startEmbeddedPostgres,
} from "../../server/db/embedded/embedded-postgres.js";
import { isProcessAlive } from "../../server/db/embedded/process-state.js";
import type { OwnerReport } from "../support/embedded-owner.js";

const ownerScript = path.resolve("tests/support/embedded-owner.ts");
const isRoot = process.getuid?.() === 0;
const nobody = { uid: 65_534, gid: 65_534 };
/** Whether the account without rights may read this checkout. */
const isCheckoutPublic =
  isRoot && foldersAbove(ownerScript).every((folder) => fs.statSync(folder).mode & 0o001);

interface Owner {
  readonly process: ChildProcess;
  readonly report: OwnerReport;
}

let scratch: string;
/** Holds one cluster for all tests that need no fresh one, stopped between them. */
let dataFolder: string;
let servers: EmbeddedPostgres[];
let owners: ChildProcess[];

beforeAll(() => {
  scratch = fs.mkdtempSync(path.join(os.tmpdir(), "flowkeep-embedded-"));
  dataFolder = path.join(scratch, "data");
});

afterAll(() => fs.rmSync(scratch, { recursive: true, force: true }));

beforeEach(() => {
  servers = [];
  owners = [];
});

afterEach(async () => {
  await Promise.all(owners.map(endOwner));
  await Promise.all(servers.map((server) => server.stop()));
});

async function start(options: Partial<EmbeddedPostgresOptions> = {}): Promise<EmbeddedPostgres> {
  const server = await startEmbeddedPostgres({ dataFolder, ...options });
  servers.push(server);
  return server;
}

/** Starts a process that owns the folder, or is refused. */
async function spawnOwner(folder: string, user: { uid?: number; gid?: number } = {}): Promise<Owner> {
  const child = spawn(process.execPath, ["--import", "tsx", ownerScript, folder], {
    ...user,
    stdio: ["pipe", "pipe", "inherit"],
  });
  owners.push(child);
  const [line] = await once(createInterface({ input: child.stdout }), "line");
  return { process: child, report: JSON.parse(line) };
}

async function endOwner(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  child.stdin?.end();
  await ended;
}

async function kill(child: ChildProcess): Promise<void> {
  const ended = once(child, "exit");
  child.kill("SIGKILL");
  await ended;
}

/** The address of a process that was not refused. */
function urlOf({ report }: Owner): string {
  if ("code" in report) throw new Error(report.message);
  return report.url;
}

function pidOf({ report }: Owner): number {
  if ("code" in report) throw new Error(report.message);
  return report.pid;
}

async function query<Row extends postgres.Row>(url: string, text: string): Promise<Row[]> {
  const sql = postgres(url, { max: 1, fetch_types: false, onnotice: () => {} });
  try {
    return await sql.unsafe<Row[]>(text);
  } finally {
    await sql.end({ timeout: 1 });
  }
}

async function guardOf(url: string): Promise<number> {
  const [row] = await query<{ guard: string }>(url, "select current_setting('cluster_name') as guard");
  return Number(row?.guard.replace("guard ", ""));
}

/** Kills the guard and the part of it that waits for its owner's end. */
async function killGuard(owner: Owner): Promise<void> {
  const guard = await guardOf(urlOf(owner));
  const children = fs
    .readFileSync(`/proc/${guard}/task/${guard}/children`, "utf8")
    .trim()
    .split(" ")
    .map(Number);
  for (const pid of [guard, ...children.filter((child) => child !== pidOf(owner))])
    process.kill(pid, "SIGKILL");
}

async function until(isMet: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await isMet())) await sleep(20);
}

function foldersAbove(file: string): string[] {
  const folder = path.dirname(file);
  return folder === file ? [] : [folder, ...foldersAbove(folder)];
}

describe("startEmbeddedPostgres", () => {
  it("makes a cluster on the first start and keeps its data for the second", async () => {
    const first = await start();
    await query(first.url, "create table kept (id int); insert into kept values (1)");
    await first.stop();
    expect(isProcessAlive(first.pid)).toBe(false);
    const second = await start();
    expect(await query(second.url, "select id from kept")).toEqual([{ id: 1 }]);
  });

  it("sorts text the same on every operating system", async () => {
    const { url } = await start();
    const [row] = await query(
      url,
      "select string_agg(name, '' order by name) as names from unnest(array['a', 'B', 'é', 'Z']) name",
    );
    expect(row).toEqual({ names: "BZaé" });
  });

  it("listens on 127.0.0.1 only and asks for the password", async () => {
    const { url } = await start();
    expect(new URL(url).hostname).toBe("127.0.0.1");
    expect(await query(url, "select current_setting('listen_addresses') as listening")).toEqual([
      { listening: "127.0.0.1" },
    ]);
    const wrong = new URL(url);
    wrong.password = "wrong";
    await expect(query(wrong.href, "select 1")).rejects.toMatchObject({ code: "28P01" });
  });

  it("loses no acknowledged row and stops the server when its owner is killed", async () => {
    const owner = await spawnOwner(dataFolder);
    await query(
      urlOf(owner),
      "create table guarded (id int); insert into guarded select generate_series(1, 500)",
    );
    await kill(owner.process);
    await until(() => !isProcessAlive(pidOf(owner)));
    const { url } = await start();
    expect(await query(url, "select count(*)::int as rows from guarded")).toEqual([{ rows: 500 }]);
  });

  it("starts at once after its owner was killed, without waiting for the old server to end", async () => {
    const owner = await spawnOwner(dataFolder);
    await query(urlOf(owner), "create table at_once (id int); insert into at_once values (1)");
    await kill(owner.process);
    const server = await start();
    expect(server.pid).not.toBe(pidOf(owner));
    expect(await query(server.url, "select id from at_once")).toEqual([{ id: 1 }]);
  });

  it("takes over a server whose owner and guard were killed", async () => {
    const owner = await spawnOwner(dataFolder);
    await killGuard(owner);
    await kill(owner.process);
    const server = await start();
    expect(server.pid).toBe(pidOf(owner));
    await server.stop();
    expect(isProcessAlive(server.pid)).toBe(false);
  });

  it("recovers every acknowledged row when owner, guard and server are killed together", async () => {
    const owner = await spawnOwner(dataFolder);
    await query(
      urlOf(owner),
      "create table recovered (id int); insert into recovered select generate_series(1, 500)",
    );
    await killGuard(owner);
    process.kill(pidOf(owner), "SIGKILL");
    await kill(owner.process);
    const { url } = await start();
    expect(await query(url, "select count(*)::int as rows from recovered")).toEqual([{ rows: 500 }]);
  });

  it("refuses a second server on the folder in one sentence and leaves the first alone", async () => {
    const { url } = await start();
    const { report } = await spawnOwner(dataFolder);
    expect(report).toEqual({ code: "IN_USE", message: expect.any(String) });
    expect("message" in report && report.message).toMatch(
      new RegExp(
        `^The data folder ${dataFolder} is in use by another server \\(process ${process.pid} on .+, since .+ UTC\\): ` +
          "stop that server, or set DATA_DIR to another folder\\.$",
      ),
    );
    expect(await query(url, "select 1 as one")).toEqual([{ one: 1 }]);
  });

  it("lets one of two racing processes win and keeps its server when the other has ended", async () => {
    const folder = path.join(scratch, "raced");
    for (let round = 0; round < 2; round += 1) {
      const racers = await Promise.all([spawnOwner(folder), spawnOwner(folder)]);
      const [winner, ...others] = racers.filter(({ report }) => "url" in report);
      const [loser] = racers.filter(({ report }) => "code" in report);
      expect(others).toEqual([]);
      expect(loser?.report).toMatchObject({ code: "IN_USE" });
      if (winner === undefined || loser === undefined) return;
      await endOwner(loser.process);
      expect(await query(urlOf(winner), "select 1 as one")).toEqual([{ one: 1 }]);
      await endOwner(winner.process);
    }
  });

  it("keeps refusing others after a crash of the database closed every session", async () => {
    const { url } = await start();
    const sql = postgres(url, { max: 1, fetch_types: false, onnotice: () => {} });
    const [session] = await sql<{ pid: number }[]>`select pg_backend_pid() as pid`;
    process.kill(session?.pid ?? 0, "SIGKILL");
    await sql.end({ timeout: 1 });
    const isHeld = () =>
      query(url, "select 1 from pg_locks where locktype = 'advisory'").then(
        (rows) => rows.length === 1,
        () => false,
      );
    await until(isHeld);
    await expect(startEmbeddedPostgres({ dataFolder })).rejects.toMatchObject({ code: "IN_USE" });
  });

  it("says so when the server ends although nobody stopped it", async () => {
    let reason = "";
    const server = await start({
      onExit: (told) => {
        reason = told;
      },
    });
    process.kill(server.pid, "SIGINT");
    await until(() => reason !== "");
    expect(reason).toMatch(/^PostgreSQL ended by itself: .*database system is shut down$/s);
  });

  it("starts over the process id file of an ended server whose id now belongs to another process", async () => {
    const server = await start();
    const pidFile = path.join(dataFolder, "pgdata", "postmaster.pid");
    const written = fs.readFileSync(pidFile, "utf8");
    await server.stop();
    const otherPostgres = await start({ dataFolder: path.join(scratch, "other") });
    for (const pid of [process.pid, otherPostgres.pid]) {
      fs.writeFileSync(pidFile, written.replace(/^\d+/, String(pid)));
      const again = await start();
      expect(await query(again.url, "select 1 as one")).toEqual([{ one: 1 }]);
      await again.stop();
    }
  });

  it("removes what a killed first start left behind", async () => {
    fs.mkdirSync(path.join(dataFolder, ".init-999999999-dead", "cluster"), { recursive: true });
    await start();
    expect(fs.readdirSync(dataFolder).sort()).toEqual(["pgdata", "postgres.log"]);
  });

  it("refuses a cluster of another major version and names both", async () => {
    await start().then((server) => server.stop());
    const versionFile = path.join(dataFolder, "pgdata", "PG_VERSION");
    const version = fs.readFileSync(versionFile, "utf8");
    fs.writeFileSync(versionFile, "12\n");
    await expect(start()).rejects.toMatchObject({
      code: "VERSION",
      message: expect.stringContaining("was made by PostgreSQL 12 and cannot be served by PostgreSQL "),
    });
    fs.writeFileSync(versionFile, version);
  });

  it("refuses a data folder that cannot be made and names the remedy", async () => {
    const file = path.join(scratch, "file");
    fs.writeFileSync(file, "");
    await expect(start({ dataFolder: path.join(file, "data") })).rejects.toMatchObject({
      code: "FOLDER",
      message: expect.stringMatching(/set DATA_DIR to a folder this user may write to\.$/),
    });
  });
});

describe.runIf(isRoot)("startEmbeddedPostgres as root", () => {
  it("runs PostgreSQL as another user in a folder that only root can enter", async () => {
    fs.chmodSync(scratch, 0o700);
    const { pid } = await start();
    expect(fs.statSync(`/proc/${pid}`).uid).not.toBe(0);
    expect(fs.existsSync(path.join(dataFolder, "pgdata", "PG_VERSION"))).toBe(true);
  });

  it("serves a cluster that was copied by root", async () => {
    await start().then((server) => server.stop());
    const copy = path.join(scratch, "copy");
    fs.cpSync(dataFolder, copy, { recursive: true });
    expect(fs.statSync(path.join(copy, "pgdata")).uid).toBe(0);
    const { url } = await start({ dataFolder: copy });
    expect(await query(url, "select 1 as one")).toEqual([{ one: 1 }]);
  });
});

describe.runIf(isCheckoutPublic)("startEmbeddedPostgres as an ordinary user", () => {
  let ownFolder: string;

  beforeAll(() => {
    fs.chmodSync(scratch, 0o755);
    ownFolder = path.join(scratch, "own");
    fs.mkdirSync(ownFolder);
    fs.chownSync(ownFolder, nobody.uid, nobody.gid);
  });

  it("runs PostgreSQL as that user, and as the same user when root comes after it", async () => {
    const first = await spawnOwner(ownFolder, nobody);
    expect(fs.statSync(`/proc/${pidOf(first)}`).uid).toBe(nobody.uid);
    await query(urlOf(first), "create table kept (id int); insert into kept values (1)");
    await endOwner(first.process);
    const asRoot = await start({ dataFolder: ownFolder });
    expect(fs.statSync(`/proc/${asRoot.pid}`).uid).toBe(nobody.uid);
    await asRoot.stop();
    const last = await spawnOwner(ownFolder, nobody);
    expect(await query(urlOf(last), "select id from kept")).toEqual([{ id: 1 }]);
  });

  it("is refused a cluster of another user with both named", async () => {
    await start().then((server) => server.stop());
    const cluster = path.join(dataFolder, "pgdata");
    const { uid } = fs.statSync(cluster);
    fs.chmodSync(dataFolder, 0o777);
    const { report } = await spawnOwner(dataFolder, uid === nobody.uid ? { uid: 1, gid: 1 } : nobody);
    expect(report).toMatchObject({
      code: "FOLDER",
      message: expect.stringContaining(`The cluster ${cluster} belongs to uid ${uid}, not to uid `),
    });
  });
});
