import { it } from "vitest";
import { endedRun, newClient } from "../support/client.js";
import { openStream } from "../support/event-stream.js";
import { startTestServer } from "../support/server.js";
import { block, connect, createWorkflow, startRun, transform, trigger } from "../support/workflows.js";
it("measure", async () => {
  const server = await startTestServer({ config: { role: "worker" } });
  const client = await newClient(server.url);
  for (const size of [3, 200, 2000]) {
    const id = await createWorkflow(client, { blocks: [trigger, block("each", "for_each", { items: "{{trigger.items}}", parallelism: 10 }), transform("a", "{{each.item}}"), transform("b", 1)], connections: [...connect("start>each", "a>b"), { source: "each", target: "a", sourceHandle: "each" }] });
    const runId = await startRun(client, id, { input: { items: Array.from({ length: size }, (_, i) => i) } });
    const t0 = performance.now();
    const stream = await openStream(`${server.url}/api/runs/${runId}/stream`, client.key);
    await stream.closed;
    const took = Math.round(performance.now() - t0);
    const run = await endedRun(client, runId);
    const time = async (path: string) => { const t: number[] = []; for (let i = 0; i < 8; i++) { const t0 = performance.now(); await client.request("GET", path); t.push(performance.now() - t0); } return Math.round(t.sort((x, y) => x - y)[3] ?? 0); };
    console.log(size, run.state, took, "ms", JSON.stringify(run.blocks.b), "stream events", stream.events.length, "get", await time(`/api/runs/${runId}`), "logs", await time(`/api/runs/${runId}/logs?limit=100`), "diagram", await time(`/api/runs/${runId}/diagram`), "ms");
  }
  await server.close();
}, 300_000);
