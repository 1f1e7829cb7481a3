import { describe, expect, it } from "vitest";
import { z } from "zod";
import { forEach } from "../../server/connectors/builtin/for-each.js";
import { waitDuration } from "../../server/connectors/builtin/wait-duration.js";
import { BlockError, type Connector, defineConnector } from "../../server/connectors/define-connector.js";
import { worstCaseSteps } from "../../server/engine/steps/step-budget.js";
import { mootBlocks } from "../../server/engine/walk/moot-blocks.js";
import { planDocument } from "../../server/engine/walk/plan.js";
import { takenConnections } from "../../server/engine/walk/taken-connections.js";
import { WorkflowDocument } from "../../server/workflows/document.js";

const work = defineConnector({
  type: "work",
  description: "Works.",
  params: z.object({}),
  outputs: z.object({}),
  run: () => ({}),
});
const fork = defineConnector({
  ...work,
  type: "fork",
  run: () => ({}),
  exits: { of: () => ["left", "right"], taken: ({ go }) => [String(go)] },
});
const connectors = new Map<string, Connector>(
  [work, fork, forEach, waitDuration].map((each) => [each.type, each]),
);

/** Blocks `id:type`, connections `a>b`, `a:handle>b`, `a>b?condition`. */
function documentOf(blocks: string[], edges: string[], extra: Record<string, object> = {}) {
  return WorkflowDocument.parse({
    blocks: blocks.map((text) => {
      const [id = "", type = "work"] = text.split(":");
      return { id, type, ...extra[id] };
    }),
    connections: edges.map((text) => {
      const [way = "", condition] = text.split("?");
      const [from = "", target = ""] = way.split(">");
      const [source = "", sourceHandle] = from.split(":");
      return { source, target, sourceHandle, condition };
    }),
  });
}
const plan = (...parts: Parameters<typeof documentOf>) => planDocument(documentOf(...parts), connectors);

describe("mootBlocks", () => {
  const race = plan(
    ["a", "b", "c", "join", "end", "side"],
    ["a>join", "b>c", "c>join", "join>end", "a>side"],
    {
      join: { join: "any" },
    },
  );

  it("holds nothing before a race has started", () => {
    expect([...mootBlocks(race, new Set())]).toEqual([]);
  });

  it("holds what leads to started races only, and never a block that nothing follows", () => {
    expect([...mootBlocks(race, new Set(["join"]))].sort()).toEqual(["b", "c"]);
  });
});

describe("takenConnections", () => {
  const taken = (edges: string[], end: { isCaught: boolean; output: unknown }, type = "fork", more = {}) =>
    takenConnections(
      plan([`s:${type}`, "a", "b", "c"], edges, { s: more }).get("s"),
      end,
      async (text) => text === "yes",
    );

  it("are those of the exits that the output names and those without a handle", async () => {
    const edges = ["s:left>a", "s:right>b", "s>c", "s:error>a"];
    expect(await taken(edges, { isCaught: false, output: { go: "right" } })).toEqual([1, 2]);
  });

  it("are any but the error's where the connector has no exits", async () => {
    expect(await taken(["s:x>a", "s:error>b", "s>c"], { isCaught: false, output: {} }, "work")).toEqual([
      0, 2,
    ]);
  });

  it("are the error's after a caught failure, and plain ones when the run continues", async () => {
    const edges = ["s:left>a", "s:error>b", "s>c"];
    const end = { isCaught: true, output: { error: {} } };
    expect(await taken(edges, end, "fork", { onError: "branch" })).toEqual([1]);
    expect(await taken(edges, end, "fork", { onError: "continue" })).toEqual([1, 2]);
  });

  it("are left out when their condition does not hold, and name the one that cannot be evaluated", async () => {
    expect(await taken(["s>a?yes", "s>b?no"], { isCaught: false, output: {} }, "work")).toEqual([0]);
    const planned = plan(["s", "a"], ["s>a?bad"]).get("s");
    const failing = takenConnections(planned, { isCaught: false, output: {} }, async () => {
      throw new BlockError("expression_failed", "It is bad.");
    });
    await expect(failing).rejects.toMatchObject({
      code: "condition_failed",
      message: "The condition of the connection s → a failed: It is bad.",
    });
  });
});

describe("worstCaseSteps", () => {
  it("counts tries, pauses, waits and loops, and each item of a loop by itself", () => {
    const document = documentOf(
      ["a", "pause:wait_duration", "loop:for_each", "off", "b", "inner:for_each", "leaf"],
      ["a>pause", "pause>loop", "loop:each>b?yes", "b>inner", "inner:each>leaf"],
      { a: { retry: { maxAttempts: 3 } }, off: { enabled: false }, leaf: { retry: { maxAttempts: 2 } } },
    );
    const { outside, perItem } = worstCaseSteps(document, connectors);
    expect(outside).toBe(5 + 2 + 3);
    expect(Object.fromEntries(perItem)).toEqual({ loop: 1 + 3 + 1, inner: 3 });
    expect(planDocument(document, connectors).body("loop").worstSteps).toBe(5);
  });
});
