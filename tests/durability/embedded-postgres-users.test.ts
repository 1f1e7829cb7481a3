import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import {
  type EmbeddedPostgres,
  type EmbeddedPostgresOptions,
  startEmbeddedPostgres,
} from "../../server/db/embedded/embedded-postgres.js";
import {
  endOwner,
  type Owner,
  ownerScript,
  pidOf,
  query,
  spawnOwner,
  urlOf,
} from "../support/embedded-owner-process.js";

// Making a cluster waits for the disk, which a busy machine may take long over.
vi.setConfig({ testTimeout: 90_000, hookTimeout: 90_000 });

const isRoot = process.getuid?.() === 0;
const nobody = { uid: 65_534, gid: 65_534 };
/** Whether the account without rights may read this checkout. */
const isCheckoutPublic =
  isRoot && foldersAbove(ownerScript).every((folder) => fs.statSync(folder).mode & 0o001);

function foldersAbove(file: string): string[] {
  const folder = path.dirname(file);
  return folder === file ? [] : [folder, ...foldersAbove(folder)];
}

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
    const first = await startOwner(ownFolder, nobody);
    expect(fs.statSync(`/proc/${pidOf(first)}`).uid).toBe(nobody.uid);
    await query(urlOf(first), "create table kept (id int); insert into kept values (1)");
    await endOwner(first);
    const asRoot = await start({ dataFolder: ownFolder });
    expect(fs.statSync(`/proc/${asRoot.pid}`).uid).toBe(nobody.uid);
    await asRoot.stop();
    const last = await startOwner(ownFolder, nobody);
    expect(await query(urlOf(last), "select id from kept")).toEqual([{ id: 1 }]);
  });

  it("is refused a cluster of another user with both named", async () => {
    await start().then((server) => server.stop());
    const cluster = path.join(dataFolder, "pgdata");
    const { uid } = fs.statSync(cluster);
    fs.chmodSync(dataFolder, 0o777);
    const { report } = await startOwner(dataFolder, uid === nobody.uid ? { uid: 1, gid: 1 } : nobody);
    expect(report).toMatchObject({
      code: "FOLDER",
      message: expect.stringContaining(`The cluster ${cluster} belongs to uid ${uid}, not to uid `),
    });
  });
});
