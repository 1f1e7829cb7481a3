const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** Whether the text can be compared with a `uuid` column; an id of another shape names nothing. */
export function isUuid(text: string): boolean {
  return UUID.test(text);
}
