/** How large a text is written. */
export interface Font {
  /** In pixels. */
  readonly size: number;
  readonly isBold?: boolean;
}

/** As much of a text as fits into a width, in pixels; what is cut off ends in an ellipsis. */
export function fitText(text: string, width: number, font: Font): string {
  const characters = [...toPlainText(text)];
  let used = 0;
  for (const [index, character] of characters.entries()) {
    used += widthOf(character, font);
    if (used > width)
      return `${characters
        .slice(0, Math.max(0, index - 1))
        .join("")
        .trimEnd()}…`;
  }
  return characters.join("");
}

/** About how wide a text is, in pixels. */
export function measureText(text: string, font: Font): number {
  return [...text].reduce((sum, character) => sum + widthOf(character, font), 0);
}

const NARROW = new Set("iljtfrI.,:;'|!()[]{} ");
const BROAD = new Set("MWmw@%");
const WIDE = /[\p{Emoji_Presentation}\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}]/u;

/** On the safe side for the usual sans-serif fonts, of which the wide ones take about a tenth more. */
function widthOf(character: string, { size, isBold = false }: Font): number {
  return shareOf(character) * size * (isBold ? 1.1 : 1);
}

function shareOf(character: string): number {
  if (NARROW.has(character)) return 0.39;
  if (BROAD.has(character)) return 0.95;
  if (character >= "A" && character <= "Z") return 0.74;
  if (character < "\u0080") return 0.62;
  return WIDE.test(character) ? 1.05 : 0.68;
}

/** One line without what XML does not know: control characters, lone surrogates and noncharacters. */
export function toPlainText(text: string): string {
  return text
    .replace(/\s+/g, " ")
    .replace(/[\p{Cc}\p{Cs}\p{Cn}]/gu, "\ufffd")
    .trim();
}

/** A text as XML holds it, in elements and in quoted attributes. */
export function escapeXml(text: string): string {
  return toPlainText(text)
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;")
    .replaceAll("'", "&#39;");
}

/** Colours: a line's and a soft fill by state, for light pages and for dark ones. */
const states = {
  none: ["#6e7781", "#f6f8fa", "#8b949e", "#21262d"],
  pending: ["#8c959f", "#f6f8fa", "#6e7681", "#1c2128"],
  running: ["#0969da", "#ddf4ff", "#58a6ff", "#0c2d6b"],
  waiting: ["#9a6700", "#fff8c5", "#d29922", "#3b2300"],
  retrying: ["#bc4c00", "#fff1e5", "#f0883e", "#4a1e02"],
  completed: ["#1a7f37", "#dafbe1", "#3fb950", "#0f2d1a"],
  failed: ["#cf222e", "#ffebe9", "#f85149", "#490f0f"],
  skipped: ["#8c959f", "#ffffff", "#6e7681", "#161b22"],
  canceled: ["#57606a", "#eaeef2", "#8b949e", "#262c33"],
} as const;

const light = Object.entries(states).map(([name, [line, fill]]) => `.${name}{--line:${line};--soft:${fill}}`);
const dark = Object.entries(states).map(
  ([name, [, , line, fill]]) => `.${name}{--line:${line};--soft:${fill}}`,
);

/** The style of every diagram; follows the light or dark scheme of whoever looks at it. */
export const svgStyle = [
  "svg{--page:#ffffff;--ink:#1f2328;--faint:#59636e;--card:#ffffff;--edge:#818b98;--frame:#f6f8fa;color-scheme:light dark}",
  ...light,
  `@media (prefers-color-scheme:dark){svg{--page:#0d1117;--ink:#e6edf3;--faint:#9198a1;--card:#161b22;--edge:#6e7681;--frame:#12171e}${dark.join("")}}`,
  "text{font-family:ui-sans-serif,system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif;fill:var(--ink)}",
  ".page{fill:var(--page)}",
  ".heading{font-size:16px;font-weight:600}",
  ".title{font-size:14px;font-weight:600}",
  ".about,.label,.kind{font-size:11.5px;fill:var(--faint)}",
  ".state{font-size:11.5px;font-weight:600;fill:var(--line)}",
  ".card{fill:var(--card);stroke:var(--line);stroke-width:1.5}",
  ".tint{fill:var(--soft)}",
  ".mark{fill:none;stroke:var(--line);stroke-width:1.6;stroke-linecap:round;stroke-linejoin:round}",
  ".frame{fill:var(--frame);stroke:var(--edge);stroke-width:1;stroke-dasharray:6 4}",
  ".edge{fill:none;stroke:var(--edge);stroke-width:1.5}",
  ".tip{fill:var(--edge)}",
  ".halo{fill:var(--page);stroke:var(--edge);stroke-width:.75}",
  ".idle .title,.idle .about{fill:var(--faint)}",
  ".idle .card,.edge.idle{stroke-dasharray:5 4}",
].join("\n");
