import type { RunError } from "../engine/run-error.js";
import type { BlockState, BlockStatus } from "./block-states.js";
import type { RunState } from "./run-kinds.js";

/** A run and its blocks as they were at one moment. */
export interface RunSnapshot {
  readonly state: RunState;
  readonly startedAt: Date | null;
  readonly finishedAt: Date | null;
  readonly error: RunError | null;
  /** In the order of the pinned document, which never changes. */
  readonly blocks: Readonly<Record<string, BlockStatus>>;
}

/** What a stream tells of a run; instants are ISO 8601. */
export type RunEvent =
  | {
      readonly type: "run";
      readonly state: RunState;
      readonly startedAt: string | null;
      readonly finishedAt: string | null;
    }
  | {
      readonly type: "block";
      readonly blockId: string;
      readonly state: BlockState;
      readonly attempts: number;
      readonly startedAt: string | null;
      readonly finishedAt: string | null;
      readonly waitingUntil: string | null;
      readonly items?: Readonly<Partial<Record<BlockState, number>>>;
    }
  /** Nothing follows. */
  | { readonly type: "end"; readonly state: RunState; readonly error: RunError | null };

/** An event with the id from which a stream goes on behind it. */
export interface TrackedRunEvent {
  readonly id: string;
  readonly event: RunEvent;
}

/** What a client has been told: a mark for the run and one for each block, "" where nothing was told yet. */
interface Told {
  run: string;
  readonly blocks: string[];
}

const ended: ReadonlySet<RunState> = new Set(["completed", "failed", "canceled"]);
const END = "end";

/** Whether a run in this state does not change any more. */
export function hasEnded(state: RunState): boolean {
  return ended.has(state);
}

/**
 * What was told of a run, as the ids of its events carry it. An id names the state of the run and of each block, so a
 * client that comes back with it is told exactly what differs by then. States that came and went between two reads are
 * passed over.
 */
export class RunTeller {
  readonly #told: Told;

  /** `lastEventId`: the id of the last event that the client has; one that is not of this run counts for nothing. */
  constructor(lastEventId: string | undefined, blockCount: number) {
    this.#told = decode(lastEventId, blockCount) ?? { run: "", blocks: Array(blockCount).fill("") };
  }

  /** Whether the client knows that nothing follows. */
  get isOver(): boolean {
    return this.#told.run === END;
  }

  /** What the snapshot adds to what was told; counts as told once it is yielded. */
  *tell(snapshot: RunSnapshot): Generator<TrackedRunEvent> {
    if (this.isOver) return;
    const isLast = hasEnded(snapshot.state);
    if (!isLast) yield* this.#tellRun(snapshot);
    for (const [index, [blockId, status]] of Object.entries(snapshot.blocks).entries()) {
      const mark = markOf(status);
      if (this.#told.blocks[index] === mark) continue;
      this.#told.blocks[index] = mark;
      const waitingUntil = status.waitingUntil?.toISOString() ?? null;
      yield this.#track({ type: "block", blockId, ...status, ...instantsOf(status), waitingUntil });
    }
    if (!isLast) return;
    yield* this.#tellRun(snapshot);
    this.#told.run = END;
    yield this.#track({ type: "end", state: snapshot.state, error: snapshot.error });
  }

  *#tellRun(snapshot: RunSnapshot): Generator<TrackedRunEvent> {
    if (this.#told.run === snapshot.state) return;
    this.#told.run = snapshot.state;
    yield this.#track({ type: "run", state: snapshot.state, ...instantsOf(snapshot) });
  }

  #track(event: RunEvent): TrackedRunEvent {
    return { id: encode(this.#told), event };
  }
}

function instantsOf({ startedAt, finishedAt }: Pick<RunSnapshot, "startedAt" | "finishedAt">) {
  return { startedAt: startedAt?.toISOString() ?? null, finishedAt: finishedAt?.toISOString() ?? null };
}

const letters: Record<BlockState, string> = {
  pending: "p",
  running: "r",
  waiting: "w",
  retrying: "b",
  completed: "c",
  failed: "f",
  skipped: "s",
  canceled: "x",
};

/** Equal marks mean that there is nothing to tell; the instants follow from what a mark holds. */
function markOf({ state, attempts, items = {} }: BlockStatus): string {
  const perItem = Object.entries(letters).flatMap(([each, letter]) => {
    const count = items[each as BlockState];
    return count === undefined ? [] : `${letter}${count.toString(36)}`;
  });
  return [`${letters[state]}${attempts.toString(36)}`, ...perItem].join("_");
}

/** Equal marks in a row are written once, with how many there are: most blocks stand alike most of the time. */
function encode({ run, blocks }: Told): string {
  const parts: string[] = [];
  for (let start = 0; start < blocks.length; ) {
    const mark = blocks[start];
    let end = start + 1;
    while (end < blocks.length && blocks[end] === mark) end += 1;
    parts.push(end - start === 1 ? `${mark}` : `${mark}*${end - start}`);
    start = end;
  }
  return [run, ...parts].join(".");
}

const RUN_MARK = /^[a-z]{0,10}$/;
const BLOCK_MARK = /^([\w]{0,64})(?:\*(\d{1,3}))?$/;

function decode(id: string | undefined, blockCount: number): Told | null {
  if (id === undefined) return null;
  const [run = "", ...parts] = id.split(".");
  if (!RUN_MARK.test(run)) return null;
  const blocks: string[] = [];
  for (const part of parts) {
    const [, mark, count = "1"] = BLOCK_MARK.exec(part) ?? [];
    if (mark === undefined || blocks.length + Number(count) > blockCount) return null;
    for (let times = Number(count); times > 0; times -= 1) blocks.push(mark);
  }
  return blocks.length === blockCount ? { run, blocks } : null;
}
