import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { transform } from "../../server/connectors/builtin/transform.js";
import { describeConnector } from "../../server/connectors/describe-connector.js";
import { loadConnectors } from "../../server/connectors/load-connectors.js";

const execute = promisify(execFile);
let folder = "";

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "connectors-"));
});
afterAll(() => rm(folder, { recursive: true }));

const packageEntry = fileURLToPath(new URL("../../server/connectors/index.ts", import.meta.url));
// The CommonJS build is another copy of Zod than the server's, as a connector package may bring one.
const zod = createRequire(import.meta.url).resolve("zod");
const head = `import { defineConnector, hidden } from ${JSON.stringify(packageEntry)};
import { z } from ${JSON.stringify(zod)};
const make = (type) => defineConnector({
  type,
  description: "Adds one.",
  params: z.object({ value: z.number(), token: hidden(z.string()).optional() }),
  outputs: z.object({ sum: z.number() }),
  run: ({ value }) => ({ sum: value + 1 }),
});
`;

/** Writes a module and gives its path relative to the folder. */
async function write(name: string, source: string): Promise<string> {
  await writeFile(join(folder, name), source);
  return `./${name}`;
}

/** With what a server outside of the test runner refuses a module. */
async function failureOutside(path: string): Promise<string> {
  const loader = new URL("../../server/connectors/load-connectors.ts", import.meta.url).href;
  const script = `import { loadConnectors } from ${JSON.stringify(loader)};
    await loadConnectors([${JSON.stringify(path)}], process.cwd()).catch(({ message }) => console.log(message));`;
  const tsx = pathToFileURL(createRequire(import.meta.url).resolve("tsx")).href;
  const options = ["--import", tsx, "--input-type=module", "--eval", script];
  const { stdout } = await execute(process.execPath, options, { cwd: folder });
  return stdout;
}

describe("loading connectors", () => {
  it("takes one connector or an array, in order, from paths relative to the working directory", async () => {
    const one = await write("one.js", `${head}export default make("add_one");`);
    const many = await write("many.js", `${head}export default [make("add_two"), make("add_three")];`);
    const connectors = await loadConnectors([many, join(folder, one)], folder);
    expect(connectors.map(({ type }) => type)).toEqual(["add_two", "add_three", "add_one"]);
    const context = {} as Parameters<(typeof connectors)[number]["run"]>[1];
    expect(await connectors[0]?.run({ value: 1 }, context)).toEqual({ sum: 2 });
    expect(
      connectors.map(describeConnector).flatMap(({ subBlocks }) => subBlocks.map(({ id }) => id)),
    ).toEqual(["value", "value", "value"]);
    expect(await loadConnectors([], folder)).toEqual([]);
  });

  it("names the module and what is wrong with it", async () => {
    const cases: [string, string, RegExp][] = [
      ["throws.mjs", 'throw new Error("no licence");', /cannot be imported: Error: no licence/],
      ["dependency.mjs", 'import "./nowhere.mjs";', /cannot be imported: .*nowhere\.mjs/],
      ["named.mjs", "export const connector = {};", /no default export/],
      ["plain.mjs", 'export default { type: "a" };', /connector 1 .*not made by defineConnector \(kind: /],
      ["number.mjs", "export default 5;", /connector 1 .*not made by defineConnector \(the value: /],
      ["second.js", `${head}export default [make("a"), null];`, /connector 2 .*not made by defineConnector/],
      ["params.js", `${head}export default { ...make("a"), params: {} };`, /\(params: /],
      [
        "norun.js",
        head.replace(/run: .*/, "").concat('export default make("no_run");'),
        /"no_run" needs run/,
      ],
      ["empty.mjs", "export default [];", /its default export is empty; export a connector\.$/],
      ["worded.js", `${head}export default make("Two-Words");`, /joined by "_"\.$/],
      ["run.js", `${head}export default { ...make("a"), run: 1 };`, /\(run: is not a function\)/],
      ["twice.js", `${head}export default [make("same"), make("same")];`, /"same" is already defined by/],
      ["typed.ts", "export default 1;", /TypeScript is not loaded; compile it/],
      ["data.json", "{}", /must be a \.js or \.mjs file/],
    ];
    for (const [name, source, problem] of cases) {
      const path = await write(name, source);
      const failure = loadConnectors([path], folder);
      await expect(failure, name).rejects.toThrow(problem);
      await expect(failure, name).rejects.toThrow(`Connector module ${path}: `);
    }
    await expect(loadConnectors(["./missing.js"], folder)).rejects.toThrow(
      `Connector module ./missing.js: there is no file ${join(folder, "missing.js")}.`,
    );
    await expect(loadConnectors(["./.mjs/../"], folder)).rejects.toThrow(/must be a \.js or \.mjs/);
  });

  it("names the module that is still loading after 10 s and goes on waiting for it", async () => {
    const wait = "await new Promise((resolve) => { globalThis.goOn = resolve; });";
    const path = await write("slow.js", `${wait} ${head}export default make("slow");`);
    const warn = vi.fn();
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    try {
      const loading = loadConnectors([path], folder, [], warn);
      while (!("goOn" in globalThis)) await new Promise(setImmediate);
      vi.advanceTimersByTime(9_999);
      expect(warn).not.toHaveBeenCalled();
      vi.advanceTimersByTime(1);
      expect(warn.mock.calls).toEqual([
        [expect.stringContaining(`Connector module ${path} is still loading`)],
      ]);
      (globalThis as unknown as { goOn: () => void }).goOn();
      expect((await loading).map(({ type }) => type)).toEqual(["slow"]);
    } finally {
      vi.useRealTimers();
    }
  });

  it("names the module that does not parse, in a server outside of the test runner", async () => {
    const path = await write("syntax.mjs", "export default {");
    expect(await failureOutside(path)).toBe(
      `Connector module ${path}: it cannot be imported: SyntaxError: Unexpected end of input.\n`,
    );
  });

  it("says where a module has to lie that does not find flowkeep", async () => {
    const path = await write("lost.mjs", 'import "flowkeep/connectors"; export default {};');
    expect(await failureOutside(path)).toMatch(
      /^Connector module \.\/lost\.mjs: .*Cannot find package 'flowkeep'.*; keep the module below the server's folder, or link that folder as node_modules\/flowkeep beside it\.\n$/,
    );
  });

  it("refuses a type that two modules define and names both", async () => {
    const first = await write("first.js", `${head}export default make("shared");`);
    const last = await write("last.js", `${head}export default make("shared");`);
    await expect(loadConnectors([first, last], folder)).rejects.toThrow(
      `Connector module ${last}: its connector type "shared" is already defined by ${first}; give it another type.`,
    );
  });

  it("refuses a type that is built in and names the module", async () => {
    const path = await write("rival.js", `${head}export default make("transform");`);
    await expect(loadConnectors([path], folder, [transform])).rejects.toThrow(
      `Connector module ${path}: its connector type "transform" is already defined by Flowkeep itself; give it another type.`,
    );
  });
});
