import { execFile } from "node:child_process";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { isTRPCClientError } from "@trpc/client";
import { describe, expect, it } from "vitest";
import { type AppRouter, createFlowkeepClient } from "../../router/client.js";
import { useClient, useTestServer } from "../support/server-hooks.js";

const run = promisify(execFile);

const server = useTestServer();
const client = useClient(server);

describe("the typed tRPC client", () => {
  it("calls the server with a key, with types from the router", async () => {
    const flowkeep = createFlowkeepClient({ url: `${server.url}/`, apiKey: client.key });
    const created = await flowkeep.workflows.create.mutate({ metadata: { name: "Greeting" } });
    const edited = await flowkeep.workflows.edit.mutate({
      id: created.id,
      ops: [{ operation_type: "add", block_id: "greet", type: "transform", params: { template: "Hello" } }],
      expectedVersion: created.version,
    });
    expect(edited.version).toBe(2);
    const read = await flowkeep.workflows.get.query({ id: created.id });
    expect(read.workflow.blocks.map((block) => block.id)).toEqual(["greet"]);
  });

  it("takes a session token, further headers and a fetch of one's own", async () => {
    const requestIds: (string | null)[] = [];
    const flowkeep = createFlowkeepClient({
      url: server.url,
      token: client.session.token,
      headers: { "x-request-id": "mine" },
      fetch: async (input, init) => {
        const response = await fetch(input, init);
        requestIds.push(response.headers.get("x-request-id"));
        return response;
      },
    });
    const [workflows, runs] = await Promise.all([
      flowkeep.workflows.list.query({}),
      flowkeep.runs.list.query({}),
    ]);
    expect([workflows.pagination.next, runs.data]).toEqual([null, []]);
    expect(requestIds).toEqual(["mine"]);
  });

  it("tells the stable code of a failed call", async () => {
    const flowkeep = createFlowkeepClient({ url: server.url, apiKey: client.key });
    const failure: unknown = await flowkeep.workflows.get.query({ id: "none" }).catch((error) => error);
    if (!isTRPCClientError<AppRouter>(failure)) throw failure;
    expect(failure.data?.error).toBe("not_found");
    expect(failure.data?.httpStatus).toBe(404);
  });
});

describe("a REST client generated from the document", () => {
  // Below node_modules, so that the compiler finds openapi-fetch as a user's project would.
  const folder = "node_modules/.cache/generated-rest-client";

  it("compiles strictly with the example of docs/clients.md, which works on a running server", async () => {
    const page = await readFile("docs/clients.md", "utf8");
    const examples = [...page.matchAll(/```ts\n(import createClient[\s\S]*?)```/g)].map((match) =>
      String(match[1]),
    );
    const options = /openapi-typescript \S+ (--default\S+)/.exec(page)?.[1] ?? "";
    expect(examples).toHaveLength(1);
    await rm(folder, { recursive: true, force: true });
    await mkdir(folder, { recursive: true });
    await run("node_modules/.bin/openapi-typescript", [
      "openapi/openapi.json",
      options,
      "--output",
      join(folder, "flowkeep.mts"),
    ]);
    await writeFile(
      join(folder, "example.mts"),
      String(examples[0]).replace("./flowkeep.js", "./flowkeep.mjs"),
    );
    const strict = ["--strict", "--exactOptionalPropertyTypes", "--noUncheckedIndexedAccess"];
    const target = ["--module", "nodenext", "--target", "es2023", "--types", "node", "--skipLibCheck"];
    await run("node_modules/.bin/tsc", [...strict, ...target, join(folder, "example.mts")]).catch((error) => {
      throw new Error(error.stdout);
    });
    const { stdout } = await run(process.execPath, [join(folder, "example.mjs")], {
      env: { ...process.env, FLOWKEEP_URL: server.url, FLOWKEEP_KEY: client.key },
    });
    expect(stdout.trim()).toBe('Greeting "2"');
  }, 120_000);
});
