import type { PostgresError } from "postgres";
import { BlockError } from "../define-connector.js";
import type { PostgresTarget } from "./postgres-url.js";

/** What is known of the attempt that failed. */
export interface QueryFacts {
  readonly readOnly: boolean;
  readonly timeoutMs: number;
  /** Its own time was up. */
  readonly timedOut: boolean;
  /** The statement was sent, so that it may have had its effect. */
  readonly isSent: boolean;
}

const QUERY_CANCELED = "57014";
const PROTOCOL_VIOLATION = "08P01";

/**
 * Classes and codes of https://www.postgresql.org/docs/current/errcodes-appendix.html after which another attempt can
 * help: connections, serialization and deadlocks, resources, a server that starts or stops, locks.
 */
const RETRYABLE = /^(?:08...|40001|40P01|53...|57P0[1-3]|55P03)$/;

/** What the database said of a statement, without its data; its transaction was rolled back. */
export function statementFailure(error: PostgresError, facts: QueryFacts): BlockError {
  if (error.code === QUERY_CANCELED) return timeoutFailure(facts);
  // Of a statement that is out it is the number of values; before, a pooler says so that has no connection to give.
  if (error.code === PROTOCOL_VIOLATION && facts.isSent) {
    return new BlockError(
      `postgres_${PROTOCOL_VIOLATION}`,
      `values: give exactly one for each of $1, $2 … in the query (${error.message}).`,
    );
  }
  const position = error.position === undefined ? "" : ` at character ${error.position} of the query`;
  return new BlockError(
    `postgres_${error.code}`,
    `The database refused the statement (${error.code}): ${error.message}${position}.`,
    { isRetryable: RETRYABLE.test(error.code) },
  );
}

/** A connection that did not come about or was lost; a statement that may have changed something is not repeated. */
export function connectionFailure(
  error: unknown,
  { host, port, ssl }: Pick<PostgresTarget, "host" | "port" | "ssl">,
  facts: QueryFacts,
): BlockError {
  if (facts.timedOut) return timeoutFailure(facts);
  const code = error instanceof Error && "code" in error ? String(error.code) : null;
  if (code === "SASL_SIGNATURE_MISMATCH" || code === "AUTH_TYPE_NOT_IMPLEMENTED") {
    return new BlockError(
      "postgres_authentication",
      `${host}:${port} uses a sign-in that cannot be trusted.`,
    );
  }
  const reason = code ?? "unknown cause";
  if (facts.isSent && !facts.readOnly) {
    return new BlockError(
      "postgres_outcome_unknown",
      `The connection to ${host}:${port} was lost while the statement ran (${reason}); look whether it had its effect.`,
    );
  }
  const needsTls = ssl !== false && ssl !== "prefer";
  const hint =
    needsTls && code === "ECONNRESET" ? " with TLS; if it does not offer TLS, write sslmode=prefer" : "";
  return new BlockError(
    "postgres_unreachable",
    `The database at ${host}:${port} cannot be reached (${reason})${hint}.`,
    { isRetryable: true },
  );
}

function timeoutFailure({ timeoutMs }: QueryFacts): BlockError {
  return new BlockError(
    "postgres_timeout",
    `The statement did not finish within ${timeoutMs} ms and was rolled back; raise timeoutMs or ask for less.`,
    { isRetryable: true },
  );
}
