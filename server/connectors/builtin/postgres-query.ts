import { z } from "zod";
import { Turns } from "../../processes/turns.js";
import {
  type BlockContext,
  type ComputeConnector,
  defineConnector,
  literal,
  secret,
} from "../define-connector.js";
import { attemptQuery } from "./postgres-attempt.js";
import { busyFailure, queryFailure } from "./postgres-failure.js";
import { holdsStatement } from "./postgres-statement.js";
import { parsePostgresUrl } from "./postgres-url.js";

/** Longest `timeoutMs`, in milliseconds. */
const MAX_TIMEOUT_MS = 300_000;
/** Most attempts at the same time, each in a process of its own; one organization does not get all of them. */
const MAX_ATTEMPTS = 6;
const MAX_ATTEMPTS_PER_ORGANIZATION = 4;

const Params = z.object({
  connectionUrl: secret(
    z.url({ protocol: /^postgres(ql)?$/, error: "must be a postgres:// address with user and password" }),
  ).meta({
    title: "Connection URL",
    description:
      "postgres://user:password@host:5432/database, best as {{secrets.DATABASE_URL}}. sslmode may be disable, prefer (default), require or verify-full.",
  }),
  query: literal(
    z
      .string()
      .min(1)
      .max(100_000)
      .refine(holdsStatement, "must hold a statement, not only spaces, semicolons and comments"),
  ).meta({
    title: "Query",
    description:
      "One statement, with $1, $2 … for its values. It takes no {{references}}; put them in values.",
  }),
  values: z.array(z.json()).max(1_000).optional().meta({
    title: "Values",
    description: "What $1, $2 … stand for; objects fit json columns, Base64 fits bytea.",
  }),
  readOnly: z
    .boolean()
    .default(true)
    .meta({ title: "Read only", description: "The database refuses whatever would change something." }),
  maxRows: z
    .int()
    .min(1)
    .max(10_000)
    .default(1_000)
    .meta({ title: "Most rows", description: "Rows beyond are not fetched; truncated tells." }),
  timeoutMs: z
    .int()
    .min(1)
    .max(MAX_TIMEOUT_MS)
    .default(30_000)
    .meta({ title: "Timeout (ms)", description: "Milliseconds the whole attempt may take." }),
});
type Params = z.output<typeof Params>;

const Outputs = z.object({
  rows: z
    .array(z.record(z.string(), z.unknown()))
    .describe("By column. int8 and numeric are text, timestamps ISO 8601, bytea Base64."),
  rowCount: z.int().describe("Rows returned, or changed by a statement that returns none."),
  truncated: z.boolean().describe("There were more rows than maxRows."),
});
type Outputs = z.input<typeof Outputs>;

/**
 * Sends one parameterized statement to a PostgreSQL database, in a read-only transaction unless asked otherwise. Each
 * attempt has a connection and a process of its own, so that no database can do harm to the server; a canceled or
 * timed-out statement is canceled in the database too. `allowsPrivate` lets it reach private addresses.
 */
export function postgresQueryConnector(options: { readonly allowsPrivate: boolean }): ComputeConnector {
  const turns = new Turns(MAX_ATTEMPTS, MAX_ATTEMPTS_PER_ORGANIZATION);
  return defineConnector({
    type: "postgres_query",
    name: "PostgreSQL query",
    description:
      "Runs one parameterized statement in a PostgreSQL database and returns its rows. Read-only unless asked otherwise.",
    category: "data",
    effect: "unsafe",
    retry: { maxAttempts: 3, initialMs: 1_000, factor: 2, maxMs: 30_000 },
    // The parameter is the limit; this one only has to be longer.
    timeoutMs: MAX_TIMEOUT_MS + 10_000,
    params: Params,
    outputs: Outputs,
    examples: [
      {
        title: "Look a customer up",
        params: {
          connectionUrl: "{{secrets.DATABASE_URL}}",
          query: "select id, name from customers where email = $1",
          values: ["{{trigger.email}}"],
        },
      },
    ],
    checks: [
      {
        of: ["connectionUrl"],
        refuse: ({ connectionUrl }) => void parsePostgresUrl(String(connectionUrl)),
      },
    ],
    run: (params, context) => runQuery(params, context, { ...options, turns }),
  });
}

async function runQuery(
  params: Params,
  context: BlockContext,
  { allowsPrivate, turns }: { readonly allowsPrivate: boolean; readonly turns: Turns },
): Promise<Outputs> {
  const { values = [], timeoutMs } = params;
  const target = parsePostgresUrl(params.connectionUrl);
  const timeout = AbortSignal.timeout(timeoutMs);
  const signal = AbortSignal.any([context.signal, timeout]);
  const endTurn = await turns.take(context.organizationId, signal).catch((reason: unknown) => {
    throw timeout.aborted && !context.signal.aborted ? busyFailure(timeoutMs) : reason;
  });
  try {
    const { phase, result } = await attemptQuery({ ...params, target, allowsPrivate, values }, signal);
    if ("outputs" in result) return result.outputs;
    context.signal.throwIfAborted();
    throw queryFailure(phase, result, { ...params, target, timedOut: timeout.aborted });
  } finally {
    endTurn();
  }
}
