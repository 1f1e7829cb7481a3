import { describe, expect, it } from "vitest";
import { z } from "zod";
import { defineConnector } from "../../server/connectors/define-connector.js";
import { executeBlock } from "../../server/engine/blocks/execute-block.js";
import { MAX_RUN_BYTES, OutputRoom } from "../../server/engine/blocks/output-room.js";
import { planDocument } from "../../server/engine/walk/plan.js";
import { WorkflowDocument } from "../../server/workflows/document.js";

const big = defineConnector({
  type: "big",
  description: "Has a large output.",
  params: z.object({}),
  outputs: z.object({ text: z.string() }),
  run: () => ({ text: "x".repeat(1_000_000) }),
});
const BYTES = JSON.stringify({ text: "x".repeat(1_000_000) }).length;
const FITTING = Math.floor(MAX_RUN_BYTES / BYTES);
const silent = { info: () => {}, warn: () => {}, error: () => {} };

function attempt(room: OutputRoom) {
  const document = WorkflowDocument.parse({ blocks: [{ id: "each", type: "big" }], connections: [] });
  return executeBlock(planDocument(document, new Map([[big.type, big]])).get("each"), {
    organizationId: "organization",
    workflowId: "workflow",
    runId: "run",
    startedBy: "user",
    attempt: 1,
    item: null,
    wakeKey: "run:each",
    loop: { open: async () => null, close: async () => ({}) },
    evaluate: async () => null,
    scope: { trigger: {}, vars: {}, outputs: {}, nameToId: {} },
    signal: new AbortController().signal,
    room,
    log: silent,
    readSecrets: async () => new Map(),
    retry: (work) => work(),
    now: () => new Date("2026-11-22T09:00:00.000Z"),
  });
}

describe("the room for the outputs of a run", () => {
  it("is not taken twice by attempts that end at the same time", async () => {
    const room = new OutputRoom();
    const records = await Promise.all(Array.from({ length: FITTING + 10 }, () => attempt(room)));
    expect(records.filter(({ ok }) => ok)).toHaveLength(FITTING);
    const codes = records.flatMap((record) => (record.ok ? [] : [record.error.code]));
    expect(new Set(codes)).toEqual(new Set(["run_too_large"]));
    expect(room.bytes).toBe(MAX_RUN_BYTES - FITTING * BYTES);
  });

  it("is none, and not less than none, once what was recorded before fills it", async () => {
    const room = new OutputRoom();
    room.takeRecorded(MAX_RUN_BYTES + 1);
    expect(room.bytes).toBe(0);
    expect(await attempt(room)).toMatchObject({ ok: false, error: { code: "run_too_large" } });
  });
});
