import {
  type BlockShape,
  type Diagram,
  type DiagramBlock,
  type DiagramEdge,
  describeStatus,
} from "./diagram.js";
import { type Box, type Layout, layOut, type Point } from "./layout.js";
import { escapeXml, fitText, measureText, svgStyle } from "./svg-style.js";

/** Space around the picture and for its heading, in pixels. */
const MARGIN = { side: 28, top: 68, bottom: 28 } as const;
const MIN_WIDTH = 320;
/** Widest text at a connection. */
const LABEL_WIDTH = 150;
const heading = { size: 16, isBold: true };
const bold = { size: 14, isBold: true };
const small = { size: 11.5 };
const smallBold = { size: 11.5, isBold: true };
/** Where the texts of a block begin, and the space that they leave at its right. */
const TEXT_X = 56;
const TEXT_MARGIN = 14;

/** What is drawn at the left of a block, within 20 by 20 pixels. */
const marks: Record<BlockShape, string> = {
  trigger: '<path d="M11 2 4 11.5h5L8 18l8-9.500h-5.500z"/>',
  work: '<circle cx="10" cy="10" r="3"/><path d="M10 2.500v2.500M10 15v2.500M2.500 10h2.500M15 10h2.500M4.700 4.700l1.800 1.800M13.500 13.500l1.800 1.800M4.700 15.300l1.800-1.800M13.500 6.500l1.800-1.800"/>',
  branch: '<path d="M10 2.500v5M10 7.500 4 13v4M10 7.500l6 5.500v4"/>',
  wait: '<circle cx="10" cy="10" r="7"/><path d="M10 5.500V10l3 2"/>',
  loop: '<path d="M16 10a6 6 0 1 1-2-4.500M14.500 2v4h-4"/>',
  call: '<rect x="3" y="3" width="9" height="9" rx="2"/><path d="M8 16h7a2 2 0 0 0 2-2V8"/>',
  unknown: '<path d="M7 7.500a3 3 0 1 1 4.500 2.600c-1 .6-1.500 1.200-1.500 2.400M10 16v.2"/>',
};

/**
 * The diagram as an SVG that needs nothing else: no script, no font, no link. It has a title and a description, names
 * every state in words, and is legible on light and dark pages. Texts that do not fit are cut; the whole one is in the
 * title of their block.
 */
export function toSvg(diagram: Diagram): string {
  const layout = layOut(diagram);
  const width = Math.max(MIN_WIDTH, Math.ceil(layout.width) + 2 * MARGIN.side);
  const height = Math.ceil(layout.height) + MARGIN.top + MARGIN.bottom;
  const left = Math.round((width - layout.width) / 2);
  const summary = describe(diagram);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-labelledby="title description">`,
    `<title id="title">${escapeXml(diagram.title)}</title>`,
    `<desc id="description">${escapeXml(summary)}</desc>`,
    `<style>${svgStyle}</style>`,
    '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path class="tip" d="M0 .5 8 4 0 7.500z"/></marker></defs>',
    `<rect class="page" width="${width}" height="${height}"/>`,
    `<text class="heading" x="${MARGIN.side}" y="32">${escapeXml(fitText(diagram.title, width - 2 * MARGIN.side, heading))}</text>`,
    `<text class="about" x="${MARGIN.side}" y="50">${escapeXml(fitText(summary, width - 2 * MARGIN.side, small))}</text>`,
    `<g transform="translate(${left} ${MARGIN.top})">`,
    ...[...layout.frames].map(([id, box]) => drawFrame(diagram, id, box)),
    ...drawEdges(diagram.edges, layout),
    ...diagram.blocks.flatMap((block) => {
      const box = layout.blocks.get(block.id);
      return box === undefined ? [] : drawBlock(block, box);
    }),
    "</g></svg>\n",
  ].join("\n");
}

/** The picture in one sentence. */
function describe({ state, blocks, edges }: Diagram): string {
  const count = (many: number, noun: string) => `${many} ${noun}${many === 1 ? "" : "s"}`;
  const size = `${count(blocks.length, "block")}, ${count(edges.length, "connection")}`;
  if (state === null) return size;
  const byState = new Map<string, number>();
  for (const { status } of blocks) {
    if (status !== null) byState.set(status.state, (byState.get(status.state) ?? 0) + 1);
  }
  const states = [...byState].map(([name, many]) => `${many} ${name}`).join(", ");
  return `Run ${state}${states === "" ? "" : ` · ${states}`} · ${size}`;
}

function drawFrame({ blocks }: Diagram, id: string, { x, y, width, height }: Box): string {
  const title = blocks.find((block) => block.id === id)?.title ?? id;
  const text = fitText(`each item of ${title}`, width - 28, small);
  return `<g><rect class="frame" x="${round(x)}" y="${round(y)}" width="${round(width)}" height="${round(height)}" rx="12"/><text class="label" x="${round(x + 14)}" y="${round(y + 20)}">${escapeXml(text)}</text></g>`;
}

function drawBlock(block: DiagramBlock, { x, y, width, height }: Box): string {
  const { id, title, type, shape, isEnabled, status } = block;
  const isIdle = !isEnabled || status?.state === "skipped";
  const state = status === null ? (isEnabled ? "" : "disabled") : describeStatus(status);
  const room = width - TEXT_X - TEXT_MARGIN;
  const about = fitText(type, state === "" ? room : room - measureText(state, smallBold) - 6, small);
  const until = status?.waitingUntil == null ? "" : `until ${status.waitingUntil.toISOString()}`;
  const whole = [title === id ? id : `${title} (${id})`, type, state, until]
    .filter((part) => part !== "")
    .join(", ");
  return [
    `<g class="${status?.state ?? "none"}${isIdle ? " idle" : ""}" transform="translate(${round(x)} ${round(y)})"><title>${escapeXml(whole)}</title>`,
    `<rect class="card" width="${width}" height="${height}" rx="${shape === "trigger" ? height / 2 : 10}"/>`,
    `<circle class="tint" cx="30" cy="${height / 2}" r="17"/><g class="mark" transform="translate(20 ${height / 2 - 10})">${marks[shape]}</g>`,
    `<text class="title" x="${TEXT_X}" y="${height / 2 - 4}">${escapeXml(fitText(title, room, bold))}</text>`,
    `<text class="about" x="${TEXT_X}" y="${height / 2 + 15}">${escapeXml(about)}</text>`,
    state === ""
      ? ""
      : `<text class="state" x="${width - TEXT_MARGIN}" y="${height / 2 + 15}" text-anchor="end">${escapeXml(state)}</text>`,
    "</g>",
  ].join("");
}

/** Connections leave a block side by side, in the order in which they arrive, so that branches do not cross at once. */
function drawEdges(edges: readonly DiagramEdge[], layout: Layout): string[] {
  const leaving = new Map<string, { readonly index: number; readonly towards: number }[]>();
  for (const [index, { source, target }] of edges.entries()) {
    const [first] = layout.bends.get(index) ?? [];
    const towards = first?.x ?? middleOf(layout.blocks.get(target));
    leaving.set(source, [...(leaving.get(source) ?? []), { index, towards }]);
  }
  const ports = new Map<number, number>();
  for (const [source, list] of leaving) {
    const width = layout.blocks.get(source)?.width ?? 0;
    const distance = Math.min(76, (width - 60) / Math.max(1, list.length - 1));
    list.sort((one, other) => one.towards - other.towards);
    for (const [place, { index }] of list.entries())
      ports.set(index, (place - (list.length - 1) / 2) * distance);
  }
  const drawn = edges.map((edge, index) => drawEdge(edge, layout, index, ports.get(index) ?? 0));
  // Labels last, so that no line crosses them.
  return [...drawn.map(({ line }) => line), ...drawn.map(({ label }) => label)].filter((part) => part !== "");
}

function drawEdge(
  { source, target, label, isIdle }: DiagramEdge,
  { blocks, bends }: Layout,
  index: number,
  port: number,
): { readonly line: string; readonly label: string } {
  const [from, to] = [blocks.get(source), blocks.get(target)];
  if (from === undefined || to === undefined) return { line: "", label: "" };
  const start = { x: middleOf(from) + port, y: from.y + from.height };
  const points: Point[] = [start, ...(bends.get(index) ?? []), { x: middleOf(to), y: to.y - 2 }];
  const second = points[1] ?? start;
  return {
    line: `<path class="edge${isIdle ? " idle" : ""}" marker-end="url(#tip)" d="${curve(points)}"/>`,
    label: label === "" ? "" : drawLabel(label, { x: start.x * 0.92 + second.x * 0.08, y: start.y + 22 }),
  };
}

function drawLabel(label: string, { x, y }: Point): string {
  const text = fitText(label, LABEL_WIDTH, small);
  const width = measureText(text, small) + 14;
  return `<g><rect class="halo" x="${round(x - width / 2)}" y="${round(y - 9)}" width="${round(width)}" height="18" rx="9"/><text class="label" x="${round(x)}" y="${round(y + 4)}" text-anchor="middle">${escapeXml(text)}<title>${escapeXml(label)}</title></text></g>`;
}

/** Smooth from point to point, always leaving and arriving downwards. */
function curve(points: readonly Point[]): string {
  return points
    .map((point, index) => {
      const previous = points[index - 1];
      if (previous === undefined) return `M${round(point.x)} ${round(point.y)}`;
      const pull = Math.max(18, Math.abs(point.y - previous.y) / 2);
      return `C${round(previous.x)} ${round(previous.y + pull)} ${round(point.x)} ${round(point.y - pull)} ${round(point.x)} ${round(point.y)}`;
    })
    .join("");
}

function middleOf(box: Box | undefined): number {
  return box === undefined ? 0 : box.x + box.width / 2;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
