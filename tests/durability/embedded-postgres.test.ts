import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import postgres from "postgres";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import {
  type EmbeddedPostgres,
  type EmbeddedPostgresOptions,
  startEmbeddedPostgres,
} from "../../server/db/embedded/embedded-postgres.js";
import { isProcessAlive } from "../../server/db/embedded/process-state.js";
import {
  endOwner,
  killGuard,
  killOwner,
  type Owner,
  pidOf,
  query,
  spawnOwner,
  until,
  urlOf,
} from "../support/embedded-owner-process.js";

// Making a cluster waits for the disk, which a busy machine may take long over.
vi.setConfig({ testTimeout: 90_000, hookTimeout: 90_000 });

let scratch: string;
/** Holds one cluster for all tests that need no fresh one, stopped between them. */
let dataFolder: string;
let servers: EmbeddedPostgres[];
let owners: Owner[];

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

async function startOwner(...input: Parameters<typeof spawnOwner>): Promise<Owner> {
  const owner = await spawnOwner(...input);
  owners.push(owner);
  return owner;
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
    const owner = await startOwner(dataFolder);
    await query(
      urlOf(owner),
      "create table guarded (id int); insert into guarded select generate_series(1, 500)",
    );
    await killOwner(owner);
    await until(() => !isProcessAlive(pidOf(owner)));
    const { url } = await start();
    expect(await query(url, "select count(*)::int as rows from guarded")).toEqual([{ rows: 500 }]);
  });

  it("starts at once after its owner was killed, without waiting for the old server to end", async () => {
    const owner = await startOwner(dataFolder);
    await query(urlOf(owner), "create table at_once (id int); insert into at_once values (1)");
    await killOwner(owner);
    const server = await start();
    expect(server.pid).not.toBe(pidOf(owner));
    expect(await query(server.url, "select id from at_once")).toEqual([{ id: 1 }]);
  });

  it("takes over a server whose owner and guard were killed", async () => {
    const owner = await startOwner(dataFolder);
    await killGuard(owner);
    await killOwner(owner);
    const server = await start();
    expect(server.pid).toBe(pidOf(owner));
    await server.stop();
    expect(isProcessAlive(server.pid)).toBe(false);
  });

  it("recovers every acknowledged row when owner, guard and server are killed together", async () => {
    const owner = await startOwner(dataFolder);
    await query(
      urlOf(owner),
      "create table recovered (id int); insert into recovered select generate_series(1, 500)",
    );
    await killGuard(owner);
    process.kill(pidOf(owner), "SIGKILL");
    await killOwner(owner);
    const { url } = await start();
    expect(await query(url, "select count(*)::int as rows from recovered")).toEqual([{ rows: 500 }]);
  });

  it("refuses a second server on the folder in one sentence and leaves the first alone", async () => {
    const { url } = await start();
    const { report } = await startOwner(dataFolder);
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
      const racers = await Promise.all([startOwner(folder), startOwner(folder)]);
      const [winner, ...others] = racers.filter(({ report }) => "url" in report);
      const [loser] = racers.filter(({ report }) => "code" in report);
      expect(others).toEqual([]);
      expect(loser?.report).toMatchObject({ code: "IN_USE" });
      if (winner === undefined || loser === undefined) return;
      await endOwner(loser);
      expect(await query(urlOf(winner), "select 1 as one")).toEqual([{ one: 1 }]);
      await endOwner(winner);
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
