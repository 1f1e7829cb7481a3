import type { Connector } from "../connectors/define-connector.js";
import type { BlockStatus } from "../runs/block-states.js";
import type { RunState } from "../runs/run-kinds.js";
import type { WorkflowDocument } from "../workflows/document.js";
import { LOOP_TYPE, loopPathsOf } from "../workflows/loop-paths.js";

/** How a block is drawn. */
export type BlockShape = "trigger" | "work" | "branch" | "wait" | "loop" | "call" | "unknown";

/** A block as a picture shows it; texts are as people wrote them. */
export interface DiagramBlock {
  readonly id: string;
  /** Its name, or its id where it has none. */
  readonly title: string;
  readonly type: string;
  readonly shape: BlockShape;
  readonly isEnabled: boolean;
  /** Id of the innermost loop around it. */
  readonly loop: string | null;
  /** How it stands; null in the picture of a workflow. */
  readonly status: BlockStatus | null;
}

/** A connection between two blocks that exist. */
export interface DiagramEdge {
  readonly source: string;
  readonly target: string;
  /** Handle and condition, "" where there is neither. */
  readonly label: string;
  /** Whether it leads from or to a block that is not run. */
  readonly isIdle: boolean;
}

/** What a picture shows, whatever its format. */
export interface Diagram {
  readonly title: string;
  /** State of the run; null in the picture of a workflow. */
  readonly state: RunState | null;
  readonly blocks: readonly DiagramBlock[];
  readonly edges: readonly DiagramEdge[];
}

/** Finds connectors by type. */
type Connectors = { get(type: string): Connector | undefined };

/** How a run stands that a picture shows. */
export interface DiagramRun {
  readonly state: RunState;
  readonly blocks: Readonly<Record<string, BlockStatus>>;
}

/**
 * The picture of a document, or of a run of it. Of blocks with the same id, which only a draft has, the first is drawn;
 * connections whose ends do not exist are left out.
 */
export function drawDiagram(
  document: WorkflowDocument,
  connectors: Connectors,
  run: DiagramRun | null,
): Diagram {
  const { metadata, connections } = document;
  const ids = new Set<string>();
  const firsts = document.blocks.filter(({ id }) => ids.size < ids.add(id).size);
  const loops = loopPathsOf({ blocks: firsts, connections });
  const blocks = firsts.map(
    ({ id, name, type, enabled }): DiagramBlock => ({
      id,
      title: name ?? id,
      type,
      shape: shapeOf(type, connectors.get(type)),
      isEnabled: enabled,
      loop: loops.of(id).at(-1) ?? null,
      status: (run !== null && Object.hasOwn(run.blocks, id) ? run.blocks[id] : null) ?? null,
    }),
  );
  const byId = new Map(blocks.map((block) => [block.id, block]));
  const edges = connections.flatMap(({ source, target, sourceHandle, condition }): DiagramEdge[] => {
    const ends = [byId.get(source), byId.get(target)];
    if (ends.includes(undefined)) return [];
    const label = [sourceHandle, condition === undefined ? undefined : `if ${condition}`]
      .filter((part) => part !== undefined)
      .join(": ");
    return [{ source, target, label, isIdle: ends.some((end) => end !== undefined && isIdle(end)) }];
  });
  return { title: metadata.name, state: run?.state ?? null, blocks, edges };
}

/** What is said of a block below its title: its type, then how it stands. */
export function describeBlock({ type, isEnabled, status }: DiagramBlock): string {
  if (status === null) return isEnabled ? type : `${type} · disabled`;
  return `${type} · ${describeStatus(status)}`;
}

/** The state in words, with the number of tries where there were several and the items of a loop. */
export function describeStatus({ state, attempts, items }: BlockStatus): string {
  if (items !== undefined) {
    const total = Object.values(items).reduce((sum, count) => sum + count, 0);
    const settled = (items.completed ?? 0) + (items.failed ?? 0) + (items.canceled ?? 0);
    return `${state} ${settled}/${total}`;
  }
  return attempts > 1 ? `${state}, ${attempts} tries` : state;
}

function shapeOf(type: string, connector: Connector | undefined): BlockShape {
  if (connector === undefined) return "unknown";
  if (type === LOOP_TYPE) return "loop";
  if (type === "run_workflow") return "call";
  if (connector.kind === "compute") return connector.exits === undefined ? "work" : "branch";
  return connector.kind;
}

function isIdle({ isEnabled, status }: DiagramBlock): boolean {
  return !isEnabled || status?.state === "skipped";
}
