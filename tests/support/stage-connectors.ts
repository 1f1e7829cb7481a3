import { z } from "zod";
import {
  type AwaitConnector,
  BlockError,
  type Connector,
  defineConnector,
} from "../../server/connectors/define-connector.js";
import type { Sql } from "../../server/db/client.js";

/** What the connectors of a stage share with its tests. */
export interface StageTools {
  readonly sql: Sql;
  /** How often each `count` block ran, by `{runId}:{blockId}`. */
  readonly counts: Map<string, number>;
  /** Resolves once the test has released the block of the run. */
  readonly released: (runId: string, blockId: string) => Promise<void>;
}

type Place = { readonly runId: string; readonly blockId: string };

/** A gate and connectors that write down what they do; `isHeld` lets the test say how long they take. */
export function stageConnectors(tools: StageTools): Connector[] {
  return [gate(tools), work(tools), count(tools), flaky(tools), hang(tools), broken, suicide];
}

/** Writes one line of what a block does. */
async function note(sql: Sql, place: Place & { readonly attempt: number }, kind: string): Promise<void> {
  const { runId, blockId, attempt } = place;
  await sql`
    insert into stage_effects (run_id, block_id, attempt, kind) values (${runId}, ${blockId}, ${attempt}, ${kind})`;
}

async function takeTime(milliseconds: number): Promise<void> {
  if (milliseconds > 0) await new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** Waits until the test lets it pass or its time is up; `isHeld` holds it before it begins to wait. */
function gate({ sql, released }: StageTools): AwaitConnector {
  return {
    kind: "wait",
    type: "gate",
    name: "Gate",
    description: "Waits for the test.",
    category: "test",
    params: z.object({ ms: z.number().nullable().default(null), isHeld: z.boolean().default(false) }),
    outputs: z.object({ value: z.unknown() }),
    examples: [],
    exits: {
      of: () => ["passed", "timed_out"],
      taken: ({ value }) => [value === "timeout" ? "timed_out" : "passed"],
    },
    async open({ ms, isHeld }, { runId, blockId, wakeKey }) {
      await sql`
        insert into stage_gates (run_id, block_id, wake_key) values (${runId}, ${blockId}, ${wakeKey})
        on conflict do nothing`;
      if (isHeld === true) await released(runId, blockId);
      return ms === null ? null : Number(ms);
    },
    async close(_params, { wakeKey }) {
      const [row] = await sql<{ value: unknown }[]>`
        update stage_gates set value = coalesce(value, '"timeout"') where wake_key = ${wakeKey} returning value`;
      if (row?.value === "fail")
        throw new BlockError("gate_failed", "The gate failed.", { isRetryable: true });
      return { value: row?.value };
    },
  };
}

function work({ sql, released }: StageTools): Connector {
  return defineConnector({
    type: "work",
    description: "Works until it is released and for a time, and gives its value on.",
    params: z.object({
      ms: z.number().default(0),
      isHeld: z.boolean().default(false),
      value: z.unknown().optional(),
    }),
    outputs: z.object({ value: z.unknown().optional() }),
    async run({ ms, isHeld, value }, context) {
      await note(sql, context, "start");
      if (isHeld) await released(context.runId, context.blockId);
      await takeTime(ms);
      await note(sql, context, "end");
      return { value };
    },
  });
}

function count({ counts }: StageTools): Connector {
  return defineConnector({
    type: "count",
    description: "Works for a time without the database.",
    params: z.object({ ms: z.number() }),
    outputs: z.object({}),
    async run({ ms }, { runId, blockId }) {
      const key = `${runId}:${blockId}`;
      counts.set(key, (counts.get(key) ?? 0) + 1);
      await takeTime(ms);
      return {};
    },
  });
}

function flaky({ sql, released }: StageTools): Connector {
  return defineConnector({
    type: "flaky",
    description: "Fails until an attempt.",
    params: z.object({
      succeedsOn: z.number(),
      isHeld: z.boolean().default(false),
      retryAfterMs: z.number().nullable().default(null),
    }),
    outputs: z.object({ attempt: z.number() }),
    async run({ succeedsOn, isHeld, retryAfterMs }, context) {
      await note(sql, context, "start");
      if (isHeld) await released(context.runId, context.blockId);
      if (context.attempt >= succeedsOn) return { attempt: context.attempt };
      throw new BlockError("not_yet", `Attempt ${context.attempt} fails.`, {
        isRetryable: true,
        retryAfterMs,
      });
    },
  });
}

function hang({ sql }: StageTools): Connector {
  return defineConnector({
    type: "hang",
    description: "Works until it is aborted.",
    params: z.object({}),
    outputs: z.object({}),
    async run(_params, context) {
      await note(sql, context, "start");
      await new Promise((resolve) => context.signal.addEventListener("abort", resolve, { once: true }));
      await note(sql, context, "aborted");
      throw new Error("The work was aborted.");
    },
  });
}

const broken = defineConnector({
  type: "broken",
  description: "Always fails.",
  effect: "pure",
  params: z.object({}),
  outputs: z.object({}),
  run: () => {
    throw new BlockError("broken", "It is broken.");
  },
});

const suicide = defineConnector({
  type: "suicide",
  description: "Kills its process.",
  params: z.object({}),
  outputs: z.object({}),
  run: () => {
    process.kill(process.pid, "SIGKILL");
    return new Promise<never>(() => {});
  },
});
