import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { readSources } from "../support/imports.js";

it("docs/workflows.md names every code with which a block can fail", async () => {
  const root = fileURLToPath(new URL("../..", import.meta.url));
  const page = await readFile(`${root}docs/workflows.md`, "utf8");
  const codes = readSources(root, ["server"]).flatMap(({ code }) =>
    [...code.matchAll(/new BlockError\(\s*"([a-z_]+)"/g)].map((match) => String(match[1])),
  );
  expect(codes.length).toBeGreaterThan(30);
  const refused = ["http", "email", "postgres_query"].map((type) => `${type}_address_refused`);
  const missing = [...codes, ...refused].filter((code) => !page.includes(`\`${code}\``));
  expect([...new Set(missing)]).toEqual([]);
});
