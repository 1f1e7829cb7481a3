import { toBlockFailure } from "../blocks/execute-block.js";
import type { RunError } from "../run-error.js";
import { stepNameOf } from "../steps/step-names.js";
import { holding } from "./taken-connections.js";
import { Walk, type WalkEnd } from "./walk.js";
import { type Outputs, scopeOf, type WalkOptions } from "./walk-options.js";

/** What a part of a loop does: some neighbouring items. */
export interface ItemRange {
  readonly loopId: string;
  /** Index of the first item in the loop. */
  readonly from: number;
  readonly items: readonly unknown[];
  /** Most items walked at the same time. */
  readonly parallelism: number;
  /** Whether the first failing item ends the part. */
  readonly isStrict: boolean;
}

/** What an item came to; null when it never ran or its run was cut short. */
export type ItemEnd = { readonly outputs: Outputs } | { readonly error: RunError } | null;

/** What a part of a loop leaves, as the output of its run; `isStopped` says that a strict loop has failed in it. */
export interface PartOutput {
  readonly items: readonly ItemEnd[];
  readonly isStopped: boolean;
}

/** Walks the body of a loop for each item of a range, in order and some at the same time. */
export class ItemsWalk {
  /** Settles once every item has ended, or one has failed and nothing of the others runs. */
  readonly end: Promise<PartOutput>;
  private readonly options: Omit<WalkOptions, "item">;
  private readonly range: ItemRange;
  private readonly outerItem: string | null;
  private readonly ends: ItemEnd[];
  private finish: (output: PartOutput) => void = () => {};
  private next = 0;
  private open = 0;
  private isStopped = false;

  /** `options.item` is the item of the loops around this one; `plan` is that of the body. */
  constructor({ item, ...options }: WalkOptions, range: ItemRange) {
    this.options = options;
    this.range = range;
    this.outerItem = item;
    this.ends = range.items.map(() => null);
    this.end = new Promise((resolve) => {
      this.finish = resolve;
    });
  }

  /** Starts the first items; to be called once. */
  start(): void {
    void this.options.steps.activity.during(async () => this.fill());
  }

  /** Ends the part if one item has failed and the others only wait; says whether it did. */
  giveUpWaiting(): boolean {
    if (this.isStopped) this.conclude();
    return this.isStopped;
  }

  private fill(): void {
    while (!this.isStopped && this.open < this.range.parallelism && this.next < this.range.items.length) {
      const position = this.next;
      this.next += 1;
      this.open += 1;
      this.walk(position).then(
        (end) => this.settle(position, end),
        (error: unknown) => this.options.steps.fail(error),
      );
    }
    if (this.open === 0) this.conclude();
  }

  private settle(position: number, end: WalkEnd): void {
    this.open -= 1;
    this.ends[position] = end.ok ? { outputs: end.outputs } : { error: end.error };
    if (!end.ok && this.range.isStrict) this.isStopped = true;
    void this.options.steps.activity.during(async () => this.fill());
  }

  private conclude(): void {
    this.finish({ items: this.ends, isStopped: this.isStopped });
  }

  private async walk(position: number): Promise<WalkEnd> {
    const { loopId, from, items } = this.range;
    const index = from + position;
    const item = this.outerItem === null ? String(index) : `${this.outerItem}.${index}`;
    const around = { ...this.options.around, [loopId]: { item: items[position], index } };
    const options: WalkOptions = { ...this.options, around, item };
    const entries = await this.enter(options);
    if (!Array.isArray(entries)) return { ok: false, error: entries };
    const walk = new Walk(options, entries);
    walk.start();
    return walk.end;
  }

  /** Positions of the connections into the body that are taken for the item, decided once. */
  private async enter(options: WalkOptions): Promise<number[] | RunError> {
    const { plan, steps, item, around, evaluate, now, signal } = options;
    if (plan.entries.every(({ condition }) => condition === undefined)) {
      return plan.entries.map(({ index }) => index);
    }
    const { loopId } = this.range;
    const scope = scopeOf(options, around);
    const startedAt = now().toISOString();
    const facts = { id: loopId, attempt: 1, startedAt, finishedAt: startedAt };
    const [record] = await steps.activity.during(() =>
      steps.run(stepNameOf(loopId, 1, "each", item), async () => {
        try {
          const taken = await holding(plan.entries, (text) => evaluate(text, scope));
          return [{ ...facts, ok: true, output: null, bytes: 0, taken }];
        } catch (error) {
          signal.throwIfAborted();
          return [{ ...facts, ok: false, error: toBlockFailure(error) }];
        }
      }),
    );
    if (record?.ok) return [...(record.taken ?? [])];
    const { code = "engine_failed", message = "" } = record?.error ?? {};
    return { code, message, blockId: loopId };
  }
}
