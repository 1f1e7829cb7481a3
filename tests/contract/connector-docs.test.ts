import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { newClient, type TestClient } from "../support/client.js";
import { closeServers, serve } from "../support/http-block.js";
import { startTestServer, type TestServer } from "../support/server.js";
import { block, createWorkflow, logsOf, runDocument } from "../support/workflows.js";

const TOKEN = "billing-token-of-the-example";

let server: TestServer;
let client: TestClient;
let folder = "";

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "connectors-"));
  const page = await readFile(new URL("../../docs/connectors.md", import.meta.url), "utf8");
  const [, example = ""] = /```js\n(\/\/ create-invoice\.js\n[\s\S]*?)```/.exec(page) ?? [];
  const entry = fileURLToPath(new URL("../../server/connectors/index.ts", import.meta.url));
  const zod = createRequire(import.meta.url).resolve("zod");
  const path = join(folder, "create-invoice.mjs");
  await writeFile(
    path,
    example.replace('"flowkeep/connectors"', JSON.stringify(entry)).replace('"zod"', JSON.stringify(zod)),
  );
  server = await startTestServer({ config: { connectorModules: [path] } });
  client = await newClient(server.url);
});
afterAll(async () => {
  await closeServers();
  await server.close();
  await rm(folder, { recursive: true });
});

describe("the connector of docs/connectors.md", () => {
  it("does what the page says of it", async () => {
    const keys = new Set<unknown>();
    let requests = 0;
    const { origin } = await serve((request, response) => {
      requests += 1;
      keys.add(request.headers["idempotency-key"]);
      response.setHeader("content-type", "application/json");
      if (requests === 1) response.writeHead(503).end("{}");
      else if (request.headers.authorization !== `Bearer ${TOKEN}`) response.writeHead(401).end("{}");
      else response.end(JSON.stringify({ id: "inv_1", number: 42 }));
    });
    const { body: description } = await client.request("GET", "/api/connectors/create_invoice");
    expect(JSON.stringify(description)).not.toContain("token");
    const workflow = {
      blocks: [
        block(
          "bill",
          "create_invoice",
          { apiUrl: origin, customerId: "{{trigger.customerId}}", cents: "{{trigger.cents}}" },
          { retry: { initialMs: 1 } },
        ),
      ],
    };

    const workflowId = await createWorkflow(client, workflow);
    expect(await client.request("POST", `/api/workflows/${workflowId}/run`, {})).toMatchObject({
      status: 500,
      body: { error: "dispatch_failed", message: expect.stringMatching(/"bill".*BILLING_TOKEN/) },
    });

    await client.request("PUT", "/api/secrets/BILLING_TOKEN", { value: TOKEN });
    const run = await runDocument(client, workflow, { customerId: "c1", cents: 100 });
    expect(run.output).toEqual({ outputs: { bill: { invoiceId: "inv_1", number: 42 } } });
    expect(keys.size).toBe(1);
    const logs = await logsOf(client, run.id);
    expect(logs.filter(({ kind }: { kind: string }) => kind === "block")).toMatchObject([
      { status: "failed", error: { code: "billing_busy" } },
      { status: "completed" },
    ]);
  });
});
