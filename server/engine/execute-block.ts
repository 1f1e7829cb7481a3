import type { z } from "zod";
import {
  BlockError,
  type BlockLogger,
  type Connector,
  type JsonObject,
} from "../connectors/define-connector.js";
import { toStorableJson, toStorableText } from "./json-output.js";
import type { PlannedBlock } from "./plan.js";
import { resolveValue, type ValueScope } from "./resolve-values.js";

/** Longest error message that is kept, in characters. */
const MAX_MESSAGE_LENGTH = 2_000;

/** What one attempt of one block came to, as the durable step keeps it; instants are ISO 8601. */
export type BlockRecord = {
  readonly id: string;
  readonly attempt: number;
  readonly startedAt: string;
  readonly finishedAt: string;
} & (
  | { readonly ok: true; readonly output: unknown; readonly bytes: number }
  | { readonly ok: false; readonly error: BlockFailure }
);

/** Why an attempt failed and whether another may help. */
export interface BlockFailure {
  readonly code: string;
  readonly message: string;
  readonly isRetryable: boolean;
  readonly retryAfterMs: number | null;
}

/** What an attempt gets from its run. */
export interface AttemptContext {
  readonly organizationId: string;
  readonly runId: string;
  readonly attempt: number;
  readonly scope: ValueScope;
  /** Aborts when the run is canceled or given back; its reason is thrown on, never recorded. */
  readonly signal: AbortSignal;
  /** Bytes that the run's outputs may still take. */
  readonly remainingBytes: number;
  readonly log: BlockLogger;
  readonly now: () => Date;
}

/**
 * Runs one attempt of a block and turns every failure of it into a record; throws only the reason of
 * `context.signal`. A wait block has waited already: its attempt makes the output.
 */
export async function executeBlock(planned: PlannedBlock, context: AttemptContext): Promise<BlockRecord> {
  const startedAt = context.now().toISOString();
  const facts = { id: planned.block.id, attempt: context.attempt, startedAt };
  try {
    const { value, bytes } = toStorableJson(await produceOutput(planned, context));
    if (bytes > context.remainingBytes) {
      throw new BlockError(
        "run_too_large",
        "The outputs of this run are too large together; return less from its blocks.",
      );
    }
    return { ...facts, finishedAt: context.now().toISOString(), ok: true, output: value, bytes };
  } catch (error) {
    context.signal.throwIfAborted();
    return { ...facts, finishedAt: context.now().toISOString(), ok: false, error: toBlockFailure(error) };
  }
}

/**
 * Milliseconds a wait block parks the run.
 * @throws BlockError when its parameters do not fit.
 */
export function waitMsOf(planned: PlannedBlock, scope: ValueScope, now: Date): number {
  const { connector } = planned;
  if (connector?.kind !== "wait" || "open" in connector) return 0;
  return Math.max(0, connector.waitMs(parseParams(planned, connector, scope), now));
}

/** A failure as records keep it; what is not a `BlockError` counts as retryable `block_failed`. */
export function toBlockFailure(error: unknown): BlockFailure {
  const isBlockError = error instanceof BlockError;
  const message = error instanceof Error ? error.message : String(error);
  return {
    code: isBlockError ? toStorableText(error.code, 100) : "block_failed",
    message: toStorableText(
      message === "" ? "The block failed without a message." : message,
      MAX_MESSAGE_LENGTH,
    ),
    isRetryable: isBlockError ? error.isRetryable : true,
    retryAfterMs: isBlockError ? error.retryAfterMs : null,
  };
}

async function produceOutput(planned: PlannedBlock, context: AttemptContext): Promise<unknown> {
  const { block, connector } = planned;
  switch (connector?.kind) {
    case undefined:
      throw new BlockError(
        "connector_missing",
        `No connector of type "${block.type}" is loaded; add its module to CONNECTORS.`,
      );
    case "trigger":
      return context.scope.trigger;
    case "wait":
      if ("open" in connector) throw new Error(`${connector.type} is not walked yet.`);
      return parseOutput(connector, connector.resume(context.now()));
    case "compute": {
      const params = parseParams(planned, connector, context.scope);
      const timeoutMs = block.timeoutMs ?? connector.timeoutMs;
      const output = await withinTime(timeoutMs, context.signal, (signal) =>
        connector.run(params, {
          organizationId: context.organizationId,
          runId: context.runId,
          blockId: block.id,
          attempt: context.attempt,
          idempotencyKey: `${context.runId}:${block.id}`,
          signal,
          log: context.log,
          evaluate: async () => null,
        }),
      );
      return parseOutput(connector, output);
    }
  }
}

function parseParams({ block }: PlannedBlock, connector: Connector, scope: ValueScope): JsonObject {
  const parsed = connector.params.safeParse(resolveValue(block.params, scope));
  if (parsed.success) return parsed.data;
  throw new BlockError("invalid_params", `Parameter ${describeIssue(parsed.error)}`);
}

function parseOutput(connector: Connector, output: unknown): unknown {
  const parsed = connector.outputs.safeParse(output);
  if (parsed.success) return parsed.data;
  throw new BlockError(
    "invalid_output",
    `The connector returned a wrong output: ${describeIssue(parsed.error)}`,
  );
}

function describeIssue(error: z.ZodError): string {
  const [issue] = error.issues;
  const field = issue === undefined || issue.path.length === 0 ? "object" : issue.path.join(".");
  return `${field}: ${issue?.message ?? "does not match its schema"}.`;
}

/** Runs `work` under a signal of its own and stops waiting for it when its time is up or the outer signal aborts. */
async function withinTime<T>(
  timeoutMs: number,
  outer: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  outer.throwIfAborted();
  const controller = new AbortController();
  const abort = () => controller.abort(outer.reason);
  const timer = setTimeout(() => {
    const message = `The block did not finish within ${timeoutMs} ms; raise its timeoutMs or do less in it.`;
    controller.abort(new BlockError("timeout", message, { isRetryable: true }));
  }, timeoutMs);
  outer.addEventListener("abort", abort, { once: true });
  const aborted = new Promise<never>((_resolve, reject) => {
    controller.signal.addEventListener("abort", () => reject(controller.signal.reason), { once: true });
  });
  try {
    return await Promise.race([work(controller.signal), aborted]);
  } catch (error) {
    // A connector that sees the signal fails with an error of its own; the cause is the timeout or the cancel.
    throw controller.signal.aborted ? controller.signal.reason : error;
  } finally {
    clearTimeout(timer);
    outer.removeEventListener("abort", abort);
  }
}
