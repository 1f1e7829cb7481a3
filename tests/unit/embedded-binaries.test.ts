import { spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Binaries, findBinaries, programPath } from "../../server/db/embedded/binaries.js";
import { makeUsable } from "../../server/db/embedded/usable-binaries.js";

const isRoot = process.getuid?.() === 0;
const nobody = { uid: 65_534, gid: 65_534 };
const found = findBinaries();

/** The package as npm unpacks it when install scripts are off: without links between libraries. */
describe.runIf(found.isBundled)("makeUsable on a package without library links", () => {
  let scratch: string;
  let bare: Binaries;

  beforeAll(() => {
    scratch = fs.mkdtempSync(path.join(os.tmpdir(), "flowkeep-binaries-"));
    const native = path.join(scratch, "package", "native");
    fs.cpSync(path.join(found.programs, ".."), native, {
      recursive: true,
      filter: (source) => !fs.lstatSync(source).isSymbolicLink(),
    });
    bare = { ...found, programs: path.join(native, "bin") };
  });

  afterAll(() => fs.rmSync(scratch, { recursive: true, force: true }));

  function version(binaries: Binaries, user: { uid?: number; gid?: number } = {}): string {
    return spawnSync(programPath(binaries, "postgres"), ["--version"], {
      ...user,
      cwd: "/",
      encoding: "utf8",
    }).stdout;
  }

  it.runIf(isRoot)("copies it once for a user who cannot reach it, complete with links", () => {
    const dataFolder = fs.mkdtempSync(path.join(os.tmpdir(), "flowkeep-binaries-"));
    fs.chmodSync(dataFolder, 0o755);
    expect(version(bare, nobody)).toBeFalsy();
    const runAs = { ...nobody, isInNamespace: false };
    const copy = makeUsable(bare, runAs, dataFolder);
    expect(path.relative(dataFolder, copy.programs)).toMatch(/^bin/);
    expect(version(copy, nobody)).toContain("(PostgreSQL) 18");
    expect(makeUsable(bare, runAs, dataFolder)).toEqual(copy);
    fs.rmSync(dataFolder, { recursive: true, force: true });
  });

  it("adds the links where the package may be written to", () => {
    expect(version(bare)).toBe("");
    expect(makeUsable(bare, null, scratch)).toBe(bare);
    expect(version(bare)).toContain("(PostgreSQL) 18");
  });
});
