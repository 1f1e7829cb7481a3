/**
 * Walks the whole loop against a running server: sign up, mint a key, create a workflow, edit it, run it, read it.
 * Usage: npm run quickstart [-- http://localhost:3000]
 */
import { randomBytes } from "node:crypto";

const baseUrl = (process.argv[2] ?? process.env.BASE_URL ?? "http://localhost:3000").replace(/\/+$/, "");

async function call(
  method: string,
  path: string,
  body?: unknown,
  credentials?: string,
): Promise<Record<string, unknown>> {
  const response = await fetch(baseUrl + path, {
    method,
    headers: {
      ...(body === undefined ? {} : { "content-type": "application/json" }),
      ...(credentials === undefined ? {} : { authorization: `Bearer ${credentials}` }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const answer = (await response.json()) as Record<string, unknown>;
  console.log(`   ${method} ${path} -> ${response.status}`);
  if (!response.ok) throw new Error(`The server refused: ${JSON.stringify(answer)}`);
  return answer;
}

function step(title: string): void {
  console.log(`\n== ${title}`);
}

async function main(): Promise<void> {
  const credentials = {
    name: "Ada",
    email: `ada-${randomBytes(4).toString("hex")}@example.com`,
    password: randomBytes(12).toString("hex"),
  };

  step("1. Sign up. Every new user gets an organization of their own.");
  const { token } = await call("POST", "/api/auth/sign-up/email", credentials);

  step("2. Mint an API key for the organization.");
  const { key } = await call("POST", "/api/auth/api-key/create", { name: "quickstart" }, String(token));
  const apiKey = String(key);
  console.log(`   ${apiKey}`);

  step("3. Create an empty workflow.");
  const { id } = await call("POST", "/api/workflows", { metadata: { name: "Greeting" } }, apiKey);

  step("4. Build it with edit operations; one is wrong on purpose and is skipped and explained.");
  const edit = await call(
    "POST",
    `/api/workflows/${id}/operations`,
    {
      ops: [
        { operation_type: "add", block_id: "start", type: "trigger_webhook" },
        {
          operation_type: "add",
          block_id: "greet",
          type: "transform",
          params: { template: "Hello {{trigger.name}}" },
        },
        { operation_type: "add", block_id: "shout", type: "transfrom", params: {} },
        { operation_type: "connect", block_id: "start", target_block_id: "greet" },
      ],
    },
    apiKey,
  );
  console.log(String(edit.summary).replace(/^/gm, "   | "));

  step("5. Run it.");
  const { runId } = await call("POST", `/api/workflows/${id}/run`, { input: { name: "Ada" } }, apiKey);

  step("6. Read what happened.");
  let run = await call("GET", `/api/runs/${runId}`, undefined, apiKey);
  while (run.state === "pending" || run.state === "running") {
    await new Promise((resolve) => setTimeout(resolve, 100));
    run = await call("GET", `/api/runs/${runId}`, undefined, apiKey);
  }
  console.log(`   state: ${run.state}`);
  console.log(`   output: ${JSON.stringify(run.output)}`);
  if (run.state !== "completed") throw new Error("The run did not complete.");

  console.log(`\nDone. Explore with this key at ${baseUrl}/docs.`);
}

main().catch((error: unknown) => {
  const isAway = error instanceof TypeError && error.message === "fetch failed";
  console.error(isAway ? `No server answers at ${baseUrl}; start one with: npm start` : String(error));
  process.exitCode = 1;
});
