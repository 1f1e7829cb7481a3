import type { Principal } from "../auth/principal.js";
import type { Catalogue } from "../connectors/catalogue.js";
import type { RunReader } from "../runs/run-reader.js";
import type { WorkflowService } from "../workflows/service.js";
import { type Diagram, drawDiagram } from "./diagram.js";
import type { DiagramFormat } from "./formats.js";
import { toMermaid } from "./mermaid.js";
import { toSvg } from "./svg.js";

/** The same picture in each format that was asked for. */
export type RenderedDiagram = { readonly [Format in DiagramFormat]?: string };

export interface DiagramServiceOptions {
  readonly workflows: Pick<WorkflowService, "get" | "getVersion">;
  readonly runs: Pick<RunReader, "getWithDocument">;
  readonly catalogue: Catalogue;
}

/** Pictures of workflows and runs. */
export class DiagramService {
  readonly #options: DiagramServiceOptions;

  constructor(options: DiagramServiceOptions) {
    this.#options = options;
  }

  /** The newest version, or a numbered one, in every format unless one is named. @throws AppError `not_found`. */
  async ofWorkflow(
    principal: Principal,
    request: {
      readonly id: string;
      readonly version?: number | undefined;
      readonly format?: DiagramFormat | undefined;
    },
  ): Promise<RenderedDiagram> {
    const { id, version, format } = request;
    const { workflows, catalogue } = this.#options;
    const found =
      version === undefined
        ? await workflows.get(principal, id)
        : await workflows.getVersion(principal, { id, version });
    return render(drawDiagram(found.workflow, catalogue, null), format);
  }

  /** The version that the run is pinned to with the states of its blocks. @throws AppError `not_found`. */
  async ofRun(
    principal: Principal,
    { runId, format }: { readonly runId: string; readonly format?: DiagramFormat | undefined },
  ): Promise<RenderedDiagram> {
    const { run, document } = await this.#options.runs.getWithDocument(principal, runId);
    return render(drawDiagram(document, this.#options.catalogue, run), format);
  }
}

function render(diagram: Diagram, format: DiagramFormat | undefined): RenderedDiagram {
  return {
    ...(format === "svg" ? {} : { mermaid: toMermaid(diagram) }),
    ...(format === "mermaid" ? {} : { svg: toSvg(diagram) }),
  };
}
