import { z } from "zod";
import type { RetryPolicy } from "../workflows/document.js";

export { BlockError } from "./block-error.js";

/** `{field: value}` with JSON values. */
export type JsonObject = Record<string, unknown>;

/** Writes a line that belongs to the run and block it is called in; fields must not hold secrets. */
export interface BlockLogger {
  info(message: string, fields?: JsonObject): void;
  warn(message: string, fields?: JsonObject): void;
  error(message: string, fields?: JsonObject): void;
}

/** What a running block knows about itself. */
export interface BlockContext {
  readonly organizationId: string;
  readonly runId: string;
  readonly blockId: string;
  /** 1 for the first try. */
  readonly attempt: number;
  /** `{runId}:{blockId}`, the same on every attempt: hand it to services that accept idempotency keys. */
  readonly idempotencyKey: string;
  /** Aborts when the run is canceled, the block's timeout passes or the server gives the run back. */
  readonly signal: AbortSignal;
  readonly log: BlockLogger;
  /**
   * Evaluates an expression over everything that the block may reference.
   * @throws BlockError `expression_failed`, `expression_timeout`, `expression_too_large`.
   */
  evaluate(expression: string): Promise<unknown>;
}

/** What a block knows that waits for something outside its run. */
export interface AwaitContext extends BlockContext {
  readonly workflowId: string;
  /** The user who asked for the run, with a key of theirs too; else the key, schedule or hook that started it. */
  readonly startedBy: string;
  /** Names this wait: `engine.wake` with it makes the run go on. One per attempt. */
  readonly wakeKey: string;
}

/** `pure` may be repeated and folded; `idempotent` may be repeated; `unsafe` must not run twice by itself. */
export type Effect = "pure" | "idempotent" | "unsafe";

/** What every connector tells about itself. */
export interface ConnectorFacts<
  Params extends z.ZodObject = z.ZodObject,
  Outputs extends z.ZodObject = z.ZodObject,
> {
  /** Stable identifier in documents: lower-case words joined by `_`. */
  readonly type: string;
  readonly name: string;
  readonly description: string;
  readonly category: string;
  readonly params: Params;
  /** Names and shapes of what later blocks may reference. */
  readonly outputs: Outputs;
  readonly examples: readonly { readonly title: string; readonly params: JsonObject }[];
  /** Absent: every connection that starts at the block is taken when it completes. */
  readonly exits?: Exits;
  /** What an attempt would refuse, for those who edit; the attempt itself goes on to refuse it. */
  readonly checks?: readonly ParamCheck[];
}

/** A rule that is checked when a workflow is edited, as far as its parameters hold no template. */
export interface ParamCheck {
  /** The parameters that `refuse` looks at, first the one to blame. */
  readonly of: readonly [string, ...string[]];
  /** Gets them parsed by the schema. Throws `BlockError` with a message that starts with the parameter and says what to do. */
  refuse(params: JsonObject): void;
}

/** Named exits of a block: a connection with one of them as `sourceHandle` is taken only when the output says so. */
export interface Exits {
  /** The names that a block with these parameters, as they stand in the document, has. */
  of(params: JsonObject): readonly string[];
  /** The names that an output takes. */
  taken(output: JsonObject): readonly string[];
}

/** Starts a run; its output is the run's input. */
export interface TriggerConnector extends ConnectorFacts {
  readonly kind: "trigger";
}

/** Does work in one durable step per attempt. */
export interface ComputeConnector extends ConnectorFacts {
  readonly kind: "compute";
  readonly effect: Effect;
  readonly retry: RetryPolicy;
  /** Milliseconds an attempt may take when the block sets no `timeoutMs`. */
  readonly timeoutMs: number;
  /** `params` is parsed by the schema, `hidden` ones included; the return value is checked against `outputs`. */
  run(params: JsonObject, context: BlockContext): Promise<JsonObject>;
}

/** Parks the run until an instant without holding a worker. */
export interface WaitConnector extends ConnectorFacts {
  readonly kind: "wait";
  /** Milliseconds to wait from `now`; `params` is parsed by the schema. */
  waitMs(params: JsonObject, now: Date): number;
  /** The output once the time has come. */
  resume(now: Date): JsonObject;
}

/**
 * Waits for something outside the run without holding a worker: `open` says what for, the run parks until it is woken
 * by its wake key or the time is up, and `close` makes the output of what has happened by then. Each is a durable
 * step of its own; both may be repeated after a crash, so they are idempotent by `context.wakeKey`.
 */
export interface AwaitConnector extends ConnectorFacts {
  readonly kind: "wait";
  /** Milliseconds to wait at most, null for as long as it takes, 0 when nothing is left to wait for. */
  open(params: JsonObject, context: AwaitContext): Promise<number | null>;
  /** The output, checked against `outputs`. Throw `BlockError` to fail the block. */
  close(params: JsonObject, context: AwaitContext): Promise<JsonObject>;
}

/** Runs the blocks of its body once per item; the engine itself walks it. Its params are those of `for_each`. */
export interface LoopConnector extends ConnectorFacts {
  readonly kind: "wait";
  readonly isLoop: true;
}

export type Connector = TriggerConnector | ComputeConnector | WaitConnector | AwaitConnector | LoopConnector;

/** What `defineConnector` takes; the rest has defaults. */
export interface ConnectorDefinition<Params extends z.ZodObject, Outputs extends z.ZodObject> {
  readonly type: string;
  readonly description: string;
  readonly params: Params;
  readonly outputs: Outputs;
  /** Does one attempt. Throw `BlockError` to say whether a retry can help. */
  run(params: z.output<Params>, context: BlockContext): Promise<z.input<Outputs>> | z.input<Outputs>;
  readonly name?: string;
  readonly category?: string;
  readonly effect?: Effect;
  readonly retry?: RetryPolicy;
  readonly timeoutMs?: number;
  readonly examples?: readonly { readonly title: string; readonly params: JsonObject }[];
  readonly exits?: Exits;
  readonly checks?: readonly ParamCheck[];
}

/** Longest time an attempt may take when neither block nor connector says otherwise, in milliseconds. */
export const DEFAULT_TIMEOUT_MS = 60_000;

/**
 * Makes a connector from its Zod schemas and its `run`. Defaults: the type as name, category `custom`, effect
 * `unsafe`, one attempt, 60 s.
 * @throws Error when `type` is not lower-case words joined by `_`, or `run` is no function.
 */
export function defineConnector<Params extends z.ZodObject, Outputs extends z.ZodObject>(
  definition: ConnectorDefinition<Params, Outputs>,
): ComputeConnector {
  if (!/^[a-z][a-z0-9]*(_[a-z0-9]+)*$/.test(definition.type)) {
    throw new Error(`Connector type "${definition.type}" must be lower-case words joined by "_".`);
  }
  if (typeof definition.run !== "function") {
    throw new Error(`Connector type "${definition.type}" needs run, a function that does one attempt.`);
  }
  return {
    kind: "compute",
    type: definition.type,
    name: definition.name ?? definition.type,
    description: definition.description,
    category: definition.category ?? "custom",
    effect: definition.effect ?? "unsafe",
    retry: definition.retry ?? { maxAttempts: 1 },
    timeoutMs: definition.timeoutMs ?? DEFAULT_TIMEOUT_MS,
    params: definition.params,
    outputs: definition.outputs,
    examples: definition.examples ?? [],
    ...(definition.exits === undefined ? {} : { exits: definition.exits }),
    ...(definition.checks === undefined ? {} : { checks: definition.checks }),
    run: async (params, context) => definition.run(params as z.output<Params>, context),
  };
}

/**
 * Marks a key of `params` that no client sees or sets; the server fills it from the organization's secret named
 * `fromSecret`. A mark deeper inside only keeps the key out of descriptions. Marks live in Zod's own metadata, so that
 * they survive `.describe()`, `.optional()` and another copy of this package.
 */
export function hidden<Schema extends z.ZodType>(
  schema: Schema,
  { fromSecret }: { readonly fromSecret?: string } = {},
): Schema {
  return schema.meta({
    "x-hidden": true,
    ...(fromSecret === undefined ? {} : { "x-from-secret": fromSecret }),
  });
}

/** Marks a parameter in which `{{secrets.NAME}}` is allowed. */
export function secret<Schema extends z.ZodType>(schema: Schema): Schema {
  return schema.meta({ "x-secret-capable": true });
}

/** Marks a text as an expression: no template is filled in it; `context.evaluate` gives its value. */
export function expression<Schema extends z.ZodType>(schema: Schema): Schema {
  return schema.meta({ "x-expression": true });
}

/** Marks a parameter in which no reference is filled, such as the text of a query: values go beside it. */
export function literal<Schema extends z.ZodType>(schema: Schema): Schema {
  return schema.meta({ "x-literal": true });
}

/** What the marks of a schema say. */
export interface Marks {
  readonly isHidden: boolean;
  readonly isSecret: boolean;
  readonly isExpression: boolean;
  readonly isLiteral: boolean;
  /** The secret that fills a hidden parameter. */
  readonly fromSecret: string | null;
}

const unmarked: Marks = {
  isHidden: false,
  isSecret: false,
  isExpression: false,
  isLiteral: false,
  fromSecret: null,
};

const knownMarks = new WeakMap<z.core.$ZodType, Marks>();

/** The marks of a parameter schema, those inside `optional`, `default`, `nullable` and other wrappers included. */
export function marksOf(schema: z.core.$ZodType): Marks {
  // Asked for every text of a document, and Zod puts metadata together anew each time.
  const marks = knownMarks.get(schema) ?? readMarks(schema);
  knownMarks.set(schema, marks);
  return marks;
}

function readMarks(schema: z.core.$ZodType): Marks {
  const metadata = z.globalRegistry.get(schema);
  const wrapped = wrappedSchema(schema);
  const inner = wrapped === undefined ? unmarked : marksOf(wrapped);
  const fromSecret = metadata?.["x-from-secret"];
  return {
    isHidden: metadata?.["x-hidden"] === true || inner.isHidden,
    isSecret: metadata?.["x-secret-capable"] === true || inner.isSecret,
    isExpression: metadata?.["x-expression"] === true || inner.isExpression,
    isLiteral: metadata?.["x-literal"] === true || inner.isLiteral,
    fromSecret: typeof fromSecret === "string" ? fromSecret : inner.fromSecret,
  };
}

function wrappedSchema(schema: z.core.$ZodType): z.core.$ZodType | undefined {
  const definition = (schema as z.core.$ZodTypes)._zod.def;
  if ("innerType" in definition) return definition.innerType;
  return definition.type === "pipe" ? definition.in : undefined;
}
