import {
  type AwaitContext,
  BlockError,
  type BlockLogger,
  type Connector,
  DEFAULT_TIMEOUT_MS,
  type JsonObject,
} from "../../connectors/define-connector.js";
import { type Scrub, scrubNothing } from "../../secrets/scrub.js";
import { describeIssue, fieldName } from "../../workflows/schema-issue.js";
import { type ItemPath, stepNameOf } from "../steps/step-names.js";
import type { PlannedBlock } from "../walk/plan.js";
import { RunAbandonedError } from "../worker/active-runs.js";
import { createAttemptLines, type LogLine } from "./attempt-lines.js";
import { MAX_OUTPUT_BYTES, type StorableJson, toStorableJson, toStorableText } from "./json-output.js";
import type { OutputRoom } from "./output-room.js";
import {
  noParams,
  parseParams,
  type ReadSecrets,
  type ResolvedParams,
  resolveParams,
} from "./resolve-params.js";
import type { ValueScope } from "./resolve-values.js";
import { withinTime } from "./within-time.js";

/** What clients read where the cause is internal text. */
const OWN_FAILURE = "The server could not do what this block waits for; its log tells why.";
/** Longest error message that is kept, in characters. */
const MAX_MESSAGE_LENGTH = 2_000;

/** What one attempt of one block came to, as the durable step keeps it; instants are ISO 8601. */
export type BlockRecord = {
  readonly id: string;
  readonly attempt: number;
  readonly startedAt: string;
  readonly finishedAt: string;
  /** The parameters it ran with, without secrets and hidden ones, 16 KiB at most. */
  readonly input?: unknown;
  /** What it logged, if anything. */
  readonly lines?: readonly LogLine[];
  /** Positions in the document of the connections that are taken after it; absent while the block goes on. */
  readonly taken?: readonly number[];
  /** Why the run fails although the block did not: a condition of one of its connections could not be evaluated. */
  readonly conditionFailure?: BlockFailure;
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

/** Evaluates expressions over what a block may reference; throws BlockError. */
export type Evaluate = (expression: string, scope: ValueScope) => Promise<unknown>;

/** The same for any organization; they take turns. */
export type EvaluateFor = (organizationId: string, ...asked: Parameters<Evaluate>) => Promise<unknown>;

/** What a loop does in place of a connector. */
export interface LoopPhases {
  /** Starts the parts; 0 when there are none to wait for, null for as long as it takes. */
  open(params: JsonObject): Promise<0 | null>;
  close(params: JsonObject): Promise<JsonObject>;
}

/** Begins what a block waits for outside its run, or does the rest: for most blocks, everything. */
export type BlockPhase = "open" | "end";

/** What an attempt gets from its run. */
export interface AttemptContext {
  readonly organizationId: string;
  readonly workflowId: string;
  readonly runId: string;
  readonly startedBy: string;
  readonly attempt: number;
  readonly item: ItemPath;
  readonly wakeKey: string;
  readonly loop: LoopPhases;
  readonly evaluate: Evaluate;
  readonly scope: ValueScope;
  /** Aborts when the run is canceled or given back; its reason is thrown on, never recorded. */
  readonly signal: AbortSignal;
  /** For the run's outputs; each takes what it needs of it. */
  readonly room: OutputRoom;
  readonly log: BlockLogger;
  readonly readSecrets: ReadSecrets;
  /** Runs work on our own database again while that cannot be reached. */
  readonly retry: <T>(work: () => Promise<T>) => Promise<T>;
  readonly now: () => Date;
}

/**
 * Runs one attempt of a block, or its opening, and turns every failure of it into a record; throws only the reason of
 * `context.signal`. A wait block has waited already: its attempt makes the output. The output of an opening is
 * `{waitMs}`.
 */
export async function executeBlock(
  planned: PlannedBlock,
  context: AttemptContext,
  phase: BlockPhase = "end",
): Promise<BlockRecord> {
  const startedAt = context.now().toISOString();
  let resolved = noParams;
  let lines = createAttemptLines(context.log, scrubNothing, context.now);
  const facts = () => ({
    id: planned.block.id,
    attempt: context.attempt,
    startedAt,
    finishedAt: context.now().toISOString(),
    ...(resolved.input === null ? {} : { input: resolved.input }),
    ...(lines.lines().length === 0 ? {} : { lines: lines.lines() }),
  });
  try {
    resolved = await resolveParamsOf(planned, context);
    lines = createAttemptLines(context.log, resolved.scrub, context.now);
    const inner = { ...context, log: lines.log };
    const output =
      phase === "open"
        ? { waitMs: await openBlock(planned, resolved, inner) }
        : await produceOutput(planned, resolved, inner);
    // The output of a loop is that of many blocks: only the room that is left in the run bounds it.
    const isLoop = planned.connector?.kind === "wait" && "isLoop" in planned.connector;
    const maxBytes = isLoop ? context.room.bytes : MAX_OUTPUT_BYTES;
    const { value, bytes } = toScrubbedJson(output, resolved.scrub, maxBytes);
    if (phase === "end" && !context.room.take(bytes)) {
      throw new BlockError(
        "run_too_large",
        "The outputs of this run are too large together; return less from its blocks.",
      );
    }
    return { ...facts(), ok: true, output: value, bytes };
  } catch (error) {
    context.signal.throwIfAborted();
    if (error instanceof RunAbandonedError) throw error;
    const isOurs = planned.connector?.kind === "wait" && !(error instanceof BlockError);
    if (isOurs) context.log.error("A block could not wait.", { err: error });
    const shown = isOurs ? new BlockError("block_failed", OWN_FAILURE, { isRetryable: true }) : error;
    return { ...facts(), ok: false, error: toBlockFailure(shown, resolved.scrub) };
  }
}

/**
 * Milliseconds a wait block parks the run.
 * @throws BlockError when its parameters do not fit.
 */
export async function waitMsOf(planned: PlannedBlock, context: ParamsContext, now: Date): Promise<number> {
  const { connector } = planned;
  if (connector?.kind !== "wait" || !("waitMs" in connector)) return 0;
  const { values } = await resolveParamsOf(planned, context);
  return Math.max(0, connector.waitMs(parseParams(connector, values), now));
}

/**
 * A failure as records keep it, without the secrets that `scrub` knows; what is not a `BlockError` counts as retryable
 * `block_failed`.
 */
export function toBlockFailure(error: unknown, scrub: Scrub = scrubNothing): BlockFailure {
  const isBlockError = error instanceof BlockError;
  const message = scrub(error instanceof Error ? error.message : String(error));
  return {
    code: isBlockError ? toStorableText(scrub(error.code), 100) : "block_failed",
    message: toStorableText(
      message === "" ? "The block failed without a message." : message,
      MAX_MESSAGE_LENGTH,
    ),
    isRetryable: isBlockError ? error.isRetryable : true,
    retryAfterMs: isBlockError ? error.retryAfterMs : null,
  };
}

/** What filling parameters needs of an attempt. */
export type ParamsContext = Pick<AttemptContext, "organizationId" | "scope" | "readSecrets">;

/** The block's parameters; a block of an unknown type has none. */
async function resolveParamsOf(
  { block, connector }: PlannedBlock,
  { organizationId, scope, readSecrets }: ParamsContext,
): Promise<ResolvedParams> {
  if (connector === undefined) return noParams;
  return resolveParams({ block, connector }, scope, (names) => readSecrets(organizationId, names));
}

/** The output as it is kept. */
function toScrubbedJson(output: unknown, scrub: Scrub, maxBytes: number): StorableJson {
  const storable = toStorableJson(output, maxBytes);
  return scrub === scrubNothing ? storable : toStorableJson(scrub(storable.value), maxBytes);
}

/** Milliseconds to wait at most, null for as long as it takes. */
async function openBlock(
  planned: PlannedBlock,
  { values }: ResolvedParams,
  context: AttemptContext,
): Promise<number | null> {
  const { connector } = planned;
  if (connector?.kind !== "wait" || "waitMs" in connector) return 0;
  const params = parseParams(connector, values);
  if ("isLoop" in connector) return context.retry(() => context.loop.open(params));
  return waitingOutside(planned, context, (inner) => connector.open(params, inner));
}

/** What a block does to wait lives in our own database and may be done again, so an outage does not fail it. */
function waitingOutside<T>(
  planned: PlannedBlock,
  context: AttemptContext,
  work: (context: AwaitContext) => Promise<T>,
): Promise<T> {
  return context.retry(() =>
    withinTime(DEFAULT_TIMEOUT_MS, context.signal, (signal) =>
      work(connectorContext(planned, context, signal)),
    ),
  );
}

async function produceOutput(
  planned: PlannedBlock,
  { values }: ResolvedParams,
  context: AttemptContext,
): Promise<unknown> {
  const { block, connector } = planned;
  switch (connector?.kind) {
    case undefined:
      throw new BlockError(
        "connector_missing",
        `No connector of type "${block.type}" is loaded; add its module to CONNECTORS.`,
      );
    case "trigger":
      return context.scope.trigger;
    case "wait": {
      if ("waitMs" in connector) return parseOutput(connector, connector.resume(context.now()));
      const params = parseParams(connector, values);
      if ("isLoop" in connector) return context.retry(() => context.loop.close(params));
      const close = (inner: AwaitContext) => connector.close(params, inner);
      return parseOutput(connector, await waitingOutside(planned, context, close));
    }
    case "compute": {
      const params = parseParams(connector, values);
      const timeoutMs = block.timeoutMs ?? connector.timeoutMs;
      const output = await withinTime(timeoutMs, context.signal, (signal) =>
        connector.run(params, connectorContext(planned, context, signal)),
      );
      return parseOutput(connector, output);
    }
  }
}

function connectorContext(
  { block: { id } }: PlannedBlock,
  context: AttemptContext,
  signal: AbortSignal,
): AwaitContext {
  const { organizationId, workflowId, runId, startedBy, attempt, item, wakeKey, log } = context;
  return {
    organizationId,
    workflowId,
    runId,
    startedBy,
    blockId: id,
    attempt,
    idempotencyKey: `${runId}:${stepNameOf(id, 1, "block", item)}`,
    wakeKey,
    signal,
    log,
    evaluate: (expression) => context.evaluate(expression, context.scope),
  };
}

function parseOutput(connector: Connector, output: unknown): unknown {
  const parsed = connector.outputs.safeParse(output);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const name = issue === undefined ? "" : fieldName(issue.path);
  const problem = issue === undefined ? "does not match its schema" : describeIssue(issue);
  throw new BlockError(
    "invalid_output",
    `The connector returned a wrong output: ${name === "" ? "" : `${name}: `}${problem}.`,
  );
}
