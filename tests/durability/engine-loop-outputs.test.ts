import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { createTestDatabase, type TestDatabase } from "../support/database.js";
import { type EngineStage, openEngineStage } from "../support/engine-stage.js";

let testDatabase: TestDatabase;
let stage: EngineStage;

beforeAll(async () => {
  testDatabase = await createTestDatabase();
  stage = await openEngineStage(testDatabase.url);
});
afterAll(async () => {
  await stage.close();
  await testDatabase.drop();
});

const Outputs = z.object({
  results: z.array(z.unknown()),
  errors: z.array(z.object({ code: z.string() })),
  succeeded: z.number(),
});

/** Ends a loop over sixty items whose outputs take 36 MB together. */
async function loop(params: object, retry: object = {}) {
  const engine = stage.createEngine();
  await engine.start();
  const versionId = await stage.keep({
    blocks: [
      { id: "loop", type: "for_each", params: { items: Array(60).fill(0), parallelism: 20, ...params } },
      { id: "each", type: "work", params: { value: "{{trigger.text}}" }, retry },
    ],
    connections: [{ source: "loop", target: "each", sourceHandle: "each" }],
  });
  const runId = await stage.dispatch(versionId, { text: "x".repeat(600_000) });
  await stage.waitFor(runId, ["completed", "failed"]);
  const outcome = await engine.readOutcome(runId);
  await engine.stop();
  const parts = await stage.database.sql<{ bytes: number }[]>`
    select octet_length(run.output::text) as bytes from openworkflow.flowkeep_children link
    join openworkflow.workflow_runs run on run.id = link.child_id where link.root_id = ${runId}`;
  return { ...outcome, parts };
}

describe("a loop whose items have large outputs", () => {
  it("walks no more of them in one run of the engine than a run may keep", async () => {
    const { output, error, parts } = await loop({ onItemError: "skip" });
    expect(error).toBeNull();
    const { results, errors, succeeded } = Outputs.parse(output?.outputs.loop);
    expect(results).toHaveLength(60);
    expect(succeeded).toBe(27);
    expect(new Set(errors.map(({ code }) => code))).toEqual(new Set(["run_too_large"]));
    for (const { bytes } of parts) expect(bytes).toBeLessThan(17_000_000);
  });

  it("fails when they are too large together, without reading them all", async () => {
    const { error, parts } = await loop({}, { maxAttempts: 20 });
    expect(parts).toHaveLength(3);
    expect(error).toMatchObject({ code: "output_too_large", blockId: "loop" });
    expect(error?.message).toMatch(/^The items of the loop have outputs of about \d+ bytes together/);
  });
});
