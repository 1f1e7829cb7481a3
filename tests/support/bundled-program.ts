import { mkdtemp, rm } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

/** A program in one file, for Node alone. */
export interface BundledProgram {
  readonly file: string;
  remove(): Promise<void>;
}

/** Bundles a program with all that it imports: one file starts in a fraction of the time that the sources take. */
export async function bundleProgram(source: URL): Promise<BundledProgram> {
  const folder = await mkdtemp(path.join(os.tmpdir(), "flowkeep-program-"));
  const file = path.join(folder, "program.mjs");
  await build({
    entryPoints: [fileURLToPath(source)],
    outfile: file,
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node20",
    banner: {
      js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);',
    },
  });
  return { file, remove: () => rm(folder, { recursive: true, force: true }) };
}
