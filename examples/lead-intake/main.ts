/**
 * A lead comes in by a signed webhook, is enriched over HTTP, waits for a person where it is worth it, and people are
 * told by Slack and e-mail. Everything runs on this machine: the server and stand-ins for the far sides.
 * Usage: npm run example
 */
import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { Client, deliver } from "./client.js";
import { startServer } from "./server.js";
import { type StandIns, startStandIns } from "./stand-ins.js";
import { operations } from "./workflow.js";

interface Run {
  readonly state: string;
  readonly output: { readonly outputs: Readonly<Record<string, { readonly result: unknown }>> } | null;
  readonly error: unknown;
}

function step(title: string): void {
  console.log(`\n== ${title}`);
}

async function tellTheStory(client: Client, standIns: StandIns): Promise<void> {
  step("1. Sign up, keep two secrets, build the workflow with edit operations.");
  await client.signUp("Ada");
  await client.call("PUT", "/api/secrets/SLACK_BOT_TOKEN", { value: "xoxb-example-token" });
  await client.call("PUT", "/api/secrets/SMTP_URL", { value: standIns.smtpUrl });
  const { id } = await client.call<{ id: string }>("POST", "/api/workflows", {
    metadata: { name: "Lead intake" },
  });
  const variables = { enrichmentUrl: standIns.enrichmentUrl };
  const ops = [...operations, { operation_type: "configure", variables }];
  const edit = await client.call<{ ok: boolean; summary: string }>(
    "POST",
    `/api/workflows/${id}/operations`,
    { ops },
  );
  console.log(edit.summary.replace(/^/gm, "   | "));
  if (!edit.ok) throw new Error("The workflow has errors.");

  step("2. Open a webhook that verifies signatures of Standard Webhooks.");
  const hook = await client.call<{ url: string; secret: string }>("POST", "/api/webhooks", {
    workflowId: id,
    verification: "standard_webhooks",
  });

  step("3. A large company: somebody is asked before sales hears of it.");
  const large = { domain: "acme.example", contacts: [{ name: "Grace", email: "grace@acme.example" }] };
  const { runId } = await deliver(hook, "lead_1", large);
  const again = await deliver(hook, "lead_1", large);
  console.log(`   delivered twice, run once: ${again.runId === runId}`);
  const { data } = await client.until<{ data: { id: string; prompt: string }[] }>(
    "/api/approvals?state=pending",
    (page) => page.data.length === 1,
  );
  const [asked] = data;
  console.log(`   asked: ${asked?.prompt}`);
  await client.call("POST", `/api/approvals/${asked?.id}/approve`, { note: "Say hello from Ada." });
  console.log(`   report: ${await reportOf(client, runId)}`);
  console.log(`   Slack has: ${JSON.stringify(standIns.posted)}`);

  step("4. A growing one: every contact gets an e-mail; a broken address is skipped.");
  const contacts = [
    { name: "Lin", email: "lin@sprout.example" },
    { name: "Nobody", email: "not an address" },
    { name: "Kay", email: "kay@sprout.example" },
  ];
  const growing = await deliver(hook, "lead_2", { domain: "sprout.example", contacts });
  console.log(`   report: ${await reportOf(client, growing.runId)}`);
  console.log(`   e-mails to: ${[...standIns.mailed].sort().join(", ")}`);

  step("5. Nobody knows this one: it is remembered for later.");
  const unknown = await deliver(hook, "lead_3", { domain: "nowhere.example", contacts: [] });
  console.log(`   kept: ${await reportOf(client, unknown.runId, "unknown_company")}`);

  step("6. A picture of the first run.");
  const { svg } = await client.call<{ svg: string }>("GET", `/api/runs/${runId}/diagram`);
  const file = path.join(await mkdtemp(path.join(tmpdir(), "lead-intake-")), "run.svg");
  await writeFile(file, svg);
  console.log(`   ${file}`);
}

/** The result of the run's last block. */
async function reportOf(client: Client, runId: string, blockId = "report"): Promise<string> {
  const run = await client.until<Run>(
    `/api/runs/${runId}`,
    ({ state }) => state === "completed" || state === "failed",
  );
  if (run.state !== "completed") throw new Error(`The run failed: ${JSON.stringify(run.error)}`);
  return JSON.stringify(run.output?.outputs[blockId]?.result);
}

const standIns = await startStandIns();
const server = await startServer({ HTTP_ALLOW_PRIVATE: "true", SLACK_API_URL: standIns.slackUrl });
try {
  await tellTheStory(new Client(server.url), standIns);
  console.log("\nDone. The whole workflow is in examples/lead-intake/workflow.ts.");
} finally {
  await server.close();
  await standIns.close();
}
