import { BlockError } from "../define-connector.js";
import { type AttemptFailure, type AttemptPhase, MAX_HEAP_MB } from "./postgres-attempt.js";
import type { PostgresRefusal } from "./postgres-process.js";
import type { PostgresTarget } from "./postgres-url.js";

/** What was asked of the attempt that failed. */
export interface QueryFacts {
  readonly target: Pick<PostgresTarget, "host" | "port" | "ssl">;
  readonly readOnly: boolean;
  readonly timeoutMs: number;
  /** Its own time was up. */
  readonly timedOut: boolean;
}

const QUERY_CANCELED = "57014";
const PROTOCOL_VIOLATION = "08P01";

/**
 * Classes and codes of https://www.postgresql.org/docs/current/errcodes-appendix.html after which another attempt can
 * help: connections, serialization and deadlocks, resources, a server that starts or stops, locks.
 */
const RETRYABLE = /^(?:08...|40001|40P01|53...|57P0[1-3]|55P03)$/;

/** Classes and codes of the same table after which a COMMIT may have had its effect all the same. */
const LEAVES_OPEN = /^(?:08...|40003|5[378]...|XX...)$/;

/** Why an attempt gave nothing, without the data of the database; what may have changed something is not repeated. */
export function queryFailure(phase: AttemptPhase, failure: AttemptFailure, facts: QueryFacts): BlockError {
  const { target, readOnly, timedOut } = facts;
  const isLost = "lost" in failure && !timedOut;
  if (!readOnly && ((phase === "commit" && !isRolledBack(failure)) || (phase === "statement" && isLost))) {
    return outcomeUnknown(reasonOf(failure, facts), target);
  }
  if ("problem" in failure) return new BlockError(failure.problem.code, failure.problem.message);
  if ("refusal" in failure) return refusalFailure(failure.refusal, phase, facts);
  if (timedOut) return timeoutFailure(phase, facts);
  return "lost" in failure ? connectionFailure(failure.lost, target) : deathFailure(failure.death, target);
}

function isRolledBack(failure: AttemptFailure): boolean {
  return (
    "refusal" in failure && failure.refusal.severity === "ERROR" && !LEAVES_OPEN.test(failure.refusal.code)
  );
}

/** Its time was up before it could begin. */
export function busyFailure(timeoutMs: number): BlockError {
  return new BlockError(
    "postgres_timeout",
    `Other queries took all processes for ${timeoutMs} ms; raise timeoutMs or run fewer at the same time.`,
    { isRetryable: true },
  );
}

function refusalFailure(refusal: PostgresRefusal, phase: AttemptPhase, facts: QueryFacts): BlockError {
  const { code, message, position } = refusal;
  if (code === QUERY_CANCELED) return timeoutFailure(phase, facts);
  // Of a statement that is out it is the number of values; before, a pooler says so that has no connection to give.
  if (code === PROTOCOL_VIOLATION && phase !== "start") {
    return new BlockError(
      `postgres_${PROTOCOL_VIOLATION}`,
      `values: give exactly one for each of $1, $2 … in the query (${message}).`,
    );
  }
  const where = position === null ? "" : ` at character ${position} of the query`;
  return new BlockError(
    `postgres_${code}`,
    `The database refused the statement (${code}): ${message}${where}.`,
    { isRetryable: RETRYABLE.test(code) },
  );
}

function connectionFailure(code: string | null, { host, port, ssl }: QueryFacts["target"]): BlockError {
  if (code === "SASL_SIGNATURE_MISMATCH" || code === "AUTH_TYPE_NOT_IMPLEMENTED") {
    return new BlockError(
      "postgres_authentication",
      `${host}:${port} uses a sign-in that cannot be trusted.`,
    );
  }
  const needsTls = ssl !== false && ssl !== "prefer";
  const hint =
    needsTls && code === "ECONNRESET" ? " with TLS; if it does not offer TLS, write sslmode=prefer" : "";
  return new BlockError(
    "postgres_unreachable",
    `The database at ${host}:${port} cannot be reached (${code ?? "unknown cause"})${hint}.`,
    { isRetryable: true },
  );
}

function deathFailure(signal: NodeJS.Signals | null, { host, port }: QueryFacts["target"]): BlockError {
  if (signal === null || signal === "SIGKILL") {
    return new BlockError(
      "postgres_process_ended",
      `The process that asked the database at ${host}:${port} ended; run it again.`,
      { isRetryable: true },
    );
  }
  return new BlockError(
    "output_too_large",
    `What ${host}:${port} answers needs more than ${MAX_HEAP_MB} MB of memory; nothing was changed. Ask for less.`,
  );
}

function timeoutFailure(phase: AttemptPhase, { target, timeoutMs }: QueryFacts): BlockError {
  const problem =
    phase === "start"
      ? `The database at ${target.host}:${target.port} did not take the statement within ${timeoutMs} ms`
      : `The statement did not finish within ${timeoutMs} ms and was rolled back`;
  return new BlockError("postgres_timeout", `${problem}; raise timeoutMs or ask for less.`, {
    isRetryable: true,
  });
}

function outcomeUnknown(reason: string, { host, port }: QueryFacts["target"]): BlockError {
  return new BlockError(
    "postgres_outcome_unknown",
    `${host}:${port} did not confirm what the statement changed (${reason}); look whether it had its effect.`,
  );
}

function reasonOf(failure: AttemptFailure, { timedOut, timeoutMs }: QueryFacts): string {
  if (timedOut) return `no answer within ${timeoutMs} ms`;
  if ("refusal" in failure) return failure.refusal.code;
  if ("problem" in failure) return failure.problem.code;
  return ("lost" in failure ? failure.lost : failure.death) ?? "unknown cause";
}
