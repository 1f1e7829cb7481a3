/** What a step of the engine stands for. */
export type StepKind = "block" | "open" | "wait" | "backoff" | "each";

/** Which items of the loops around a block a step belongs to: indexes joined by dots, outermost first. */
export type ItemPath = string | null;

/** The parts of a step's name. */
export interface StepName {
  readonly blockId: string;
  /** 1 for the first try. */
  readonly attempt: number;
  readonly kind: StepKind;
  /** `12`, or `12.3` inside of two loops; null outside of loops. */
  readonly item: ItemPath;
}

/**
 * Name of a durable step: `b` holds the first attempt of a block, `b~2` the second, `b#12` and `b#12~2` those for item
 * 12 of a loop. `@open` begins what the block waits for, `@wait` is the wait, `@backoff` the pause after a failed
 * attempt, `@each` decides where the body of a loop starts.
 */
export function stepNameOf(
  blockId: string,
  attempt: number,
  kind: StepKind = "block",
  item: ItemPath = null,
): string {
  const name = item === null ? blockId : `${blockId}#${item}`;
  const tried = attempt === 1 ? name : `${name}~${attempt}`;
  return kind === "block" ? tried : `${tried}@${kind}`;
}

/** The parts of a step's name; block ids hold none of `#`, `~` and `@`. */
export function parseStepName(name: string): StepName {
  const [tried = name, suffix] = name.split("@");
  const [named = tried, attempt = "1"] = tried.split("~");
  const [blockId = named, item = null] = named.split("#");
  const kind = suffix === "open" || suffix === "wait" || suffix === "backoff" || suffix === "each";
  return { blockId, attempt: Number(attempt), kind: kind ? suffix : "block", item };
}
