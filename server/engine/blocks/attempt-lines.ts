import type { BlockLogger, JsonObject } from "../../connectors/define-connector.js";
import type { Scrub } from "../../secrets/scrub.js";
import { toStorableJson, toStorableText } from "./json-output.js";

/** Most lines and bytes of JSON that an attempt's log keeps. */
const MAX_LINES = 100;
const MAX_LINE_BYTES = 16_384;
/** Longest message of a line, in characters. */
const MAX_MESSAGE_LENGTH = 2_000;

/** A line that a block has logged; `at` is ISO 8601. */
export interface LogLine {
  readonly at: string;
  readonly level: "info" | "warn" | "error";
  readonly message: string;
  readonly fields?: JsonObject;
}

/** The log of one attempt. */
export interface AttemptLines {
  readonly log: BlockLogger;
  /** What was logged so far, 100 lines and 16 KiB at most; the last line tells when some were left out. */
  lines(): readonly LogLine[];
}

/** A log that keeps its lines and hands them on to `target`, both without the secrets that `scrub` knows. */
export function createAttemptLines(target: BlockLogger, scrub: Scrub, now: () => Date): AttemptLines {
  const lines: LogLine[] = [];
  let bytes = 0;
  let leftOut = 0;

  const write = (level: LogLine["level"], message: string, fields?: JsonObject) => {
    const shown = scrub(String(message));
    const kept = fields === undefined ? undefined : scrub(storableFields(fields));
    target[level](shown, kept);
    const line: LogLine = {
      at: now().toISOString(),
      level,
      message: toStorableText(shown, MAX_MESSAGE_LENGTH),
      ...(kept === undefined ? {} : { fields: kept }),
    };
    const size = Buffer.byteLength(JSON.stringify(line));
    if (leftOut > 0 || lines.length === MAX_LINES - 1 || bytes + size > MAX_LINE_BYTES) leftOut += 1;
    else {
      lines.push(line);
      bytes += size;
    }
  };

  return {
    log: {
      info: (message, fields) => write("info", message, fields),
      warn: (message, fields) => write("warn", message, fields),
      error: (message, fields) => write("error", message, fields),
    },
    lines() {
      if (leftOut === 0) return [...lines];
      const message = `${leftOut} more ${leftOut === 1 ? "line was" : "lines were"} left out here; the server's log has them.`;
      return [...lines, { at: now().toISOString(), level: "warn", message }];
    },
  };
}

/** Fields as the database takes them; what JSON cannot carry is left out rather than failing the block. */
function storableFields(fields: JsonObject): JsonObject {
  try {
    return toStorableJson(fields).value as JsonObject;
  } catch {
    return { unreadable: "The fields of this line are no JSON of at most 1 MiB." };
  }
}
