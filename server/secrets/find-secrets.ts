import { MIN_LENGTH, type SecretForm } from "./secret-forms.js";

/** Stands where a secret was. */
export const REDACTED = "[secret]";

/**
 * Characters by which a form of a secret is looked for: where they stand, the whole form is made and compared. So a
 * secret costs little until it shows, however long it is and however much longer a form makes it.
 */
const HEAD_LENGTH = 16;
/** Characters of a secret that surely give a head, the last few aside, which an encoding may join with what follows. */
const BEGINNING_LENGTH = HEAD_LENGTH + 8;

/** How much longer a search may take, in characters that are looked at. */
export interface Steps {
  left: number;
}

/** A tree of heads, a character to each level. */
interface Node {
  readonly next: Map<number, Node>;
  /** Whose heads end here. */
  readonly forms: SecretForm[];
  /** The forms themselves, the longest first; null until the head is met. */
  wholes: readonly string[] | null;
}

/** Texts that are looked for together, without regard to case. */
export class WrittenSecrets {
  readonly #root = emptyNode();

  constructor(forms: readonly SecretForm[]) {
    for (const form of forms) {
      const head = fold(form.encode(beginningOf(form.secret))).slice(0, HEAD_LENGTH);
      if (head.length < MIN_LENGTH) continue;
      let node = this.#root;
      for (let index = 0; index < head.length; index += 1) {
        const next = node.next.get(head.charCodeAt(index)) ?? emptyNode();
        node.next.set(head.charCodeAt(index), next);
        node = next;
      }
      node.forms.push(form);
    }
  }

  /** The text with a mark in place of each match, or of several that overlap; only the mark once no steps are left. */
  redact(text: string, steps: Steps): string {
    const folded = fold(text);
    let shown = "";
    let end = 0;
    for (let start = 0; start <= folded.length - MIN_LENGTH; start += 1) {
      const length = this.#matchAt(start, folded, steps);
      if (steps.left < 0) {
        // The texts beside it do not pay for it.
        steps.left = 0;
        return REDACTED;
      }
      if (length === 0) continue;
      if (start >= end) shown += text.slice(end, start) + REDACTED;
      end = Math.max(end, start + length);
    }
    return shown === "" ? text : shown + text.slice(end);
  }

  /** Length of the longest form that starts there; 0 when none does. */
  #matchAt(start: number, folded: string, steps: Steps): number {
    let longest = 0;
    let node: Node | undefined = this.#root;
    for (let index = start; node !== undefined; index += 1) {
      steps.left -= 1;
      if (node.forms.length > 0) {
        node.wholes ??= wholesOf(node.forms);
        const found = node.wholes.find((whole) => isAt(start, whole, folded, steps));
        longest = Math.max(longest, found?.length ?? 0);
      }
      node = node.next.get(folded.charCodeAt(index));
    }
    return longest;
  }
}

function emptyNode(): Node {
  return { next: new Map(), forms: [], wholes: null };
}

function wholesOf(forms: readonly SecretForm[]): string[] {
  const wholes = new Set(forms.map(({ secret, encode }) => fold(encode(secret))));
  return [...wholes].sort((one, other) => other.length - one.length);
}

/** Compares from the end: what begins alike, such as two keys of the same kind, seldom ends so too. */
function isAt(start: number, whole: string, folded: string, steps: Steps): boolean {
  if (start + whole.length > folded.length) return false;
  let index = whole.length - 1;
  while (index >= 0 && whole.charCodeAt(index) === folded.charCodeAt(start + index)) index -= 1;
  steps.left -= whole.length - index;
  return index < 0;
}

/** As much of a secret as its heads need, without half a character at the end. */
function beginningOf(secret: string): string {
  return secret.slice(0, BEGINNING_LENGTH).replace(/[\ud800-\udbff]$/, "");
}

/** The same in lower case, character by character: no text becomes longer or depends on what stands around it. */
function fold(text: string): string {
  return text.replaceAll("İ", "i").replace(/[Σς]/g, "σ").toLowerCase();
}
