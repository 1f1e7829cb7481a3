import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { appRouter } from "../router/index.js";
import { buildDocument } from "./document.js";
import { renderErrorPage } from "./error-page.js";

/** Files that follow from the code, by path from the root of the repository. */
function generatedFiles(): Record<string, string> {
  return {
    "openapi/openapi.json": `${JSON.stringify(buildDocument(appRouter), null, 2)}\n`,
    "docs/errors.md": renderErrorPage(),
  };
}

/** Writes the generated files; with `--check` it writes nothing and exits 1 when one of them is not current. */
async function main(isCheck: boolean): Promise<void> {
  for (const [path, text] of Object.entries(generatedFiles())) {
    const file = fileURLToPath(new URL(`../${path}`, import.meta.url));
    if (!isCheck) await writeFile(file, text);
    else if ((await readFile(file, "utf8").catch(() => null)) !== text) {
      process.stderr.write(`${path} is not current: run npm run generate.\n`);
      process.exitCode = 1;
    }
  }
}

await main(process.argv.includes("--check"));
