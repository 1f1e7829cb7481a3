import { sql } from "drizzle-orm";
import { customType, timestamp } from "drizzle-orm/pg-core";

/**
 * A `json` column of shape `T`: nothing is searched inside, so keys keep their order. The value travels as text and is
 * cast by the server; so it does not depend on the driver's serializers, which the engine (same pool) needs unchanged.
 */
export const json = <T>(name: string) =>
  customType<{ data: T; driverData: unknown }>({
    dataType: () => "json",
    toDriver: (value) => sql`${JSON.stringify(value)}::text::json`,
    fromDriver: (value) => value as T,
  })(name);

/** JSON `null` for a `json` column that is not null: Drizzle writes a plain null as SQL NULL. */
export const jsonNull = sql`'null'::json`;

/** An instant, stored with time zone and milliseconds, read as a `Date`. */
export const instant = (name: string) => timestamp(name, { withTimezone: true, mode: "date", precision: 3 });
