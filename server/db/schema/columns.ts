import { sql } from "drizzle-orm";
import { customType, timestamp } from "drizzle-orm/pg-core";

/**
 * A `jsonb` column of shape `T`. The value travels as text and is cast by the server, so that it does not depend on
 * the driver's serializers, which the engine (same pool) needs unchanged; any JSON value is kept as it is.
 */
export const json = <T>(name: string) =>
  customType<{ data: T; driverData: unknown }>({
    dataType: () => "jsonb",
    toDriver: (value) => sql`${JSON.stringify(value)}::text::jsonb`,
    fromDriver: (value) => value as T,
  })(name);

/** JSON `null` for a `json` column that is not null: Drizzle writes a plain null as SQL NULL. */
export const jsonNull = sql`'null'::jsonb`;

/** An instant, stored with time zone and milliseconds, read as a `Date`. */
export const instant = (name: string) => timestamp(name, { withTimezone: true, mode: "date", precision: 3 });
