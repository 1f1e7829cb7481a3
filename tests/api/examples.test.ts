import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";

const run = promisify(execFile);

describe("the lead intake example", () => {
  it("runs to its end and shows what became of every lead", async () => {
    const { stdout } = await run(process.execPath, ["--import", "tsx", "examples/lead-intake/main.ts"]);
    expect(stdout).toContain("delivered twice, run once: true");
    expect(stdout).toContain('{"route":"enterprise","called":true,"company":"Acme"}');
    expect(stdout).toContain('"text":"Call Grace at Acme. Say hello from Ada."');
    expect(stdout).toContain('{"route":"growing","called":false,"company":"Sprout","written":2}');
    expect(stdout).toContain("e-mails to: kay@sprout.example, lin@sprout.example");
    expect(stdout).toContain('{"why":"Nobody knows this company.","domain":"nowhere.example"}');
    expect(stdout).toContain("Done.");
  }, 90_000);
});
