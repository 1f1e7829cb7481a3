import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import type { oas31 } from "zod-openapi";
import { API_VERSION, buildDocument } from "../../openapi/document.js";
import { errorCodesOf } from "../../openapi/error-responses.js";
import { listOperations, REST_PREFIX } from "../../openapi/operations.js";
import { appRouter } from "../../router/index.js";
import { procedure, router } from "../../router/trpc.js";
import { transform } from "../../server/connectors/builtin/transform.js";
import { triggerWebhook } from "../../server/connectors/builtin/trigger-webhook.js";
import { createCatalogue } from "../../server/connectors/catalogue.js";
import { errorRow } from "../../server/errors/error-table.js";
import { applyEditOperations } from "../../server/workflows/apply-edit-operations.js";
import { summarizeEdit } from "../../server/workflows/edit-summary.js";
import { validateDocument } from "../../server/workflows/validate-document.js";
import { scratchRouter } from "./scratch-doors.js";

const run = promisify(execFile);
const document = buildDocument(appRouter);
const operations = listOperations(appRouter);
type Method = "get" | "put" | "post" | "delete" | "patch";

function operationAt(path: string, method: string, from = document): oas31.OperationObject {
  const found = from.paths?.[path]?.[method.toLowerCase() as Method];
  if (found === undefined) throw new Error(`${method} ${path} is not documented`);
  return found;
}

function resolve(reference: string): unknown {
  const keys = reference.replace("#/", "").split("/");
  return keys.reduce<unknown>((part, key) => (part as Record<string, unknown> | undefined)?.[key], document);
}

describe("the document", () => {
  it("lints without errors and warnings in Spectral", async () => {
    const { stdout } = await run("node_modules/.bin/spectral", [
      "lint",
      "openapi/openapi.json",
      "--fail-severity=hint",
    ]);
    expect(stdout).toContain("No results with a severity of 'hint' or higher found!");
  }, 60_000);

  it("lints without errors and warnings in Redocly", async () => {
    const { stdout } = await run("node_modules/.bin/redocly", [
      "lint",
      "openapi/openapi.json",
      "--format=json",
    ]);
    expect(JSON.parse(stdout).totals).toEqual({ errors: 0, warnings: 0, ignored: 0 });
  }, 60_000);

  it("is the one in the repository", async () => {
    expect(JSON.parse(await readFile("openapi/openapi.json", "utf8"))).toEqual(
      JSON.parse(JSON.stringify(document)),
    );
  });

  it("carries the version of the package", async () => {
    expect(API_VERSION).toBe(JSON.parse(await readFile("package.json", "utf8")).version);
  });

  it("has no reference that leads nowhere", () => {
    const references = [...JSON.stringify(document).matchAll(/"\$ref":"([^"]+)"/g)].map((match) =>
      String(match[1]),
    );
    expect(references.length).toBeGreaterThan(0);
    expect([...new Set(references)].filter((reference) => resolve(reference) === undefined)).toEqual([]);
  });

  it("names every operation once, in camelCase", () => {
    const ids = [...JSON.stringify(document.paths).matchAll(/"operationId":"([^"]+)"/g)].map(
      (match) => match[1],
    );
    expect(new Set(ids).size).toBe(ids.length);
    for (const id of ids) expect(id).toMatch(/^[a-z][A-Za-z0-9]+$/);
  });

  it("holds the routes that are no procedures", () => {
    expect(Object.keys(document.paths ?? {})).toEqual(
      expect.arrayContaining(["/health", "/ready", "/metrics", "/openapi.json", "/api/auth/sign-in/email"]),
    );
  });
});

describe("the example of an edit", () => {
  it("shows what its batch makes of the workflow that is created in the example before", () => {
    const read = (path: string) => {
      const { requestBody, responses } = operationAt(path, "post");
      const body = (requestBody as oas31.RequestBodyObject).content["application/json"]?.example;
      const success = (responses?.["200"] ?? responses?.["201"]) as oas31.ResponseObject;
      return { body, answer: success.content?.["application/json"]?.example };
    };
    const { answer: created } = read("/api/workflows");
    const { body, answer } = read("/api/workflows/{id}/operations");
    const blockTypes = createCatalogue([triggerWebhook, transform]);
    const outcome = applyEditOperations(created.workflow, body.ops, blockTypes);
    const validationErrors = validateDocument(outcome.document, blockTypes);
    expect(answer).toEqual({
      ok: true,
      workflow: outcome.document,
      version: created.version + 1,
      applied: outcome.applied,
      validation_errors: validationErrors,
      skipped_items: outcome.skipped,
      summary: summarizeEdit({ ...outcome, validationErrors, isDryRun: false }),
    });
  });
});

describe.each(operations.map((operation) => [`${operation.method} ${operation.path}`, operation] as const))(
  "%s",
  (_, operation) => {
    const documented = operationAt(`${REST_PREFIX}${operation.path}`, operation.method);

    it("says what it does and shows an answer", () => {
      expect(documented.summary).toBeTruthy();
      expect(documented.description).toBeTruthy();
      const status = operation.meta.rest?.status ?? 200;
      const success = documented.responses?.[status] as oas31.ResponseObject | undefined;
      expect(success).toBeDefined();
      if (status === 204) expect(success?.content).toBeUndefined();
      else expect(success?.content?.["application/json"]?.example).toBeDefined();
    });

    it("shows a body where one is required", () => {
      const body = documented.requestBody as oas31.RequestBodyObject | undefined;
      if (body?.required === true) expect(body.content["application/json"]?.example).toBeDefined();
    });

    it("names its own error codes by status", () => {
      for (const code of errorCodesOf(operation)) {
        const reference = documented.responses?.[errorRow(code).status] as oas31.ReferenceObject | undefined;
        expect(JSON.stringify(resolve(String(reference?.$ref)))).toContain(`"${code}"`);
      }
    });
  },
);

describe("an operation", () => {
  const scratch = buildDocument(scratchRouter);

  it("shows the version it expects as If-Match, not as a field", () => {
    const put = operationAt("/api/things/{id}", "put", scratch);
    expect(put.parameters).toContainEqual({ $ref: "#/components/parameters/IfMatch" });
    expect(JSON.stringify(put.requestBody)).not.toContain("expectedVersion");
  });

  it("says of its query parameters what their schema says, optional ones too", () => {
    const { parameters = [] } = operationAt("/api/things", "get", scratch);
    const described = parameters.flatMap((parameter) =>
      "name" in parameter ? [[parameter.name, parameter.description]] : [],
    );
    expect(Object.fromEntries(described)).toMatchObject({
      limit: "Rows on a page.",
      search: "Text in the name.",
    });
  });

  it("needs no body where no field is required", () => {
    const body = (path: string) => operationAt(path, "post", scratch).requestBody as oas31.RequestBodyObject;
    expect(body("/api/things/{id}/run").required).toBe(false);
    expect(body("/api/things").required).toBe(true);
  });

  it("asks for credentials unless it is open to all", () => {
    expect(operationAt("/api/things", "get", scratch).security).toEqual([
      { bearer: [] },
      { apiKey: [] },
      { session: [] },
    ]);
    expect(operationAt("/api/open", "get", scratch).security).toEqual([]);
  });

  it("with an undescribed tag or a recursive schema without a name is refused", () => {
    const make = (tag: string, output: z.ZodType) =>
      router({
        odd: procedure
          .meta({ openapi: { method: "GET", path: "/odd", summary: "Odd", tags: [tag] } })
          .output(output)
          .query(() => ({})),
      });
    interface Tree {
      [name: string]: Tree;
    }
    const tree: z.ZodType<Tree> = z.lazy(() => z.record(z.string(), tree));
    expect(() => buildDocument(make("odd", z.object({})))).toThrow("odd");
    expect(() => buildDocument(make("runs", z.object({ tree, value: z.json() })))).toThrow("no name");
  });
});

describe("the schemas of the router", () => {
  it("are never touched by documenting or calling them", () => {
    buildDocument(scratchRouter);
    const [input] = scratchRouter.create._def.inputs as unknown as [z.ZodType];
    expect(input.safeParse({ name: "a", enabled: "false" }).success).toBe(false);
    expect(input.safeParse({ name: "a", count: "5" }).success).toBe(false);
  });
});
