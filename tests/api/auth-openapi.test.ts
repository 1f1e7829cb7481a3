import { expect, it } from "vitest";
import { z } from "zod";
import { authPaths } from "../../server/auth/auth-openapi.js";
import { callAuth } from "../support/auth-calls.js";
import { useTestServer } from "../support/server-hooks.js";
import { signUp } from "../support/sign-up.js";

const server = useTestServer();

const operations = Object.entries(authPaths).flatMap(([path, item]) =>
  (["get", "post"] as const).flatMap((method) => {
    const operation = item?.[method];
    return operation === undefined ? [] : [{ path, method, operation }];
  }),
);

/** The document's part as a schema that refuses what it does not describe as required. */
function schemaOf(part: unknown): z.ZodType {
  const Content = z.object({
    content: z.object({ "application/json": z.object({ schema: z.any(), example: z.any() }) }),
  });
  return z.fromJSONSchema(Content.parse(part).content["application/json"].schema);
}

it("every documented auth route answers as its schema says", async () => {
  const ada = await signUp(server.url);
  const minted = await callAuth(server.url, ada, "POST", "/api-key/create", { name: "ci" });
  const email = `openapi-${ada.userId.toLowerCase()}@example.com`;
  const bodies: Record<string, Record<string, unknown>> = {
    signUpEmail: { email },
    signInEmail: { email: ada.email, password: ada.password },
    createOrganization: { slug: email },
    setActiveOrganization: { organizationId: ada.organizationId },
    deleteApiKey: { keyId: minted.body.id },
    verifyApiKey: { key: minted.body.key },
  };
  const last = ["deleteApiKey", "signOut"];
  const ordered = operations.toSorted(
    (left, right) =>
      last.indexOf(String(left.operation.operationId)) - last.indexOf(String(right.operation.operationId)),
  );
  for (const { path, method, operation } of ordered) {
    const id = String(operation.operationId);
    const content = z.object({
      content: z.record(z.string(), z.object({ example: z.record(z.string(), z.unknown()) })),
    });
    const example = content.safeParse(operation.requestBody).data?.content["application/json"]?.example;
    const body = example === undefined ? undefined : { ...example, ...bodies[id] };
    const verb = method === "get" ? "GET" : "POST";
    const answer = await callAuth(server.url, ada, verb, path.replace("/api/auth", ""), body);
    expect(answer.status, `${id} ${JSON.stringify(answer.body)}`).toBe(200);
    const parsed = schemaOf(operation.responses?.["200"]).safeParse(answer.body);
    expect(parsed.error?.issues, id).toBeUndefined();
  }
  expect(ordered).toHaveLength(11);
});

it("every documented auth operation has an id, words, a tag and errors of the shape {code, message}", () => {
  for (const { operation } of operations) {
    expect(operation).toMatchObject({
      operationId: expect.any(String),
      summary: expect.any(String),
      description: expect.any(String),
      tags: ["auth"],
      security: expect.any(Array),
    });
    const failures = Object.keys(operation.responses ?? {}).filter((status) => status.startsWith("4"));
    expect(failures.length).toBeGreaterThan(0);
  }
});
