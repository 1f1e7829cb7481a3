import postgres from "postgres";
import { z } from "zod";
import {
  type BlockContext,
  BlockError,
  type ComputeConnector,
  defineConnector,
  literal,
  secret,
} from "../define-connector.js";
import { type AddressRule, openGuardedSocket } from "./address-guard.js";
import { connectionFailure, statementFailure } from "./postgres-failure.js";
import { holdsStatement } from "./postgres-statement.js";
import { type PostgresTarget, parsePostgresUrl } from "./postgres-url.js";

/** Longest `timeoutMs`, in milliseconds. */
const MAX_TIMEOUT_MS = 300_000;
/** Rows that are fetched at a time. */
const BATCH_ROWS = 100;
/** Seconds that a connection gets to end; a canceled query needs them to see it. */
const END_SECONDS = 2;

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
    .meta({ title: "Timeout (ms)", description: "Milliseconds the statement may take." }),
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
 * attempt has a connection of its own; a canceled or timed-out statement is canceled in the database too. `isAllowed`
 * says which addresses may be reached.
 */
export function postgresQueryConnector(isAllowed: AddressRule): ComputeConnector {
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
    run: (params, context) => runQuery(params, context, isAllowed),
  });
}

async function runQuery(params: Params, context: BlockContext, isAllowed: AddressRule): Promise<Outputs> {
  const target = parsePostgresUrl(params.connectionUrl);
  const sql = openConnection(target, isAllowed);
  const timeout = AbortSignal.timeout(params.timeoutMs);
  const statement = { isSent: false };
  try {
    return await runStatement(sql, params, AbortSignal.any([context.signal, timeout]), statement);
  } catch (error) {
    context.signal.throwIfAborted();
    if (error instanceof BlockError) throw error;
    const facts = { ...params, timedOut: timeout.aborted, isSent: statement.isSent };
    throw error instanceof postgres.PostgresError
      ? statementFailure(error, facts)
      : connectionFailure(error, target, facts);
  } finally {
    await sql.end({ timeout: END_SECONDS });
  }
}

async function runStatement(
  sql: postgres.Sql,
  { query, values = [], readOnly, maxRows, timeoutMs }: Params,
  signal: AbortSignal,
  statement: { isSent: boolean },
): Promise<Outputs> {
  const outputs = await sql.begin(readOnly ? "read only" : "read write", async (tx) => {
    await tx.unsafe(`set local statement_timeout = ${timeoutMs}`);
    signal.throwIfAborted();
    const rows: Record<string, unknown>[] = [];
    statement.isSent = true;
    const running = tx.unsafe(query, values as postgres.ParameterOrJSON<never>[]);
    const batchRows = Math.min(BATCH_ROWS, maxRows + 1);
    let lastBatch: unknown = null;
    const finished = running.cursor(batchRows, (batch) => {
      lastBatch = batch;
      rows.push(...batch);
      return rows.length > maxRows ? sql.CLOSE : undefined;
    });
    const cancel = () => {
      running.cancel();
      // A database that does not answer is left alone after a moment.
      void sql.end({ timeout: END_SECONDS });
    };
    signal.addEventListener("abort", cancel, { once: true });
    try {
      const result: Iterable<Record<string, unknown>> & { readonly count?: number | null } = await finished;
      // The driver hands the end of what it has no count for, such as EXPLAIN and SHOW, to nobody but the caller.
      if (result !== lastBatch) rows.push(...result);
      const rowCount = rows.length > 0 ? Math.min(rows.length, maxRows) : (result.count ?? 0);
      return { rows: rows.slice(0, maxRows), rowCount, truncated: rows.length > maxRows };
    } finally {
      signal.removeEventListener("abort", cancel);
    }
  });
  return outputs as Outputs;
}

/** Opens a pool of one; nothing but the address in the URL decides where it connects. */
function openConnection(target: PostgresTarget, isAllowed: AddressRule): postgres.Sql {
  const caller = { type: "postgres_query", parameter: "connectionUrl" };
  const { host, port, database, username, password, ssl } = target;
  const options = {
    host,
    port,
    database,
    username,
    password,
    ssl,
    max: 1,
    prepare: false,
    max_lifetime: null,
    connect_timeout: 10,
    onnotice: () => {},
    connection: { application_name: "flowkeep", TimeZone: "UTC" },
    types: jsonTypes,
    // Not in the driver's types: gives the connected socket.
    socket: () => openGuardedSocket({ host, port }, isAllowed, caller),
  };
  return postgres(options as unknown as postgres.Options<Record<string, never>>);
}

const asIs = (value: unknown) => value;

/** How values travel so that JSON can carry them; by object identifier of the type in PostgreSQL. */
const jsonTypes = {
  timestamptz: {
    to: 1184,
    from: [1184],
    serialize: asIs,
    parse: (text: string) => text.replace(" ", "T").replace(/\+00$/, "Z"),
  },
  timestamp: { to: 1114, from: [1114], serialize: asIs, parse: (text: string) => text.replace(" ", "T") },
  date: { to: 1082, from: [1082], serialize: asIs, parse: asIs },
  bytea: {
    to: 17,
    from: [17],
    serialize: (value: unknown) => `\\x${Buffer.from(String(value), "base64").toString("hex")}`,
    parse: (text: string) => Buffer.from(text.slice(2), "hex").toString("base64"),
  },
  text: {
    to: 25,
    from: [25, 1043],
    serialize: (value: unknown) => (typeof value === "object" ? JSON.stringify(value) : String(value)),
    parse: asIs,
  },
};
