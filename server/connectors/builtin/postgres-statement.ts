/** What may stand before a statement, and what opens a comment that nests. */
const OUTSIDE = /--[^\r\n]*|\/\*|[^\s;]/g;
const INSIDE = /\/\*|\*\//g;

/** Whether a text holds more than spaces, semicolons and comments; the driver waits forever for the answer to less. */
export function holdsStatement(query: string): boolean {
  let depth = 0;
  let position = 0;
  while (true) {
    const pattern = depth === 0 ? OUTSIDE : INSIDE;
    pattern.lastIndex = position;
    const token = pattern.exec(query)?.[0];
    if (token === undefined) return depth > 0;
    position = pattern.lastIndex;
    if (token === "/*") depth += 1;
    else if (token === "*/") depth -= 1;
    else if (!token.startsWith("--")) return true;
  }
}
