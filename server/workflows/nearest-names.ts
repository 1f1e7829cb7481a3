import { distance } from "fastest-levenshtein";

/**
 * At most `count` of the candidates, nearest first: those that contain the word or are contained in it, then by
 * edit distance. Equal ones keep their order.
 */
export function nearestNames(word: string, candidates: readonly string[], count = 3): string[] {
  const wanted = excerpt(word).toLowerCase();
  let nearest: { readonly name: string; readonly rank: number }[] = [];
  for (const name of candidates) {
    const farthest = nearest.length < count ? Number.POSITIVE_INFINITY : (nearest.at(-1)?.rank ?? 0);
    const rank = rankOf(wanted, name.toLowerCase(), farthest);
    if (rank >= farthest) continue;
    nearest = [...nearest, { name, rank }].sort((a, b) => a.rank - b.rank).slice(0, count);
  }
  return nearest.map(({ name }) => name);
}

/** The text, cut where it is too long to be repeated in a message. */
export function excerpt(text: string, maxLength = 80): string {
  return text.length > maxLength ? `${text.slice(0, maxLength)}…` : text;
}

/** Containment ranks below every edit distance; a rank of `farthest` or more is not worked out. */
function rankOf(wanted: string, name: string, farthest: number): number {
  const leastDistance = Math.abs(name.length - wanted.length);
  const isLong = wanted.length > 2 && name.length > 2;
  if (isLong && (name.includes(wanted) || wanted.includes(name))) return -1 / (1 + leastDistance);
  return leastDistance >= farthest ? leastDistance : distance(wanted, name);
}
