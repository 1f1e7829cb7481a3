/** A private character, so that no variable that an author writes has the same name. */
const MARK = "\u{E000}";

/**
 * Name of the variable that stands for the reference at `index`; with its `$` never longer than the shortest
 * reference, so that positions in errors are those of the text as it was written.
 */
export function operandName(index: number): string {
  return MARK + index.toString(36);
}

/** Whether a variable stands for a reference. */
export function isOperandName(name: string): boolean {
  return name.startsWith(MARK);
}

/** A message with the references as they were written in place of their variables. */
export function withOperands(message: string, labels: readonly string[]): string {
  return message.replace(
    new RegExp(`\\$?${MARK}([0-9a-z]+)`, "g"),
    (name, index: string) => labels[Number.parseInt(index, 36)] ?? name,
  );
}
