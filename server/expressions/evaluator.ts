import type { ChildProcess } from "node:child_process";
import { BlockError } from "../connectors/define-connector.js";
import { endOf, startProcess } from "../processes/start-process.js";
import { type Evaluation, type EvaluationResult, tookTooLong } from "./evaluate-expression.js";
import type { EvaluatorMessage } from "./evaluator-process.js";

/** What one process may use; one that needs more ends. */
const MAX_HEAP_MB = 64;
/** How long a process that evaluates past its time is left to say so itself, in milliseconds. */
const GRACE_MS = 250;
const START_MS = 15_000;
const IDLE_MS = 30_000;

/** How a process ended. */
interface Death {
  readonly signal: NodeJS.Signals | null;
}

/** One process that evaluates one expression at a time; it starts when it is needed and ends when it is idle. */
export class Evaluator {
  #child: ChildProcess | null = null;
  /** Settles once the last process that was started is gone. */
  #ended: Promise<void> = Promise.resolve();
  #hear: (said: EvaluatorMessage | Death) => void = () => undefined;
  #idle: NodeJS.Timeout | undefined;
  #isClosed = false;

  /**
   * The value as JSON, or why there is none; the caller waits for the answer before it asks again. When the process is
   * killed from outside, as a system without memory does, the next one evaluates once more.
   * @throws BlockError `expression_failed` that another attempt can help, when the process ends by itself or both are
   * killed.
   */
  async evaluate(evaluation: Evaluation): Promise<EvaluationResult> {
    clearTimeout(this.#idle);
    const result = (await this.#evaluateOnce(evaluation)) ?? (await this.#evaluateOnce(evaluation));
    if (result === null) throw stopped();
    return result;
  }

  /** Null when the process was killed from outside. */
  async #evaluateOnce(evaluation: Evaluation): Promise<EvaluationResult | null> {
    const child = this.#child ?? (await this.#start());
    if (child === null) return null;
    hold(child);
    const answer = this.#next();
    const limit = end(child, evaluation.timeoutMs + GRACE_MS);
    // A process that has ended takes no message; how it ended is heard.
    child.send(evaluation, () => undefined);
    const said = await answer;
    clearTimeout(limit.timer);
    if (said === "ready") throw stopped();
    if (!("signal" in said)) {
      letGo(child);
      this.#idle = setTimeout(() => {
        // Its end is heard late; an evaluation that comes before starts another one.
        this.#child = null;
        child.kill("SIGKILL");
      }, IDLE_MS).unref();
      return said;
    }
    if (limit.isReached()) return { code: "expression_timeout", reason: tookTooLong(evaluation.timeoutMs) };
    if (said.signal === "SIGKILL") return null;
    if (said.signal === null) throw stopped();
    return { code: "expression_too_large", reason: `It needed more than ${MAX_HEAP_MB} MB of memory` };
  }

  /** Ends the process; an evaluation that runs fails, and so does every later one. */
  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#idle);
    const child = this.#child;
    if (child === null) return;
    hold(child);
    child.kill("SIGKILL");
    await this.#ended;
  }

  /** Null when the process was killed from outside. */
  async #start(): Promise<ChildProcess | null> {
    if (this.#isClosed) throw stopped();
    const child = startProcess(new URL("./evaluator-process", import.meta.url), MAX_HEAP_MB);
    this.#child = child;
    child.on("message", (said: EvaluatorMessage) => this.#hear(said));
    this.#ended = endOf(child).then((signal) => this.#forget(child, signal));
    const limit = end(child, START_MS);
    const said = await this.#next();
    clearTimeout(limit.timer);
    if (said === "ready") return child;
    if ("signal" in said && said.signal === "SIGKILL" && !limit.isReached()) return null;
    throw stopped();
  }

  #forget(child: ChildProcess, signal: NodeJS.Signals | null): void {
    if (this.#child !== child) return;
    this.#child = null;
    this.#hear({ signal });
  }

  #next(): Promise<EvaluatorMessage | Death> {
    return new Promise((resolve) => {
      this.#hear = resolve;
    });
  }
}

/** An evaluation that runs keeps the server from ending; an idle process does not. */
function hold(child: ChildProcess): void {
  child.ref();
  child.channel?.ref();
}

function letGo(child: ChildProcess): void {
  child.unref();
  child.channel?.unref();
}

/** Ends the process once the time has passed, unless the timer is cleared before. */
function end(child: ChildProcess, milliseconds: number) {
  let isReached = false;
  const timer = setTimeout(() => {
    isReached = true;
    child.kill("SIGKILL");
  }, milliseconds);
  return { timer, isReached: () => isReached };
}

function stopped(): BlockError {
  return new BlockError("expression_failed", "The process of the expression ended; run it again.", {
    isRetryable: true,
  });
}
