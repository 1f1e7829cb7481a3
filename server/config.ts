import { z } from "zod";

const flag = z.enum(["true", "false"]).transform((value) => value === "true");
const wholeNumber = (min: number, max: number) =>
  z.string().regex(/^\d+$/, "must be a whole number").transform(Number).pipe(z.int().min(min).max(max));

/** A key as `id:base64`; the id is what rows carry, the key is 32 bytes. */
const secretKey = z.string().transform((text, context) => {
  const [, id, key] = /^([A-Za-z0-9_-]{1,40}):([A-Za-z0-9+/]{43}=)$/.exec(text) ?? [];
  if (id !== undefined && key !== undefined) return { id, key };
  context.addIssue({
    code: "custom",
    message: "each key must be id:base64 of 32 bytes, such as those of `openssl rand -base64 32`",
  });
  return z.NEVER;
});

/** Every setting, by its environment variable. An empty variable counts as absent. */
const Environment = z.object({
  PORT: wholeNumber(0, 65_535).default(3000),
  HOST: z.string().default("127.0.0.1"),
  BASE_URL: z.url({ protocol: /^https?$/ }).optional(),
  DATABASE_URL: z.url({ protocol: /^postgres(ql)?$/ }).optional(),
  DATA_DIR: z.string().default("./data"),
  AUTH_SECRET: z.string().min(32, "must have at least 32 characters").optional(),
  TRUSTED_ORIGINS: z
    .string()
    .transform((value) => value.split(",").map((origin) => origin.trim()))
    .pipe(z.array(z.url({ protocol: /^https?$/ })))
    .default([]),
  AUTH_CONCEAL_ACCOUNTS: flag.default(false),
  RATE_LIMIT_PER_MINUTE: wholeNumber(1, 10_000_000).default(600),
  AUTH_RATE_LIMIT_PER_MINUTE: wholeNumber(1, 10_000_000).default(120),
  TRUST_PROXY: wholeNumber(0, 10).default(0),
  ROLE: z.enum(["all", "api", "worker", "scheduler"]).default("all"),
  WORKER_CONCURRENCY: wholeNumber(1, 1_000).default(50),
  DATABASE_POOL_SIZE: wholeNumber(2, 200).default(10),
  CONNECTORS: z
    .string()
    .transform((value) =>
      value
        .split(",")
        .map((path) => path.trim())
        .filter((path) => path !== ""),
    )
    .default([]),
  SECRETS_KEYS: z
    .string()
    .transform((value) => value.split(",").map((key) => key.trim()))
    .pipe(z.array(secretKey))
    .refine(
      (keys) => new Set(keys.map(({ id }) => id)).size === keys.length,
      "two keys have the same id; give each its own",
    )
    .default([]),
  SLACK_API_URL: z
    .url({ protocol: /^https?$/ })
    .transform((url) => url.replace(/\/*$/, "/"))
    .default("https://slack.com/api/"),
  HTTP_ALLOW_PRIVATE: flag.default(false),
  SHUTDOWN_GRACE_MS: wholeNumber(0, 600_000).default(20_000),
  VERSION_LABEL: z.string().max(100).default("dev"),
  LOG_LEVEL: z.enum(["trace", "debug", "info", "warn", "error", "fatal", "silent"]).default("info"),
});

/** Settings of one process, frozen; camelCase of the environment variables. */
export interface Config {
  /** 0 lets the system choose. */
  readonly port: number;
  readonly host: string;
  /** Public origin without a trailing slash; absent: `http://localhost:{port}`. */
  readonly baseUrl: string | null;
  /** Absent: an embedded PostgreSQL under `dataDir`. */
  readonly databaseUrl: string | null;
  readonly dataDir: string;
  /** Absent: made once and kept in `dataDir`. */
  readonly authSecret: string | null;
  readonly trustedOrigins: readonly string[];
  readonly authConcealAccounts: boolean;
  /** Requests per minute of one (organization, principal). */
  readonly rateLimitPerMinute: number;
  /** Sign-in and sign-up requests per minute of one address. */
  readonly authRateLimitPerMinute: number;
  /** Proxies in front whose X-Forwarded-For is believed. */
  readonly trustProxy: number;
  readonly role: "all" | "api" | "worker" | "scheduler";
  readonly workerConcurrency: number;
  /** Most connections of each pool. */
  readonly databasePoolSize: number;
  readonly connectorModules: readonly string[];
  /** Keys of the organizations' secrets, Base64; the first encrypts. Empty: one is derived from the auth secret. */
  readonly secretsKeys: readonly { readonly id: string; readonly key: string }[];
  /** Where the `slack` block calls, with a slash at the end. */
  readonly slackApiUrl: string;
  readonly httpAllowPrivate: boolean;
  /** Time running steps get to finish on shutdown, in milliseconds. */
  readonly shutdownGraceMs: number;
  readonly versionLabel: string;
  readonly logLevel: "trace" | "debug" | "info" | "warn" | "error" | "fatal" | "silent";
}

/** A setting that cannot be used; `message` is one sentence for the person who started the server. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

/**
 * Reads and checks the settings.
 * @throws ConfigError naming the first bad variable and what it must be.
 */
export function readConfig(environment: NodeJS.ProcessEnv): Config {
  const present = Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== ""));
  const parsed = Environment.safeParse(present);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new ConfigError(`Setting ${String(issue?.path[0])} is not usable: ${issue?.message ?? "unknown"}.`);
  }
  const values = parsed.data;
  if (values.DATABASE_URL !== undefined && values.AUTH_SECRET === undefined) {
    throw new ConfigError(
      "Setting AUTH_SECRET is missing: with DATABASE_URL it must be set, 32 characters or more.",
    );
  }
  return Object.freeze({
    port: values.PORT,
    host: values.HOST,
    baseUrl: values.BASE_URL?.replace(/\/+$/, "") ?? null,
    databaseUrl: values.DATABASE_URL ?? null,
    dataDir: values.DATA_DIR,
    authSecret: values.AUTH_SECRET ?? null,
    trustedOrigins: values.TRUSTED_ORIGINS,
    authConcealAccounts: values.AUTH_CONCEAL_ACCOUNTS,
    rateLimitPerMinute: values.RATE_LIMIT_PER_MINUTE,
    authRateLimitPerMinute: values.AUTH_RATE_LIMIT_PER_MINUTE,
    trustProxy: values.TRUST_PROXY,
    role: values.ROLE,
    workerConcurrency: values.WORKER_CONCURRENCY,
    databasePoolSize: values.DATABASE_POOL_SIZE,
    connectorModules: values.CONNECTORS,
    secretsKeys: values.SECRETS_KEYS,
    slackApiUrl: values.SLACK_API_URL,
    httpAllowPrivate: values.HTTP_ALLOW_PRIVATE,
    shutdownGraceMs: values.SHUTDOWN_GRACE_MS,
    versionLabel: values.VERSION_LABEL,
    logLevel: values.LOG_LEVEL,
  });
}
