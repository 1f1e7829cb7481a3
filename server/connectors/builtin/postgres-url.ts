import { BlockError } from "../define-connector.js";

/** Where a database is and who connects. */
export interface PostgresTarget {
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly username: string;
  readonly password: string;
  /** As the driver takes it. */
  readonly ssl: false | "prefer" | "require" | { readonly servername: string };
}

/**
 * Reads a connection URL; of its query only `sslmode` counts. Messages name the part, never its value.
 * @throws BlockError `postgres_invalid_url`.
 */
export function parsePostgresUrl(text: string): PostgresTarget {
  const url = new URL(text);
  if (url.hostname === "") throw invalidUrl("names no host");
  if (url.username === "") throw invalidUrl("names no user");
  const database = decode(url.pathname.slice(1), "database");
  if (database === "") throw invalidUrl("names no database");
  return {
    host: decode(url.hostname, "host"),
    port: url.port === "" ? 5432 : Number(url.port),
    database,
    username: decode(url.username, "user"),
    password: decode(url.password, "password"),
    ssl: sslOf(url),
  };
}

function sslOf(url: URL): PostgresTarget["ssl"] {
  switch (url.searchParams.get("sslmode") ?? "prefer") {
    case "disable":
      return false;
    case "allow":
    case "prefer":
      return "prefer";
    case "require":
      return "require";
    case "verify-ca":
    case "verify-full":
      return { servername: url.hostname };
    default:
      throw invalidUrl("has an unknown sslmode; it may be disable, prefer, require or verify-full");
  }
}

function decode(part: string, name: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw invalidUrl(`has a ${name} that is not URL-encoded`);
  }
}

function invalidUrl(problem: string): BlockError {
  return new BlockError(
    "postgres_invalid_url",
    `connectionUrl: the address ${problem}; write postgres://user:password@host:5432/database.`,
  );
}
