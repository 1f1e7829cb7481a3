import { randomUUID } from "node:crypto";
import fc from "fast-check";
import type { StepAttempt } from "openworkflow/internal";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { transform } from "../../server/connectors/builtin/transform.js";
import { waitDuration } from "../../server/connectors/builtin/wait-duration.js";
import { type Connector, defineConnector } from "../../server/connectors/define-connector.js";
import { OutputRoom } from "../../server/engine/blocks/output-room.js";
import { Parked, RunSteps, type RunStepsOptions } from "../../server/engine/steps/run-steps.js";
import { mootBlocks } from "../../server/engine/walk/moot-blocks.js";
import { isRace, type Plan, planDocument } from "../../server/engine/walk/plan.js";
import { Walk } from "../../server/engine/walk/walk.js";
import { WorkflowDocument } from "../../server/workflows/document.js";

const work: Connector = defineConnector({
  type: "work",
  description: "Has an effect.",
  params: z.object({}),
  outputs: z.object({}),
  run: () => ({}),
});
const connectors = new Map([transform, waitDuration, work].map((each) => [each.type, each]));
const params = { transform: { template: 1 }, wait_duration: { duration: 1, unit: "h" }, work: {} };
const silent = { info: () => {}, warn: () => {}, error: () => {} };

const node = fc.record({
  type: fc.constantFrom("transform" as const, "wait_duration" as const, "work" as const),
  isRace: fc.boolean(),
  sources: fc.array(fc.nat(20), { maxLength: 3 }),
});
/** A graph, which waits end first, and after how many writes a worker dies, with the write or without it. */
const story = fc.record({
  nodes: fc.array(node, { minLength: 1, maxLength: 10 }),
  wakes: fc.infiniteStream(fc.nat(20)),
  deaths: fc.array(fc.record({ writes: fc.nat(12), isWritten: fc.boolean() }), { maxLength: 2 }),
});
type Story = typeof story extends fc.Arbitrary<infer Value> ? Value : never;

function planOf(nodes: Story["nodes"]): Plan {
  const sourcesOf = (index: number) =>
    index === 0 ? [] : [...new Set(nodes[index]?.sources.map((source) => source % index))];
  const document = WorkflowDocument.parse({
    blocks: nodes.map(({ type, isRace: any }, index) => {
      return { id: `b${index}`, type, params: params[type], ...(any ? { join: "any" } : {}) };
    }),
    connections: nodes.flatMap((_node, index) =>
      sourcesOf(index).map((source) => ({ source: `b${source}`, target: `b${index}` })),
    ),
  });
  return planDocument(document, connectors);
}

/** What the database keeps of the steps of one run; a pass whose worker has died writes nothing more. */
class Records {
  readonly attempts: StepAttempt[] = [];
  private pass = 0;

  /** The steps of a pass; `onDeath` is called when its worker dies. */
  enter(
    death: Story["deaths"][number] | undefined,
    wakes: ReadonlySet<string>,
    onDeath: () => void,
  ): RunSteps {
    this.pass += 1;
    const own = this.pass;
    let left = death?.writes ?? Number.POSITIVE_INFINITY;
    const write = async (change: () => StepAttempt): Promise<StepAttempt> => {
      await new Promise(setImmediate);
      if (own !== this.pass) return new Promise(() => {});
      left -= 1;
      if (left >= 0) return { ...change() };
      if (death?.isWritten === true) change();
      this.pass += 1;
      onDeath();
      return new Promise(() => {});
    };
    const backend = {
      createStepAttempt: ({ stepName, kind, context }) =>
        write(() => {
          const begun = { id: randomUUID(), stepName, kind, context, status: "running", output: null };
          this.attempts.push(begun as unknown as StepAttempt);
          return begun as unknown as StepAttempt;
        }),
      completeStepAttempt: ({ stepAttemptId, output }) =>
        write(() => {
          const attempt = this.attempts.find(({ id }) => id === stepAttemptId);
          if (attempt === undefined) throw new Error("The attempt has not begun.");
          return Object.assign(attempt, { status: "completed", output: structuredClone(output) });
        }),
      failStepAttempt: () => Promise.reject(new Error("No step of this document fails.")),
    } satisfies RunStepsOptions["backend"];
    return new RunSteps({
      backend,
      runId: "run",
      pass: {
        signal: new AbortController().signal,
        workerId: "worker",
        history: structuredClone(this.attempts),
        onWake: () => {},
        leave: () => {},
      },
      readWakes: async (keys) => new Set(keys.filter((key) => wakes.has(key))),
    });
  }

  openWaits(): string[] {
    return this.attempts
      .filter(({ kind, status }) => kind === "signal-wait" && status === "running")
      .map(({ stepName }) => `run:${stepName}`);
  }

  /** Ids of the blocks whose completed attempt was kept, and names of the steps that ended twice. */
  summary(): { readonly ended: string[]; readonly repeated: string[] } {
    const done = this.attempts.filter(({ kind, status }) => kind === "function" && status === "completed");
    const names = done.map(({ stepName }) => stepName);
    const blocks = done.flatMap(({ output }) => (output as unknown as { blocks: { id: string }[] }).blocks);
    return {
      ended: blocks.map(({ id }) => id),
      repeated: names.filter((name, index) => names.indexOf(name) !== index),
    };
  }
}

function startWalk(plan: Plan, steps: RunSteps): Walk {
  const walk = new Walk({
    plan,
    steps,
    organizationId: "organization",
    workflowId: "workflow",
    runId: "run",
    startedBy: "user",
    input: {},
    around: {},
    item: null,
    room: new OutputRoom(),
    signal: new AbortController().signal,
    logFor: () => silent,
    readSecrets: async () => new Map(),
    evaluate: async () => true,
    loopOf: () => ({ open: async () => null, close: async () => ({}) }),
    retry: (again) => again(),
    now: () => new Date(),
  });
  walk.start();
  return walk;
}

/** Passes over the run until it ends: every death and every park begins the next one. */
async function live({ nodes, wakes, deaths }: Story) {
  const plan = planOf(nodes);
  const records = new Records();
  const woken = new Set<string>();
  for (let pass = 0; pass < 60; pass += 1) {
    let die = () => {};
    const death = new Promise<"dead">((resolve) => {
      die = () => resolve("dead");
    });
    const steps = records.enter(deaths[pass], woken, die);
    const end = await Promise.race([steps.conclude(startWalk(plan, steps).end), death]);
    if (end === "dead") continue;
    if (!(end instanceof Parked)) return { plan, records, end };
    const open = records.openWaits().filter((key) => !woken.has(key));
    const next = open[wakes.next().value % open.length];
    if (next !== undefined) woken.add(next);
  }
  throw new Error("The run never ended.");
}

describe("a run whose workers die and that parks again and again", () => {
  it("runs every block that matters once and keeps what each came to", async () => {
    await fc.assert(
      fc.asyncProperty(story, async (each) => {
        const { plan, records, end } = await live(each);
        if (!end.ok) throw new Error(JSON.stringify(end.error));
        const kept = Object.keys(end.outputs);
        const races = plan.blocks.filter((planned) => isRace(planned) && kept.includes(planned.block.id));
        const moot = mootBlocks(plan, new Set(races.map(({ block }) => block.id)));
        const due = plan.blocks.map(({ block }) => block.id).filter((id) => !moot.has(id));
        const { ended, repeated } = records.summary();
        expect(repeated).toEqual([]);
        expect(kept).toEqual(expect.arrayContaining(due));
        expect(kept.toSorted()).toEqual(ended.toSorted());
      }),
      { numRuns: 400 },
    );
  });
});
