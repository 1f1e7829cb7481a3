import { distance } from "fastest-levenshtein";
import { excerpt } from "./excerpt.js";

/** Most candidates that are looked at; a document may have any number of variables. */
const MAX_CANDIDATES = 1_000;
/** Characters by which names are told apart: as many as the library compares at once. */
const COMPARED_LENGTH = 32;

/**
 * At most `count` of the first 1,000 candidates, nearest first: those that contain the word or are contained in it,
 * then by the edit distance of their beginnings. Equal ones keep their order. Takes well below a millisecond.
 */
export function nearestNames(word: string, candidates: readonly string[], count = 3): string[] {
  const wanted = excerpt(word).toLowerCase();
  let nearest: { readonly name: string; readonly rank: number }[] = [];
  for (const name of candidates.slice(0, MAX_CANDIDATES)) {
    const farthest = nearest.length < count ? Number.POSITIVE_INFINITY : (nearest.at(-1)?.rank ?? 0);
    const rank = rankOf(wanted, excerpt(name).toLowerCase(), farthest);
    if (rank >= farthest) continue;
    nearest = [...nearest, { name, rank }].sort((a, b) => a.rank - b.rank).slice(0, count);
  }
  return nearest.map(({ name }) => name);
}

/** Containment ranks below every edit distance; a rank of `farthest` or more is not worked out. */
function rankOf(wanted: string, name: string, farthest: number): number {
  const leastDistance = Math.abs(name.length - wanted.length);
  const isLong = wanted.length > 2 && name.length > 2;
  if (isLong && (name.includes(wanted) || wanted.includes(name))) return -1 / (1 + leastDistance);
  if (leastDistance >= farthest) return leastDistance;
  return Math.max(leastDistance, distance(wanted.slice(0, COMPARED_LENGTH), name.slice(0, COMPARED_LENGTH)));
}
