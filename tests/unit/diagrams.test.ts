import { describe, expect, it } from "vitest";
import { transform as transformConnector } from "../../server/connectors/builtin/transform.js";
import { triggerWebhook } from "../../server/connectors/builtin/trigger-webhook.js";
import { createCatalogue } from "../../server/connectors/catalogue.js";
import { drawDiagram } from "../../server/diagrams/diagram.js";
import { BLOCK, type Box, layOut } from "../../server/diagrams/layout.js";
import { toMermaid } from "../../server/diagrams/mermaid.js";
import { toSvg } from "../../server/diagrams/svg.js";
import type { BlockState, BlockStatus } from "../../server/runs/block-states.js";
import { WorkflowDocument } from "../../server/workflows/document.js";
import { processorMs } from "../support/processor-time.js";

const catalogue = createCatalogue([transformConnector, triggerWebhook]);

const named = (id: string, name?: string, type = "transform", more = {}) => ({
  id,
  type,
  ...(name === undefined ? {} : { name }),
  ...more,
});

function draw(blocks: readonly object[], connections: readonly object[] = [], name = "A workflow") {
  const document = WorkflowDocument.parse({ metadata: { name }, blocks, connections });
  return drawDiagram(document, catalogue, null);
}

const hostile = [
  "quotes \" and ' and `ticks`",
  "brackets ] ) } > ([{{ }})",
  "end",
  "new\nline\r\nand\ttab",
  "<script>alert(1)</script><br/>",
  "]]> <!-- --> &amp; &lt;",
  "#35; #quot; &#38;",
  "1. list - and * items _x_ **y**",
  "subgraph graph flowchart style classDef class click linkStyle default",
  "-->|x| b1; %% comment",
  "日本語 Ünïcödé 🚀 العربية",
  "\u0000\u0007\u202e lone \ud800 surrogate \uffff",
  "x".repeat(200),
  ":::failed",
];

describe("Mermaid", () => {
  /** What the grammar allows of a line, with texts in which nothing can end the quotes or open markup. */
  const text = String.raw`"(?:[\p{L}\p{M}\p{N} …·,._-]|#\d+;|<br\/>)*"`;
  const grammar = [
    "flowchart TB",
    String.raw` +b\d+(?:\(\[${text}\]\)|\[\[${text}\]\]|\[\/${text}\\\]|\[${text}\]|\{\{${text}\}\}|\{${text}\})`,
    String.raw` +subgraph b\d+_body\[${text}\]`,
    " +end",
    String.raw`  b\d+ (?:-->|-\.->)(?:\|${text}\|)? b\d+`,
    String.raw`  classDef [a-z]+ [\w#:, -]+`,
    String.raw`  class b\d+(?:,b\d+)* [a-z]+`,
  ].map((rule) => new RegExp(`^${rule}$`, "u"));

  function expectGrammar(source: string) {
    for (const line of source.trimEnd().split("\n")) {
      expect(
        grammar.some((rule) => rule.test(line)),
        line,
      ).toBe(true);
    }
  }

  it.each(hostile)("holds the name %j without letting it end a text, a line or be a word", (name) => {
    const source = toMermaid(
      draw(
        [named("start", name, "trigger_webhook"), named("end", name), named("graph")],
        [
          { source: "start", target: "end", sourceHandle: name.slice(0, 100), condition: name },
          { source: "end", target: "graph" },
        ],
        name,
      ),
    );
    expectGrammar(source);
    expect(source.split("\n").filter((line) => / b\d+ -->/.test(line))).toHaveLength(2);
  });

  it("shows kinds by shape, handles and conditions at edges, loops as subgraphs, what is idle dashed", () => {
    const source = toMermaid(
      draw(
        [
          named("start", undefined, "trigger_webhook"),
          named("loop", "Every item", "for_each"),
          named("inner", undefined, "for_each"),
          named("deep"),
          named("after", "After", "transform", { enabled: false }),
        ],
        [
          { source: "start", target: "loop" },
          { source: "loop", target: "inner", sourceHandle: "each" },
          { source: "inner", target: "deep", sourceHandle: "each" },
          { source: "loop", target: "after", condition: "{{loop.count}}" },
          { source: "loop", target: "nobody" },
        ],
      ),
    );
    expectGrammar(source);
    expect(source).toBe(`flowchart TB
  b0(["start<br/>trigger_webhook"])
  b1["Every item<br/>for_each"]
  subgraph b1_body["each item of Every item"]
    b2["inner<br/>for_each"]
    subgraph b2_body["each item of inner"]
      b3["deep<br/>transform"]
    end
  end
  b4["After<br/>transform · disabled"]
  b0 --> b1
  b1 -->|"each"| b2
  b2 -->|"each"| b3
  b1 -.->|"if #123;#123;loop.count#125;#125;"| b4
  classDef disabled fill:#f6f8fa,stroke:#8c959f,color:#57606a,stroke-dasharray:4 4
  class b4 disabled
`);
  });
});

describe("SVG", () => {
  /** Reads the document strictly: every tag closed, every text escaped, no character that XML does not know. */
  function expectXml(source: string) {
    const open: string[] = [];
    const rest = source.replace(
      /<(\/?)([a-zA-Z]+)((?: [\w:-]+="[^"<&]*(?:&(?:amp|lt|gt|quot|#39);[^"<&]*)*")*)(\/?)>/g,
      (_, closing: string, name: string, __, empty: string) => {
        if (closing !== "") expect(open.pop()).toBe(name);
        else if (empty === "") open.push(name);
        return "";
      },
    );
    expect(open).toEqual([]);
    expect(rest.replace(/&(?:amp|lt|gt|quot|#39);/g, "")).not.toMatch(/[<&]/);
    expect(source).not.toMatch(/[^\P{Cc}\n]|[\ufffe\uffff]/u);
    expect(source).not.toMatch(/\p{Cs}/u);
    expect(source).not.toMatch(/<script|<a |href|<foreignObject|\son\w+=/i);
  }

  it.each(hostile)("holds the name %j as a text and nothing else", (name) => {
    const source = toSvg(
      draw(
        [named("a", name), named("b", name)],
        [{ source: "a", target: "b", condition: name, sourceHandle: name.slice(0, 100) }],
        name,
      ),
    );
    expectXml(source);
    expect(source.match(/<g class="none"/g)).toHaveLength(2);
  });

  it("has a title and a description, and says every state in words", () => {
    const states: BlockState[] = [
      "completed",
      "failed",
      "running",
      "waiting",
      "retrying",
      "pending",
      "canceled",
    ];
    const blocks = states.map((state) => named(state));
    const status = (state: BlockState): BlockStatus => ({
      state,
      attempts: 2,
      startedAt: null,
      finishedAt: null,
      waitingUntil: state === "waiting" ? new Date("2026-11-24T09:00:00Z") : null,
    });
    const source = toSvg(
      drawDiagram(WorkflowDocument.parse({ metadata: { name: "Mine" }, blocks }), catalogue, {
        state: "running",
        blocks: Object.fromEntries(states.map((state) => [state, status(state)])),
      }),
    );
    expectXml(source);
    expect(source).toContain('role="img" aria-labelledby="title description"');
    expect(source).toContain('<title id="title">Mine</title>');
    expect(source).toMatch(/<desc id="description">Run running · 1 completed, 1 failed, .*<\/desc>/);
    expect(source).toContain("waiting, 2 tries, until 2026-11-24T09:00:00.000Z</title>");
    for (const state of states) {
      expect(source).toContain(`>${state}, 2 tries</text>`);
      expect(source).toContain(`<g class="${state}"`);
    }
  });
});

describe("the layout", () => {
  const overlaps = (one: Box, other: Box) =>
    one.x < other.x + other.width &&
    other.x < one.x + one.width &&
    one.y < other.y + other.height &&
    other.y < one.y + one.height;

  function expectApart(boxes: readonly Box[]) {
    for (const [index, box] of boxes.entries()) {
      expect(box.x).toBeGreaterThanOrEqual(-0.001);
      for (const other of boxes.slice(index + 1)) expect(overlaps(box, other)).toBe(false);
    }
  }

  it("puts every block below its sources, none over another, also where connections form a circle", () => {
    const blocks = Array.from({ length: 40 }, (_, index) => named(`b${index}`));
    const connections = blocks
      .slice(1)
      .flatMap(({ id }, index) => [
        { source: `b${Math.floor(index / 2)}`, target: id },
        ...(index % 5 === 0 ? [{ source: "b0", target: id, sourceHandle: "again" }] : []),
      ]);
    const layout = layOut(draw(blocks, connections));
    expect(layout.blocks.size).toBe(40);
    expectApart([...layout.blocks.values()]);
    for (const { source, target } of connections) {
      const [above, below] = [layout.blocks.get(source), layout.blocks.get(target)];
      expect((above?.y ?? 0) + BLOCK.height).toBeLessThan(below?.y ?? 0);
    }
    const circle = layOut(draw(blocks, [...connections, { source: "b39", target: "b0" }]));
    expect(circle.blocks.size).toBe(40);
    expectApart([...circle.blocks.values()]);
  });

  it("puts the body of a loop into its frame, below the loop, and everything else out of it", () => {
    const blocks = [named("loop", "L", "for_each"), named("a"), named("b"), named("after"), named("beside")];
    const layout = layOut(
      draw(blocks, [
        { source: "loop", target: "a", sourceHandle: "each" },
        { source: "a", target: "b" },
        { source: "loop", target: "after" },
      ]),
    );
    const frame = layout.frames.get("loop");
    if (frame === undefined) throw new Error("The loop has no frame.");
    const inside = [...layout.blocks].filter(([, box]) => overlaps(frame, box)).map(([id]) => id);
    expect(inside.sort()).toEqual(["a", "b"]);
    expect(layout.blocks.get("after")?.y).toBeGreaterThan(frame.y + frame.height);
  });

  it("draws the first of blocks with the same id, so that loops in loops do not multiply them", () => {
    const levels = Array.from({ length: 9 }, (_, level) => `L${level}`);
    const diagram = draw(
      levels.flatMap((id) => [named(id, `first ${id}`, "for_each"), named(id, "second")]),
      levels.slice(1).map((id, index) => ({ source: `L${index}`, target: id, sourceHandle: "each" })),
    );
    const mermaid = toMermaid(diagram);
    expect(mermaid.match(/first L\d<br/g)).toHaveLength(9);
    expect(mermaid.match(/ subgraph /g)).toHaveLength(8);
    expect(toSvg(diagram).match(/class="card"/g)).toHaveLength(9);
    expect(mermaid).not.toContain("second");
  });

  it("draws loops that lie in each other", () => {
    const diagram = draw(
      [
        named("a", "A", "for_each"),
        named("b", "B", "for_each"),
        named("b", "C"),
        named("own", "D", "for_each"),
      ],
      [
        { source: "a", target: "b", sourceHandle: "each" },
        { source: "b", target: "a", sourceHandle: "each" },
        { source: "own", target: "own", sourceHandle: "each" },
      ],
    );
    expect(toMermaid(diagram).match(/<br\/>for_each/g)).toHaveLength(3);
    expect(toSvg(diagram).match(/class="card"/g)).toHaveLength(3);
  });

  it.each([
    ["as deep as a document allows", 500],
    ["three loops to a level", 160],
  ])("draws loops in loops, %s, in about a second", (_how, depth) => {
    const id = (level: number) => `L${level}`.padEnd(64, "x");
    const blocks = Array.from({ length: 500 }, (_, index) => named(id(index % depth), undefined, "for_each"));
    const connections = Array.from({ length: 2_000 }, (_, index) => {
      const level = index % (depth - 1);
      return { source: id(level), target: id(level + 1), sourceHandle: "each", condition: `x${index}` };
    });
    let pictures = "";
    const tookMs = processorMs(() => {
      const diagram = draw(blocks, connections);
      pictures = toMermaid(diagram) + toSvg(diagram);
    });
    expect(pictures.match(/class="card"/g)).toHaveLength(depth);
    expect(pictures.length).toBeLessThan(3_000_000);
    expect(tookMs).toBeLessThan(5_000);
  });

  it("draws the largest document that may be written in about a second", () => {
    const blocks = Array.from({ length: 500 }, (_, index) => named(`b${index}`));
    const connections = Array.from({ length: 2_000 }, (_, index) => {
      const target = 1 + (index % 499);
      return { source: `b${(index * 7) % target}`, target: `b${target}`, sourceHandle: `h${index}` };
    });
    let source = "";
    const tookMs = processorMs(() => {
      source = toSvg(draw(blocks, connections));
    });
    expect(tookMs).toBeLessThan(5_000);
    expect(source.match(/class="card"/g)).toHaveLength(500);
    expect(source.match(/class="edge/g)).toHaveLength(2_000);
  });
});
