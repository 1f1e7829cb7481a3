import { randomUUID } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type PageRequest, type PageWindow, pageWindow, toPage } from "../../server/db/page.js";
import { AppError } from "../../server/errors/app-error.js";

interface Row {
  readonly id: string;
  readonly createdAt: Date;
}

const row = (milliseconds: number, id: string = randomUUID()): Row => ({
  id,
  createdAt: new Date(milliseconds),
});

/** Newest first, as the database sorts. */
function compare(a: Row, b: Row): number {
  return b.createdAt.getTime() - a.createdAt.getTime() || Number(a.id < b.id) - Number(a.id > b.id);
}

/** What the database answers for a window: the rows beyond its position, nearest first, one more than the page. */
function select(rows: readonly Row[], { position, isBackward, limit }: PageWindow): Row[] {
  const beyond = rows.filter((candidate) => {
    if (position === null) return true;
    const order = compare(candidate, { ...position, id: String(position.id) });
    return isBackward ? order < 0 : order > 0;
  });
  beyond.sort((a, b) => (isBackward ? compare(b, a) : compare(a, b)));
  return beyond.slice(0, limit + 1);
}

function page(rows: readonly Row[], request: PageRequest) {
  const window = pageWindow(request);
  return toPage(select(rows, window), window, ({ id }) => id);
}

describe("pages", () => {
  it("lead through every row once, forwards and back, also where many rows have the same instant", () => {
    const instants = fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 30 });
    fc.assert(
      fc.property(instants, fc.integer({ min: 1, max: 7 }), (milliseconds, limit) => {
        const rows = milliseconds.map((instant) => row(instant));
        const expected = [...rows].sort(compare).map(({ id }) => id);

        const forwards: string[][] = [];
        let current = page(rows, { limit });
        expect(current.pagination.prev).toBeNull();
        forwards.push(current.data);
        while (current.pagination.next !== null) {
          current = page(rows, { limit, after: current.pagination.next });
          forwards.push(current.data);
        }
        expect(forwards.flat()).toEqual(expected);

        const backwards = [current.data];
        while (current.pagination.prev !== null) {
          current = page(rows, { limit, before: current.pagination.prev });
          backwards.unshift(current.data);
        }
        expect(backwards).toEqual(forwards);
      }),
    );
  });

  it("stay where they are while newer rows come in", () => {
    const rows = [row(1), row(2), row(3)];
    const first = page(rows, { limit: 2 });
    const second = page([...rows, row(4)], { limit: 2, after: String(first.pagination.next) });
    expect(second.data).toEqual([rows[0]?.id]);
    expect(second.pagination.next).toBeNull();
  });

  it("of an empty list have no cursors", () => {
    expect(page([], { limit: 5 })).toEqual({ data: [], pagination: { next: null, prev: null } });
  });
});

describe("cursors", () => {
  const cursorOf = (text: string) => Buffer.from(text).toString("base64url");
  const id = "0198c5f2-7b1e-4a39-9d0e-3f5f6a1c2b4d";

  it("are read back to the position they were made of", () => {
    const window = pageWindow({ limit: 1, after: cursorOf(`1763802000123.${id}`) });
    expect(window).toEqual({
      limit: 1,
      isBackward: false,
      position: { createdAt: new Date(1_763_802_000_123), id },
    });
  });

  it.each([
    ["no base64url", "!!!"],
    ["empty", ""],
    ["padded base64", Buffer.from(`1.${id}`).toString("base64")],
    ["without an id", cursorOf("1763802000123.")],
    ["without an instant", cursorOf(`.${id}`)],
    ["of another list", cursorOf("1763802000123.sch_daily")],
    ["with an instant that no date holds", cursorOf(`999999999999999.${id}`)],
    ["with SQL in it", cursorOf(`1.${id}' or 1=1 --`)],
    ["with a NUL", cursorOf(`1.${id}\u0000`)],
    ["of any other text", cursorOf("null")],
  ])("that are not of this list are invalid_body that names the field: %s", (_, cursor) => {
    for (const field of ["after", "before"] as const) {
      const read = () => pageWindow({ limit: 1, [field]: cursor });
      expect(read).toThrow(AppError);
      expect(read).toThrow(
        expect.objectContaining({
          errorCode: "invalid_body",
          details: { issues: [expect.objectContaining({ path: [field], code: "invalid_cursor" })] },
        }),
      );
    }
  });

  it("cannot be sent for both directions at once", () => {
    const cursor = cursorOf(`1.${id}`);
    expect(() => pageWindow({ limit: 1, after: cursor, before: cursor })).toThrow(
      /before: send after or before/,
    );
  });
});
