import { type BlockShape, type Diagram, type DiagramBlock, describeBlock } from "./diagram.js";

/** Longest title and edge label, in characters. */
const MAX_TEXT_LENGTH = 60;

/** What stands around the text of a block. */
const brackets: Record<BlockShape, readonly [string, string]> = {
  trigger: ["([", "])"],
  work: ["[", "]"],
  branch: ["{", "}"],
  wait: ["{{", "}}"],
  loop: ["[/", "\\]"],
  call: ["[[", "]]"],
  unknown: ["[", "]"],
};

/** Fill, border and text by class; dark text on light fill, so that it is legible on any page. */
const classes = {
  pending: "fill:#f6f8fa,stroke:#8c959f,color:#24292f",
  running: "fill:#ddf4ff,stroke:#0969da,color:#0a3069",
  waiting: "fill:#fff8c5,stroke:#bf8700,color:#4d2d00",
  retrying: "fill:#fff1e5,stroke:#bc4c00,color:#471700",
  completed: "fill:#dafbe1,stroke:#1a7f37,color:#003d16",
  failed: "fill:#ffebe9,stroke:#cf222e,color:#4c0014",
  skipped: "fill:#f6f8fa,stroke:#8c959f,color:#57606a,stroke-dasharray:4 4",
  canceled: "fill:#eaeef2,stroke:#57606a,color:#24292f",
  disabled: "fill:#f6f8fa,stroke:#8c959f,color:#57606a,stroke-dasharray:4 4",
} as const;
type ClassName = keyof typeof classes;

/**
 * The diagram as a Mermaid flowchart. Blocks are named `b0`, `b1`, … in the document's order, and every text is
 * quoted and escaped, so that no name can end a line, open markup or be a word of the language.
 */
export function toMermaid(diagram: Diagram): string {
  const names = new Map(diagram.blocks.map(({ id }, index) => [id, `b${index}`]));
  const nameOf = (id: string) => names.get(id) ?? "";
  const lines = ["flowchart TB"];
  const drawWithin = (loop: string | null, indent: string) => {
    for (const block of diagram.blocks.filter((each) => each.loop === loop)) {
      const [open, close] = brackets[block.shape];
      const text = `${quote(block.title)}<br/>${quote(describeBlock(block))}`;
      lines.push(`${indent}${nameOf(block.id)}${open}"${text}"${close}`);
      if (!diagram.blocks.some((each) => each.loop === block.id)) continue;
      lines.push(`${indent}subgraph ${nameOf(block.id)}_body["${quote(`each item of ${block.title}`)}"]`);
      drawWithin(block.id, `${indent}  `);
      lines.push(`${indent}end`);
    }
  };
  drawWithin(null, "  ");
  for (const { source, target, label, isIdle } of diagram.edges) {
    const arrow = isIdle ? "-.->" : "-->";
    const text = label === "" ? "" : `|"${quote(label)}"|`;
    lines.push(`  ${nameOf(source)} ${arrow}${text} ${nameOf(target)}`);
  }
  const members = new Map<ClassName, string[]>();
  for (const block of diagram.blocks) {
    const name = classOf(block);
    if (name !== null) members.set(name, [...(members.get(name) ?? []), nameOf(block.id)]);
  }
  for (const [name, blocks] of members) {
    lines.push(`  classDef ${name} ${classes[name]}`, `  class ${blocks.join(",")} ${name}`);
  }
  return `${lines.join("\n")}\n`;
}

function classOf({ isEnabled, status }: DiagramBlock): ClassName | null {
  if (!isEnabled) return "disabled";
  return status?.state ?? null;
}

/**
 * The text within quotes: letters, digits and spaces stand as they are, as do dots, dashes and underscores within a
 * word; anything else as Mermaid's `#code;`.
 */
function quote(text: string): string {
  const characters = [...text.replace(/\s+/g, " ").trim()];
  const kept =
    characters.length > MAX_TEXT_LENGTH ? [...characters.slice(0, MAX_TEXT_LENGTH - 1), "…"] : characters;
  const isLetter = (index: number) => /^[\p{L}\p{N}]$/u.test(kept[index] ?? "");
  return kept
    .map((character, index) => {
      const isWithinWord = /^[._-]$/.test(character) && isLetter(index - 1) && isLetter(index + 1);
      const isPlain = isWithinWord || /^[\p{L}\p{M}\p{N} …·,]$/u.test(character);
      return isPlain ? character : `#${codeOf(character)};`;
    })
    .join("");
}

/** Control characters and lone surrogates have no place in a text; they show as a replacement character. */
function codeOf(character: string): number {
  const code = character.codePointAt(0) ?? 0xfffd;
  return /^[\p{C}]$/u.test(character) && !/^\p{Cf}$/u.test(character) ? 0xfffd : code;
}
