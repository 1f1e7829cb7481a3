import { setImmediate } from "node:timers/promises";
import postgres from "postgres";
import { liveWithParent } from "../../processes/live-with-parent.js";
import { BlockError } from "../block-error.js";
import {
  type PostgresJob,
  type PostgresPhase,
  PostgresSession,
  type QueryOutputs,
} from "./postgres-session.js";

/** What a database said of a statement. */
export interface PostgresRefusal {
  /** SQLSTATE, five characters. */
  readonly code: string;
  readonly message: string;
  /** Character of the query. */
  readonly position: number | null;
  /** As in English; null where the database does not say it. */
  readonly severity: string | null;
}

/** Why an attempt gave nothing. */
export type PostgresFailure =
  | { readonly refusal: PostgresRefusal }
  /** A failure that the process knows the code and message of. */
  | { readonly problem: { readonly code: string; readonly message: string } }
  /** The connection did not come about or was lost; the code of what it failed with. */
  | { readonly lost: string | null };

/** How an attempt ended. */
export type PostgresResult = { readonly outputs: QueryOutputs } | PostgresFailure;

/** What the process says to the one that started it: that the attempt goes on, at last how it ended. */
export type PostgresReport = { readonly phase: PostgresPhase } | PostgresResult;

/** What the process is told: what to do, then perhaps that nobody waits for it any more. */
export type PostgresOrder = PostgresJob | "cancel";

/**
 * Longest message of a database that is passed on, in characters: far longer than what is kept of it, so that the cut is
 * made once it was searched for secrets, of which a cut one would not be found.
 */
const MAX_MESSAGE_LENGTH = 200_000;

let session: PostgresSession | null = null;
let isOver = false;

function end(result: PostgresResult): void {
  if (isOver) return;
  isOver = true;
  process.send?.(result, undefined, undefined, () => process.exit());
}

/** Resolves when the other process can read it, even if this one ends at once. */
function announce(phase: PostgresPhase): Promise<void> {
  return new Promise((resolve, reject) => {
    process.send?.({ phase }, undefined, undefined, (error) => (error === null ? resolve() : reject(error)));
  });
}

async function attempt(job: PostgresJob): Promise<void> {
  session = new PostgresSession(job, { announce, fail: (error) => end(failureOf(error)) });
  try {
    const outputs = await session.run();
    session.close();
    // What says goodbye to the database is on its way then.
    await setImmediate();
    end({ outputs });
  } catch (error) {
    end(failureOf(error));
  }
}

function failureOf(error: unknown): PostgresFailure {
  if (error instanceof BlockError) return { problem: { code: error.code, message: error.message } };
  if (!(error instanceof postgres.PostgresError)) {
    return { lost: error instanceof Error && "code" in error ? String(error.code) : null };
  }
  const { code, message, position, severity } = error;
  return {
    refusal: {
      code: /^[0-9A-Z]{5}$/.test(code) ? code : "XX000",
      message: String(message).slice(0, MAX_MESSAGE_LENGTH),
      position: /^\d{1,9}$/.test(position) ? Number(position) : null,
      severity: severity ?? null,
    },
  };
}

liveWithParent();
// The driver waits for nobody in some of its handlers: what a database makes them fail with arrives here.
process.on("unhandledRejection", (error) => end(failureOf(error)));
process.on("uncaughtException", (error) => end(failureOf(error)));
process.on("message", (order: PostgresOrder) => {
  if (order !== "cancel") void attempt(order);
  else if (session === null || !session.cancel()) process.exit();
});
