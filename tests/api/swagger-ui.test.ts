import { existsSync } from "node:fs";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { useTestServer } from "../support/server-hooks.js";
import { mintKey, signUp } from "../support/sign-up.js";

const executablePath = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(
  (path) => existsSync(path),
);
if (executablePath === undefined)
  console.warn("Skipped: no Chromium is installed, so Swagger UI was not opened.");

describe.skipIf(executablePath === undefined)("Swagger UI in a real browser", { timeout: 120_000 }, () => {
  const server = useTestServer();
  let browser: Browser;
  let page: Page;
  const foreignRequests: string[] = [];
  const complaints: string[] = [];

  beforeAll(async () => {
    browser = await chromium.launch({
      executablePath: String(executablePath),
      args: [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
      ],
    });
    page = await browser.newPage();
    page.setDefaultTimeout(30_000);
    page.on("request", (request) => {
      if (!/^(?:data|blob):/.test(request.url()) && !request.url().startsWith(server.url)) {
        foreignRequests.push(request.url());
      }
    });
    page.on("console", (message) => {
      if (message.type() === "error") complaints.push(message.text());
    });
  });

  afterAll(() => browser?.close());

  /** Opens an operation, fills path and body in, executes it and gives the answer as the page shows it. */
  async function execute(
    operationId: string,
    parameters: Readonly<Record<string, string>>,
    body?: unknown,
  ): Promise<{ status: number; body: Record<string, unknown> }> {
    const operation = page.locator(`[id$="-${operationId}"]`);
    await operation.locator(".opblock-summary-control").click();
    for (const [name, value] of Object.entries(parameters)) {
      await operation.locator(`tr[data-param-name="${name}"] input`).fill(value);
    }
    if (body !== undefined) await operation.locator("textarea.body-param__text").fill(JSON.stringify(body));
    await operation.locator("button.execute").click();
    const live = operation.locator(".live-responses-table .response");
    await live.waitFor();
    const status = Number(await live.locator(".response-col_status").first().textContent());
    const text = await live.locator(".highlight-code code, .highlight-code pre").first().textContent();
    return { status, body: JSON.parse(String(text)) as Record<string, unknown> };
  }

  it("lets a person authorize with a key, create, edit and run a workflow and read the run", async () => {
    const session = await signUp(server.url);
    const key = await mintKey(server.url, session);
    await page.goto(`${server.url}/docs`);
    await page.locator(".auth-wrapper .authorize").click();
    const dialog = page.locator(".modal-ux");
    await dialog.locator("input[type=text], input[type=password]").first().fill(key);
    await dialog.locator("button.authorize").first().click();
    await dialog.locator("button.btn-done").first().click();

    const created = await execute("createWorkflow", {}, { metadata: { name: "From the page" } });
    expect(created.status).toBe(201);
    const id = String(created.body.id);
    const ops = [
      { operation_type: "add", block_id: "start", type: "trigger_webhook" },
      {
        operation_type: "add",
        block_id: "greet",
        type: "transform",
        params: { template: "Hello {{trigger.name}}" },
      },
      { operation_type: "connect", block_id: "start", target_block_id: "greet" },
    ];
    const edited = await execute("editWorkflow", { id }, { ops });
    expect(edited).toMatchObject({ status: 200, body: { ok: true, version: 2, applied: 3 } });
    const started = await execute("runWorkflow", { id }, { input: { name: "Ada" } });
    expect(started.status).toBe(202);
    const run = await execute("getRun", { runId: String(started.body.runId) });
    expect(run.status).toBe(200);
    expect(["pending", "running", "completed"]).toContain(run.body.state);
  });

  it("asks nothing of another host and breaks no rule of its own content policy", () => {
    expect(foreignRequests).toEqual([]);
    expect(complaints).toEqual([]);
  });
});
