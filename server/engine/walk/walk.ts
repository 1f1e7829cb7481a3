import type { RunError } from "../run-error.js";
import { Activity } from "./activity.js";
import { type BlockResult, BlockRunner } from "./block-runner.js";
import { mootBlocks } from "./moot-blocks.js";
import { isRace, type PlannedBlock, type PlannedConnection } from "./plan.js";
import type { Outputs, WalkOptions } from "./walk-options.js";

/** What a walk comes to. */
export type WalkEnd =
  | { readonly ok: true; readonly outputs: Outputs }
  | { readonly ok: false; readonly error: RunError };

/**
 * Walks a plan. Blocks without incoming connections all start; another starts once everything upstream has settled
 * and at least one taken path leads to it, or with the first taken path if its `join` is `any`; branches go on
 * independently of each other. A disabled block is skipped, and so is what no taken path leads to, and what leads
 * only to blocks that have started with another path. Replay-safe: the same records give the same walk.
 */
export class Walk {
  /** Settles once nothing of the walk runs and either every block that matters has ended or one has failed. */
  readonly end: Promise<WalkEnd>;
  private readonly options: WalkOptions;
  private readonly entries: ReadonlySet<number>;
  private readonly activity: Activity;
  private readonly runner: BlockRunner;
  private readonly results = new Map<string, Promise<BlockResult>>();
  private readonly settled = new Map<string, BlockResult>();
  /** Blocks that have started with the first of their paths. */
  private readonly startedRaces: Set<string>;
  private moot: ReadonlySet<string>;
  private finish: (end: WalkEnd) => void = () => {};

  /** `entries` are the positions of the connections into a body that are taken for this item. */
  constructor(options: WalkOptions, entries: readonly number[] = []) {
    const { plan, steps, item } = options;
    this.options = options;
    this.entries = new Set(entries);
    this.activity = new Activity(() => this.rest(), steps.activity);
    this.startedRaces = new Set(
      plan.blocks
        .filter((planned) => isRace(planned) && steps.history.hasStarted(planned.block.id, item))
        .map(({ block }) => block.id),
    );
    this.moot = mootBlocks(plan, this.startedRaces);
    this.runner = new BlockRunner(options, this.activity, (blockId) => this.moot.has(blockId));
    this.end = new Promise((resolve) => {
      this.finish = resolve;
    });
  }

  /** Starts every block that nothing holds back; to be called once. */
  start(): void {
    void this.activity.during(async () => {
      for (const planned of this.options.plan.blocks) void this.settle(planned);
    });
  }

  /** How the block ends; every call gives the same promise. It never settles for one that waits beyond this pass. */
  private settle(planned: PlannedBlock): Promise<BlockResult> {
    const { id } = planned.block;
    const known = this.results.get(id);
    if (known !== undefined) return known;
    const result = this.settleOnce(planned).then(
      (ended) => {
        this.settled.set(id, ended);
        return ended;
      },
      (error: unknown) => {
        this.options.steps.fail(error);
        return new Promise<never>(() => {});
      },
    );
    this.results.set(id, result);
    return result;
  }

  private async settleOnce(planned: PlannedBlock): Promise<BlockResult> {
    const { block } = planned;
    if (!((await this.isReached(planned)) && block.enabled)) return { state: "skipped" };
    const { steps } = this.options;
    if (this.moot.has(block.id) && !this.runner.hasBegun(block.id)) return { state: "skipped" };
    if (isRace(planned)) {
      this.startedRaces.add(block.id);
      this.moot = mootBlocks(this.options.plan, this.startedRaces);
      steps.endMootWaits();
    }
    return this.runner.run(planned);
  }

  private async isReached(planned: PlannedBlock): Promise<boolean> {
    const taken = planned.incoming.map((connection) => this.isTaken(connection));
    if (taken.length === 0) return true;
    return isRace(planned) ? someHolds(taken) : (await Promise.all(taken)).includes(true);
  }

  private async isTaken({ source, index }: PlannedConnection): Promise<boolean> {
    const { plan } = this.options;
    if (plan.entries.some((entry) => entry.index === index)) return this.entries.has(index);
    const result = await this.settle(plan.get(source));
    return result.state === "ended" && result.taken.has(index);
  }

  private rest(): void {
    const { plan, steps } = this.options;
    if (steps.isInterrupted()) return;
    for (const { block } of plan.blocks) {
      const result = this.settled.get(block.id);
      if (result?.state !== "failed") continue;
      this.finish({ ok: false, error: result.error });
      return;
    }
    const open = plan.blocks.filter(({ block }) => !this.settled.has(block.id));
    if (open.every(({ block }) => this.moot.has(block.id))) {
      this.finish({ ok: true, outputs: this.runner.outputs });
    }
  }
}

/** Whether one of them holds; answers with the first that does. */
function someHolds(questions: readonly Promise<boolean>[]): Promise<boolean> {
  return new Promise((resolve) => {
    for (const question of questions) void question.then((holds) => holds && resolve(true));
    void Promise.all(questions).then(() => resolve(false));
  });
}
