import { z } from "zod";

/** Any id in a path, query or body; one of the wrong shape names nothing, so it is no error of the schema. */
export const Id = z.string();

const isFourDigitYear = (date: Date) => date.getUTCFullYear() >= 1 && date.getUTCFullYear() <= 9_999;

/** An instant in a request: ISO 8601 with an offset. */
export const InstantInput = z.iso
  .datetime({
    offset: true,
    error: "expected an ISO 8601 instant with an offset, such as 2026-11-22T09:00:00Z",
  })
  .transform((text) => new Date(text))
  .refine(isFourDigitYear, "must be in the years 0001 to 9999 of UTC");

/** An instant in an answer: UTC with milliseconds. */
export const Instant = z
  .date()
  .transform((date) => date.toISOString())
  .pipe(z.iso.datetime())
  .meta({ example: "2026-11-22T09:00:00.000Z" });

/** Version of a workflow: a positive integer that grows by one with every change. */
export const Version = z.int().min(1).max(2_147_483_647).meta({ example: 1 });

/** The version a write expects; over REST it is the `If-Match` header. */
export const ExpectedVersion = Version.optional().meta({
  description:
    "Refuse with version_mismatch unless the resource has this version. Over REST: the If-Match header.",
  example: 1,
});

/** Page size and cursors of every list. */
export const pageInput = {
  limit: z.int().min(1).max(100).default(50).meta({ description: "Rows on a page." }),
  after: z.string().max(200).optional().meta({ description: "Cursor: pagination.next of the page before." }),
  before: z.string().max(200).optional().meta({ description: "Cursor: pagination.prev of the page after." }),
};

/** A page of `row`. */
export const pageOf = <Row extends z.ZodType>(row: Row) =>
  z.object({
    data: z.array(row),
    pagination: z.object({
      next: z
        .string()
        .nullable()
        .meta({ description: "Send it as `after` to get the next page; null on the last." }),
      prev: z
        .string()
        .nullable()
        .meta({ description: "Send it as `before` to get the page before; null on the first." }),
    }),
  });

/** Output of an operation without an answer body. */
export const Nothing = z.void();
