/** What a step of the engine stands for. */
export type StepKind = "block" | "wait" | "backoff";

/** Name of the durable step that holds one attempt of a block: `b`, then `b~2`, `b~3`. */
export function stepNameOf(blockId: string, attempt: number): string {
  return attempt === 1 ? blockId : `${blockId}~${attempt}`;
}

/** Name of the timer that a wait block parks on. */
export function waitNameOf(blockId: string): string {
  return `${blockId}@wait`;
}

/** Name of the timer between a failed attempt and the next. */
export function backoffNameOf(blockId: string, failedAttempt: number): string {
  return `${stepNameOf(blockId, failedAttempt)}@backoff`;
}

/** The parts of a step's name; block ids hold neither `~` nor `@`. */
export function parseStepName(name: string): {
  readonly blockId: string;
  readonly attempt: number;
  readonly kind: StepKind;
} {
  const [step = name, timer] = name.split("@");
  const [blockId = step, attempt = "1"] = step.split("~");
  const kind = timer === "wait" || timer === "backoff" ? timer : "block";
  return { blockId, attempt: Number(attempt), kind };
}
