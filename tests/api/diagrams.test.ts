import { describe, expect, it } from "vitest";
import { useClient, useTestServer } from "../support/server-hooks.js";
import {
  block,
  connect,
  createWorkflow,
  edit,
  runDocument,
  transform,
  trigger,
} from "../support/workflows.js";

const server = useTestServer({ config: { role: "worker" } });
const client = useClient(server);

const chain = {
  metadata: { name: "Greet & <shout>" },
  blocks: [
    trigger,
    transform("greet", 1, { name: 'Say "hello"' }),
    { ...transform("off", 1), enabled: false },
  ],
  connections: connect("start>greet", "start>off"),
};

async function fetchAs(path: string) {
  const response = await fetch(server.url + path, { headers: { authorization: `Bearer ${client.key}` } });
  return { status: response.status, type: response.headers.get("content-type"), text: await response.text() };
}

describe("the picture of a workflow", () => {
  it("is Mermaid and SVG of the newest version, or of a numbered one", async () => {
    const id = await createWorkflow(client, chain);
    await edit(client, id, [{ operation_type: "add", block_id: "late", type: "transform", params: {} }]);
    const newest = await client.request("GET", `/api/workflows/${id}/diagram`);
    expect(newest.status).toBe(200);
    expect(Object.keys(newest.body).sort()).toEqual(["mermaid", "svg"]);
    expect(newest.body.mermaid).toContain("late<br/>transform");
    expect(newest.body.svg).toContain(">late</text>");
    const first = await client.request("GET", `/api/workflows/${id}/diagram?version=1`);
    expect(first.body.mermaid).not.toContain("late");
    const none = await client.request("GET", `/api/workflows/${id}/diagram?version=9`);
    expect([none.status, none.body.error]).toEqual([404, "not_found"]);
  });

  it("shows the first of the blocks to which a draft gives the same id", async () => {
    const loop = (level: number, name: string) => block(`L${level}`, "for_each", {}, { name });
    const levels = [0, 1, 2, 3, 4, 5, 6, 7];
    const id = await createWorkflow(client, {
      blocks: levels.flatMap((level) => [loop(level, `first ${level}`), loop(level, "second")]),
      connections: levels
        .slice(1)
        .map((level) => ({ source: `L${level - 1}`, target: `L${level}`, sourceHandle: "each" })),
    });
    const { status, body } = await client.request("GET", `/api/workflows/${id}/diagram`);
    expect(status).toBe(200);
    expect(body.mermaid.match(/first \d<br/g)).toHaveLength(8);
    expect(body.svg.match(/class="card"/g)).toHaveLength(8);
    expect(body.mermaid + body.svg).not.toContain("second");
  });

  it("is the picture itself in its media type when a format is named", async () => {
    const id = await createWorkflow(client, chain);
    const { body } = await client.request("GET", `/api/workflows/${id}/diagram`);
    expect(await fetchAs(`/api/workflows/${id}/diagram?format=svg`)).toEqual({
      status: 200,
      type: "image/svg+xml; charset=utf-8",
      text: body.svg,
    });
    expect(await fetchAs(`/api/workflows/${id}/diagram?format=mermaid`)).toEqual({
      status: 200,
      type: "text/plain; charset=utf-8",
      text: body.mermaid,
    });
    for (const query of ["format=png", "format=svg&format=mermaid", "format=", "format=constructor"]) {
      const { status, text } = await fetchAs(`/api/workflows/${id}/diagram?${query}`);
      expect([query, status, JSON.parse(text).error]).toEqual([query, 400, "invalid_body"]);
    }
    for (const bad of [`/api/workflows/none/diagram?format=svg`, `/api/workflows/%00/diagram?format=svg`]) {
      const { status, text } = await fetchAs(bad);
      expect([status, JSON.parse(text).error]).toEqual([404, "not_found"]);
    }
    const unknown = await fetch(`${server.url}/api/workflows/${id}/diagram?format=svg`);
    expect(unknown.status).toBe(401);
  });
});

describe("the picture of a run", () => {
  it("shows the version that the run is pinned to, with the state of every block in words and colour", async () => {
    const run = await runDocument(client, {
      blocks: [...chain.blocks, block("call", "http", { url: "{{greet.result}}" }), transform("after", 1)],
      connections: connect("start>greet>call>after", "start>off"),
    });
    await edit(client, run.workflowId, [{ operation_type: "remove", block_id: "call" }]);
    expect(run.blocks).toMatchObject({
      start: { state: "completed" },
      greet: { state: "completed" },
      off: { state: "skipped", attempts: 0, startedAt: null, finishedAt: null },
      call: { state: "failed", attempts: 1 },
      after: { state: "skipped" },
    });
    const { body } = await client.request("GET", `/api/runs/${run.id}/diagram`);
    expect(body.mermaid).toContain("call<br/>http · failed");
    expect(body.mermaid).toMatch(/class b\d failed/);
    expect(body.svg).toContain('<g class="failed"');
    expect(body.svg).toContain(">failed</text>");
    expect((await fetchAs(`/api/runs/${run.id}/diagram?format=svg`)).text).toBe(body.svg);
  });
});
