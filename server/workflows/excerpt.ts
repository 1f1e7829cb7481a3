/** Most names that a message repeats. */
const MAX_NAMES = 20;

/** The text, cut where it is too long to be repeated in a message. */
export function excerpt(text: string, maxLength = 80): string {
  return text.length > maxLength ? `${text.slice(0, maxLength)}…` : text;
}

/** The names in quotes with commas between, each cut; of more than 20 the first, and how many there are besides. */
export function excerptNames(names: readonly string[]): string {
  const shown = names.slice(0, MAX_NAMES).map((name) => `"${excerpt(name)}"`);
  const others = names.length - shown.length;
  return `${shown.join(", ")}${others > 0 ? ` and ${others} more` : ""}`;
}
