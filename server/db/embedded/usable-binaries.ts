import fs from "node:fs";
import path from "node:path";
import { addLibraryLinks, type Binaries, programPath } from "./binaries.js";
import { EmbeddedPgError } from "./embedded-pg-error.js";
import { canEnter, type RunAs, walk } from "./run-as.js";

const CACHE_FOLDER = "/var/cache/flowkeep";

/**
 * Returns binaries that the user can run: the same, with their library links, or a private copy (about 60 MB, made
 * once) when the package is read-only or lies where that user cannot go. The copy is below `dataFolder`, or in
 * `/var/cache/flowkeep` when that user cannot reach the data folder either.
 * @throws EmbeddedPgError `ROOT` when somebody else could have put the copy there.
 */
export function makeUsable(binaries: Binaries, runAs: RunAs | null, dataFolder: string): Binaries {
  if (!binaries.isBundled || isUsable(binaries, runAs)) return binaries;
  const parent = canEnter(runAs, dataFolder) ? path.join(dataFolder, "bin") : CACHE_FOLDER;
  fs.mkdirSync(parent, { recursive: true });
  if (runAs !== null) {
    if (fs.statSync(parent).uid !== 0) {
      throw new EmbeddedPgError(
        "ROOT",
        `The folder ${parent} must belong to root: remove it, or set DATABASE_URL.`,
      );
    }
    fs.chmodSync(parent, 0o755);
  }
  const copy = path.join(parent, `${binaries.version}-${process.platform}-${process.arch}`);
  if (!fs.existsSync(copy)) copyPackage(binaries, parent, copy);
  return inside(copy, binaries);
}

function isUsable(binaries: Binaries, runAs: RunAs | null): boolean {
  const program = programPath(binaries, "initdb");
  const mustBeOpen = runAs !== null && !runAs.isInNamespace;
  if (mustBeOpen && (!canEnter(runAs, binaries.programs) || (fs.statSync(program).mode & 0o001) === 0))
    return false;
  try {
    addLibraryLinks(binaries);
    return true;
  } catch {
    return false;
  }
}

/** The copy gets its name by a rename, so that no server ever sees half of one. */
function copyPackage(binaries: Binaries, parent: string, copy: string): void {
  const scratch = fs.mkdtempSync(path.join(parent, ".new-"));
  const native = path.join(binaries.programs, "..");
  try {
    fs.cpSync(native, path.join(scratch, "native"), {
      recursive: true,
      verbatimSymlinks: true,
      filter: (source) => !/\.a$|pgxs|pkgconfig/.test(path.relative(native, source)),
    });
    addLibraryLinks(inside(scratch, binaries));
    walk(scratch, (entry, stats) => {
      if (stats.isSymbolicLink()) return;
      fs.chmodSync(entry, stats.isDirectory() || (stats.mode & 0o100) !== 0 ? 0o755 : 0o644);
    });
    fs.renameSync(scratch, copy);
  } catch (error) {
    if (!fs.existsSync(copy)) throw error;
  } finally {
    fs.rmSync(scratch, { recursive: true, force: true });
  }
}

function inside(copy: string, binaries: Binaries): Binaries {
  return { ...binaries, programs: path.join(copy, "native", "bin") };
}
