import { describe, expect, it } from "vitest";
import { z } from "zod";
import { type Connector, defineConnector, type Effect } from "../../server/connectors/define-connector.js";
import { backoffMs, retryPolicyOf } from "../../server/engine/blocks/retry-policy.js";
import { RunFailedError, toRunError } from "../../server/engine/run-error.js";
import { parseStepName, type StepKind, stepNameOf } from "../../server/engine/steps/step-names.js";
import { planDocument } from "../../server/engine/walk/plan.js";
import { WorkflowDocument } from "../../server/workflows/document.js";

const connector = (type: string, effect: Effect): Connector =>
  defineConnector({
    type,
    effect,
    description: type,
    params: z.object({}),
    outputs: z.object({}),
    retry: { maxAttempts: 4, initialMs: 10 },
    run: () => ({}),
  });
const connectors = new Map(
  [connector("pure", "pure"), connector("unsafe", "unsafe")].map((each) => [each.type, each]),
);

function plan(blocks: string[], edges: string[], extra: Record<string, object> = {}) {
  return planDocument(
    WorkflowDocument.parse({
      blocks: blocks.map((text) => {
        const [id = "", type = "pure"] = text.split(":");
        return { id, type, ...extra[id] };
      }),
      connections: edges.map((text) => {
        const [source = "", target = ""] = text.split(">");
        return { source, target };
      }),
    }),
    connectors,
  );
}
const ids = (blocks: readonly { readonly block: { readonly id: string } }[]) =>
  blocks.map(({ block }) => block.id);

describe("planDocument", () => {
  it("puts every block after those it depends on", () => {
    expect(ids(plan(["c", "b", "a"], ["a>b", "b>c", "a>c"]).blocks)).toEqual(["a", "b", "c"]);
  });

  it("fails on cycles, repeated ids and connections into nothing", () => {
    for (const broken of [
      () => plan(["a", "b"], ["a>b", "b>a"]),
      () => plan(["a", "a"], []),
      () => plan(["a"], ["a>x"]),
    ]) {
      expect(broken).toThrow(RunFailedError);
      try {
        broken();
      } catch (error) {
        expect(toRunError(error)).toMatchObject({ code: "invalid_workflow" });
      }
    }
  });

  it("follows pure blocks as far as they need nothing else", () => {
    const document = plan(
      ["a", "b", "c", "join", "io:unsafe", "behind", "mixed"],
      ["a>b", "a>c", "b>join", "c>join", "join>io", "io>behind", "join>mixed", "io>mixed"],
    );
    expect(ids(document.followers("a"))).toEqual(["b", "c", "join"]);
    expect(ids(document.followers("io"))).toEqual([]);
    expect(ids(document.followers("behind"))).toEqual([]);
  });

  it("does not follow disabled blocks or what depends on them", () => {
    const document = plan(["a", "off", "behind"], ["a>off", "off>behind"], { off: { enabled: false } });
    expect(ids(document.followers("a"))).toEqual([]);
  });

  it("lets the first of equal names win, and ids over names", () => {
    const names = { a: { name: "same" }, b: { name: "same" }, c: { name: "a" } };
    expect(plan(["a", "b", "c"], [], names).nameToId).toEqual({ same: "a" });
  });
});

describe("retries", () => {
  const block = (retry?: object) => {
    const [parsed] = WorkflowDocument.parse({ blocks: [{ id: "a", type: "pure", retry }] }).blocks;
    if (parsed === undefined) throw new Error("There is no block.");
    return parsed;
  };

  it("take each field from the block, else from the connector, else from the defaults", () => {
    expect(retryPolicyOf(block({ maxAttempts: 2, factor: 3 }), connectors.get("pure"))).toEqual({
      maxAttempts: 2,
      initialMs: 10,
      maxMs: 60_000,
      factor: 3,
      on: null,
    });
    expect(retryPolicyOf(block(), undefined).maxAttempts).toBe(1);
  });

  it("back off exponentially up to the cap, and as long as the far side asks for", () => {
    const policy = { maxAttempts: 9, initialMs: 100, maxMs: 350, factor: 2, on: null };
    expect([1, 2, 3, 20].map((attempt) => backoffMs(policy, attempt, null))).toEqual([100, 200, 350, 350]);
    expect(backoffMs(policy, 1, 5_000)).toBe(5_000);
    expect(backoffMs(policy, 1, 10 * 86_400_000)).toBe(86_400_000);
  });
});

describe("step names", () => {
  it.each([
    ["a-b_1", "a-b_1", 1, "block", null],
    ["a~3", "a", 3, "block", null],
    ["a@wait", "a", 1, "wait", null],
    ["a~2@open", "a", 2, "open", null],
    ["a~2@backoff", "a", 2, "backoff", null],
    ["a#12", "a", 1, "block", "12"],
    ["a#12.3~2@wait", "a", 2, "wait", "12.3"],
    ["loop#4@each", "loop", 1, "each", "4"],
  ] as const)("%s gives its parts back", (name, blockId, attempt, kind: StepKind, item) => {
    expect(stepNameOf(blockId, attempt, kind, item)).toBe(name);
    expect(parseStepName(name)).toEqual({ blockId, attempt, kind, item });
  });
});

describe("errors of runs", () => {
  it("keep code, message, block and attempt through what the engine stores, without a stack", () => {
    const error = new RunFailedError({ code: "x", message: 'It\'s "so".', blockId: "a", attempt: 2 });
    expect(error.stack).toBeUndefined();
    expect(toRunError({ name: error.name, message: error.message })).toEqual({
      code: "x",
      message: 'It\'s "so".',
      blockId: "a",
      attempt: 2,
    });
  });

  it("name the engine's own limits and hide everything else", () => {
    expect(toRunError({ code: "STEP_LIMIT_EXCEEDED", message: "…" }).code).toBe("step_limit_exceeded");
    expect(toRunError({ message: "Workflow run deadline exceeded" }).code).toBe("deadline_exceeded");
    for (const internal of [{ name: "Error", message: "select secret from", stack: "at x" }, "text", null]) {
      expect(JSON.stringify(toRunError(internal))).not.toMatch(/secret|at x|text/);
      expect(toRunError(internal).code).toBe("engine_failed");
    }
  });
});
