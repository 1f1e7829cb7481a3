import path from "node:path";
import { describe, expect, it } from "vitest";
import { type Import, readSources, type SourceFile } from "../support/imports.js";

const sources = readSources(path.resolve(import.meta.dirname, "../.."), ["server", "router", "openapi"]);
const byPath = new Map(sources.map((source) => [source.path, source]));

/** The rooms by what their paths start with; the first that fits is a file's room. */
const roomPrefixes = {
  main: "server/main.ts",
  app: "server/app.ts",
  services: "server/services.ts",
  config: "server/config.ts",
  errors: "server/errors/",
  http: "server/http/",
  db: "server/db/",
  auth: "server/auth/",
  connectors: "server/connectors/",
  engine: "server/engine/",
  workflows: "server/workflows/",
  expressions: "server/expressions/",
  processes: "server/processes/",
  diagrams: "server/diagrams/",
  runs: "server/runs/",
  schedules: "server/schedules/",
  secrets: "server/secrets/",
  signals: "server/signals/",
  approvals: "server/approvals/",
  webhooks: "server/webhooks/",
  client: "router/client.ts",
  router: "router/",
  openapi: "openapi/",
} as const;
type Room = keyof typeof roomPrefixes;

/**
 * The rooms that a room's code may use, beside itself and pure files. Types may come from anywhere: they are gone
 * when the code runs. `x.service` is the service of another noun, the one way into it.
 */
const direction: Record<Room, readonly (Room | `${Room}.service`)[]> = {
  main: ["app", "services", "config", "router", "auth", "db"],
  app: ["openapi", "http"],
  services: [
    "auth",
    "connectors",
    "db",
    "engine",
    "diagrams",
    "expressions",
    "http",
    "runs",
    "schedules",
    "secrets",
    "signals",
    "approvals",
    "webhooks",
    "workflows",
  ],
  client: [],
  openapi: ["router", "http", "errors"],
  router: [
    "connectors.service",
    "runs.service",
    "schedules.service",
    "secrets.service",
    "signals.service",
    "approvals.service",
    "workflows.service",
    "errors",
  ],
  http: ["errors"],
  auth: ["db", "errors"],
  connectors: ["errors", "processes"],
  workflows: ["db", "errors", "connectors.service"],
  runs: ["db", "errors", "engine", "connectors.service", "secrets.service", "workflows.service"],
  schedules: ["db", "errors", "runs.service", "workflows.service"],
  secrets: ["db", "errors"],
  signals: ["db", "errors"],
  approvals: ["db", "errors"],
  webhooks: ["db", "errors", "runs.service"],
  engine: ["db", "errors"],
  expressions: ["processes"],
  processes: [],
  diagrams: [],
  db: ["errors"],
  errors: [],
  config: [],
};

/**
 * Files that decide and do nothing else, so that every room may use them: what they import leads to types, Zod, other
 * pure files and libraries that compute, and they ask no clock, chance or process.
 */
const pure = [
  /^server\/approvals\/approval-(?:page|rules|view)\.ts$/,
  /^server\/auth\/(?:auth-openapi.*|origin|permissions|principal)\.ts$/,
  /^server\/config\.ts$/,
  /^server\/connectors\/(?:block-error|(?:define|describe)-connector)\.ts$/,
  /^server\/db\/uuid\.ts$/,
  /^server\/engine\/(?:\w+\/)?(?:attempt-kinds|json-output|moot-blocks|plan|resolve-values|retry-policy|run-error|run-pointer|step-budget|step-names|taken-connections)\.ts$/,
  /^server\/errors\/(?:describe-cause|describe-errors|error-table)\.ts$/,
  /^server\/diagrams\/(?!service\.)/,
  /^server\/expressions\/(?:find-reads|operands|parse-expression|select-input|standard-functions)\.ts$/,
  /^server\/http\/body-limit\.ts$/,
  /^server\/runs\/(?:block-states|run-events|run-kinds)\.ts$/,
  /^server\/secrets\/(?:find-secrets|scrub|secret-forms|secret-name)\.ts$/,
  /^server\/schedules\/(?:calendar|cron|due-instants|overlap|policies|wall-clock|wall-times)\.ts$/,
  /^server\/webhooks\/(?:check-references|credential-names|delivery-request|show-webhook|verdicts|verification)\.ts$/,
  /^server\/workflows\/(?!service\.|(?:version-)?store\.)/,
];
const computing = ["zod", "cron-parser", "fastest-levenshtein", "jsonata", "node:util"];
const ASKS_THE_WORLD =
  /\bDate\.now\(|new Date\(\)|Math\.random|\bprocess\.|\bperformance\.|\bsetTimeout|\bfetch\(/;

/** Where code of a package may be used, and where else its types may be named. */
const doorways: Record<string, { readonly code?: RegExp; readonly types?: RegExp }> = {
  "better-auth": { code: /^server\/auth\// },
  "@better-auth/api-key": { code: /^server\/auth\// },
  "rate-limiter-flexible": { code: /^server\/auth\/rate-limit\.ts$/ },
  "drizzle-orm": { code: /^server\/(?:db\/|\w+\/(?:\w+-)?store\.ts$)/ },
  postgres: {
    code: /^server\/(?:db\/|engine\/worker\/session\.ts$|connectors\/builtin\/postgres-(?:process|session)\.ts$)/,
  },
  nodemailer: { code: /^server\/connectors\/builtin\// },
  openworkflow: { code: /^server\/engine\// },
  "cron-parser": { code: /^server\/schedules\/wall-times\.ts$/ },
  "trpc-to-openapi": { code: /^openapi\//, types: /^router\/trpc\.ts$/ },
  "zod-openapi": { types: /^(?:openapi\/|server\/auth\/auth-openapi)/ },
  "@trpc/server": {
    code: /^(?:router\/trpc|openapi\/(?:rest-body|rest-call)|server\/errors\/[\w-]+|server\/http\/trpc-door)\.ts$/,
    types: /^(?:openapi\/|server\/app\.ts$)/,
  },
  "@trpc/client": { code: /^router\/client\.ts$/ },
  express: {
    code: /^(?:server\/app|server\/auth\/auth-routes|server\/http\/raw-body|openapi\/swagger)\.ts$/,
    types: /^(?:openapi|server\/http|server\/auth|server\/services\.ts$)/,
  },
  jsonata: { code: /^server\/expressions\// },
  helmet: { code: /^server\/http\/security-headers\.ts$/ },
  "prom-client": { code: /^server\/http\/(?:firing-)?metrics\.ts$/ },
  pino: { code: /^server\/main\.ts$/, types: /^server\// },
  undici: { code: /^server\/connectors\/builtin\// },
  "ipaddr.js": { code: /^server\/(?:connectors\/builtin\/|auth\/rate-limit\.ts$)/ },
  "lru-cache": { code: /^server\/(?:runs|schedules|webhooks|expressions)\// },
  "fastest-levenshtein": { code: /^server\/workflows\/nearest-names\.ts$/ },
  zod: { code: /^/ },
};

/** Imports against the rules above, each with its reason; one that is gone must leave the list. */
const exceptions: Readonly<Record<string, string>> = {
  "server/db/migrate.ts -> server/engine/database/install.ts":
    "Migrating brings the engine's own schema along.",
};

const isPure = (file: string) => pure.some((pattern) => pattern.test(file));
const codeImports = (source: SourceFile) => source.imports.filter(({ isType }) => !isType);

function roomOf(file: string): Room {
  const found = Object.entries(roomPrefixes).find(([, prefix]) => file.startsWith(prefix));
  if (found === undefined) throw new Error(`${file} is in no room; give its folder a row.`);
  return found[0] as Room;
}

function isAlongDirection(source: SourceFile, { target, isPackage }: Import): boolean {
  const [from, to] = [roomOf(source.path), isPackage ? null : roomOf(target)];
  if (to === null || from === to || isPure(target)) return true;
  const allowed = direction[from];
  return allowed.includes(to) || (target.endsWith("/service.ts") && allowed.includes(`${to}.service`));
}

/** Name of the package of a specifier; null for Node's own modules. */
function packageOf(specifier: string): string | null {
  if (specifier.startsWith("node:")) return null;
  const [scope = "", name] = specifier.split("/");
  return scope.startsWith("@") ? `${scope}/${name}` : scope;
}

function againstDirection(): string[] {
  return sources.flatMap((source) =>
    codeImports(source)
      .filter((found) => !isAlongDirection(source, found))
      .map(({ target }) => `${source.path} -> ${target}`),
  );
}

describe("imports", () => {
  it("read every file of the tree", () => {
    expect(sources.length).toBeGreaterThan(80);
    expect(byPath.get("server/app.ts")?.imports).toContainEqual({
      target: "server/services.ts",
      isPackage: false,
      isType: true,
    });
    for (const { imports } of sources) {
      for (const { target, isPackage } of imports)
        if (!isPackage) expect([...byPath.keys()]).toContain(target);
    }
  });

  it("go along the direction of the rooms, but for the exceptions with a reason", () => {
    expect(againstDirection().sort()).toEqual(Object.keys(exceptions).sort());
  });

  it("reach a store from its own room only", () => {
    for (const source of sources) {
      for (const { target } of codeImports(source)) {
        if (!target.endsWith("/store.ts")) continue;
        expect(path.posix.dirname(target), source.path).toBe(path.posix.dirname(source.path));
      }
    }
  });

  it("of packages stay in the doorway of the package", () => {
    const strays = sources.flatMap((source) =>
      source.imports.flatMap(({ target, isPackage, isType }) => {
        const name = isPackage ? packageOf(target) : null;
        if (name === null) return [];
        const { code, types } = doorways[name] ?? {};
        const isAllowed = code?.test(source.path) === true || (isType && types?.test(source.path) === true);
        return isAllowed ? [] : `${source.path} -> ${target}`;
      }),
    );
    expect(strays).toEqual([]);
  });

  it("make no circle", () => {
    const done = new Set<string>();
    const visit = (file: string, way: readonly string[]): void => {
      expect(way, "a circle").not.toContain(file);
      if (done.has(file)) return;
      const source = byPath.get(file);
      for (const { target } of source === undefined ? [] : codeImports(source)) visit(target, [...way, file]);
      done.add(file);
    };
    for (const { path: file } of sources) visit(file, []);
  });
});

describe("pure files", () => {
  const files = sources.filter((source) => isPure(source.path));

  it.each(pure)("like %s exist", (pattern) => {
    expect(files.filter((source) => pattern.test(source.path))).not.toEqual([]);
  });

  it("use types, Zod, each other and libraries that compute", () => {
    const impure = files.flatMap((source) =>
      codeImports(source)
        .filter(({ target }) => !isPure(target) && !computing.includes(target))
        .map(({ target }) => `${source.path} -> ${target}`),
    );
    expect(impure).toEqual([]);
  });

  it("ask neither clock nor chance nor process", () => {
    const asking = files.filter(({ code }) => ASKS_THE_WORLD.test(code)).map((source) => source.path);
    expect(asking).toEqual([]);
  });
});

describe("single entrances", () => {
  it("the environment is read in server/main.ts, which hands it to the settings", () => {
    const readers = sources
      .filter(({ code }) => /\bprocess\s*\.\s*env\b/.test(code))
      .map((source) => source.path);
    expect(readers).toEqual(["server/main.ts"]);
  });

  it("the typed client brings nothing of the server with it", () => {
    const client = byPath.get("router/client.ts");
    expect(client === undefined ? null : codeImports(client).map(({ target }) => target)).toEqual([
      "@trpc/client",
    ]);
  });

  it("nothing imports what starts by itself", () => {
    const importers = sources.filter(({ imports }) =>
      imports.some(({ target }) => ["server/main.ts", "openapi/emit.ts"].includes(target)),
    );
    expect(importers.map((source) => source.path)).toEqual([]);
  });
});
