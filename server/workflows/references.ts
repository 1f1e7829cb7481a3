import { excerpt } from "./excerpt.js";

/** Where a reference looks: the run's input, the document's variables, the organization's secrets, a block's output. */
export type ReferenceSource = "trigger" | "vars" | "secrets" | "block";

/** One `{{…}}` of a template. */
export interface Reference {
  readonly kind: "reference";
  readonly source: ReferenceSource;
  /** The variable, the secret, or the block's id or name; `trigger` where the source is the trigger. */
  readonly name: string;
  /** Steps into the value, outermost first; `[0]` gives a number, `.key` and `['key']` give a string. */
  readonly path: readonly (string | number)[];
  /** The reference as it was written, braces included. */
  readonly text: string;
}

/** Text that stands for itself. A `problem` says that it opens like a reference but cannot be read as one. */
export interface LiteralText {
  readonly kind: "text";
  readonly text: string;
  readonly problem: string | null;
}

export type TemplatePart = LiteralText | Reference;

/** The innermost pair of braces opens a reference, so that `{{{a.b}}}` is a reference inside single braces. */
const OPENING = /\{\{(?!\{)([^{}]*)(\}\})?/g;
const HEAD = /^[^.[\]]+/;
/** What a step may be called without quotes: a sign by itself, or one that computes, is meant as something else. */
const PLAIN_KEY = /^(?!.*(?:^|\s)[-:#@]+(?:\s|$))[\p{L}\p{M}\p{N}\s_$@:#-]+$/su;
const STEP = /^\s*(?:\.\s*([^.[\]]+)|\[\s*(\d{1,9})\s*\]|\[\s*'([^']+)'\s*\]|\[\s*"([^"]+)"\s*\])/;

/**
 * Cuts a text into literal text and references, in order; the parts' texts joined give the text back. Never
 * throws: what opens like a reference but is none stays literal text and carries its problem.
 *
 * Grammar: `{{head step…}}`, spaces around the parts ignored. The head reaches to the first `.` or `[`, so block
 * names may hold spaces; a step is `.key`, `[0]`, `['key']` or `["key"]`. A `.key` holds letters, digits, spaces and
 * `_ - $ @ : #`. `vars` and `secrets` take their first step as name.
 */
export function parseTemplate(text: string): readonly TemplatePart[] {
  if (!text.includes("{{")) return text === "" ? [] : [literal(text)];
  const parts: TemplatePart[] = [];
  let end = 0;
  for (const match of text.matchAll(OPENING)) {
    if (match.index > end) parts.push(literal(text.slice(end, match.index)));
    const [whole, inner = "", closing] = match;
    parts.push(
      closing === undefined
        ? literal(whole, `The reference that starts with "${excerpt(whole)}" is not closed; end it with }}.`)
        : parseReference(whole, inner),
    );
    end = match.index + whole.length;
  }
  if (end < text.length) parts.push(literal(text.slice(end)));
  return parts;
}

/** The reference that makes up the whole template, which then keeps its value's type; null for any other template. */
export function soleReference(parts: readonly TemplatePart[]): Reference | null {
  const [first] = parts;
  return parts.length === 1 && first?.kind === "reference" ? first : null;
}

function parseReference(text: string, inner: string): TemplatePart {
  const head = HEAD.exec(inner)?.[0] ?? "";
  const source = head.trim();
  if (source === "") {
    return literal(
      text,
      `The reference ${excerpt(text)} names nothing; write {{block_id.output}} or {{trigger.path}}.`,
    );
  }
  const steps = parseSteps(inner.slice(head.length));
  if (steps === null) {
    return literal(
      text,
      `The path of ${excerpt(text)} cannot be read; write steps as .key, [0] or ['key'], the latter for keys with other signs.`,
    );
  }
  if (source !== "vars" && source !== "secrets") {
    return {
      kind: "reference",
      source: source === "trigger" ? "trigger" : "block",
      name: source,
      path: steps,
      text,
    };
  }
  const [name, ...path] = steps;
  if (typeof name !== "string") {
    return literal(text, `The reference ${excerpt(text)} lacks a name; write {{${source}.NAME}}.`);
  }
  if (source === "secrets" && path.length > 0) {
    return literal(
      text,
      `The reference ${excerpt(text)} goes into a secret; a secret is one text: write {{secrets.NAME}}.`,
    );
  }
  return { kind: "reference", source, name, path, text };
}

/** Null when what is left of the path is not a step. */
function parseSteps(path: string): (string | number)[] | null {
  const steps: (string | number)[] = [];
  let rest = path.trimEnd();
  while (rest !== "") {
    const match = STEP.exec(rest);
    if (match === null) return null;
    const [whole, key, index, singleQuoted, doubleQuoted] = match;
    const step = index === undefined ? (singleQuoted ?? doubleQuoted ?? key?.trim() ?? "") : Number(index);
    if (step === "" || (key !== undefined && !PLAIN_KEY.test(key.trim()))) return null;
    steps.push(step);
    rest = rest.slice(whole.length);
  }
  return steps;
}

function literal(text: string, problem: string | null = null): LiteralText {
  return { kind: "text", text, problem };
}
